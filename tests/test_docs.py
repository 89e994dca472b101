"""The README's commands run, and print what it says they print."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from capeval.attribution.sentences import p_text
from capeval.tracer import trace

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUIZ = re.search(r"```csv\n(.*?)```", README, flags=re.DOTALL)[1]  # type: ignore[index]
EXITS = {0}


def examples() -> list[tuple[str, list[str]]]:
    """(command, lines that it prints) of every `$ capeval …` in the console blocks; … stands for more lines."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", README, flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip() and line.strip() != "…" and block.lstrip().startswith("$"):
                found[-1][1].append(line.rstrip())
    return found


def test_every_command_prints_what_the_readme_says(tmp_path: Path) -> None:
    (tmp_path / "quiz.csv").write_text(QUIZ)
    assert len(examples()) == 8
    for command, lines in examples():
        program, *args = shlex.split(command)
        assert program == "capeval"
        done = subprocess.run(
            [sys.executable, "-m", "capeval", *args], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode in EXITS, f"{command}\n{done.stderr}"
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        rest = iter(printed)  # `in` on an iterator goes on where it stopped: the order counts too
        for line in lines:
            assert line in rest, f"{command} no longer prints, in this order:\n{line}\nbut:\n{done.stdout}"


def test_every_file_that_the_documents_link_to_exists() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"


def test_the_list_of_the_house_names_what_is_there() -> None:
    house = re.search(r"## The house\n\n```\n(.*?)```", README, flags=re.DOTALL)
    assert house
    named = set(re.findall(r"([a-z_]+(?:\.py|/))", house[1]))
    there = {p.name + ("/" if p.is_dir() else "") for p in (ROOT / "capeval").iterdir() if not p.name.startswith("_")}
    assert {name for name in there if name != "py.typed"} <= named


def test_the_python_example_runs() -> None:
    block = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert block
    subprocess.run([sys.executable, "-c", block[1]], check=True)


def test_the_figures_in_the_text_are_the_ledgers() -> None:
    effects = trace("instructgpt").effects.set_index(["kind", "parent", "child", "task", "setting"])
    squad = effects.loc[("edge", "sft-175b", "ppo-175b", "squadv2", "few-shot")]
    kept = effects.loc[("sibling", "ppo-175b", "ppo-ptx-175b", "squadv2", "few-shot")]
    qa, instruction = (
        effects.loc[("path", "gpt-175b", "ppo-ptx-175b", "truthfulqa", s)] for s in ("qa", "instruction")
    )
    said = [
        f"takes {-100 * squad['delta']:.0f} points of few-shot SQuADv2",
        f"{100 * squad['parent_score']:.0f} → {100 * squad['child_score']:.0f}",
        f"{p_text(squad['p_adjusted'])} adjusted, over {squad['n_clusters']} articles",
        f"PPO-ptx keeps them ({100 * kept['child_score']:.0f})",
        f"TruthfulQA gains {100 * qa['delta']:.0f} points under the QA prompt",
        f"can't be told apart under the instruction prompt ({100 * instruction['delta']:+.0f})",
    ]
    assert (squad["answer"], qa["answer"], instruction["answer"]) == ("lost", "gained", "cant_tell")
    text = README.replace("\n", " ")
    assert [figure for figure in said if figure not in text] == []
