"""Benchmarks whose own rule judges recorded outputs: one table for the records that ship and for `capeval import`.

A rule reads one row of outputs with its document's columns beside its own. It names the task of a tree in model_zoo/
whose spec (metric, unit, clusters) holds for it, so what is imported counts exactly as what ships.

    capeval import CAPEVAL_DATA/recorded/instructgpt_autoeval/truthful_qa.outputs.jsonl --model gpt-175b
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from capeval.digest import digest
from capeval.marks import ends_in, forgiven
from capeval.recordings.scorers import Scored, score
from capeval.recordings.scorers.reading import UNANSWERABLE
from capeval.recordings.sources.rows import measured

Columns = Mapping[str, Any]
"""One row of outputs; what the outputs lack comes from the items."""


def _nothing(row: Columns) -> str:
    del row
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """How one benchmark's outputs are judged."""

    tree: str
    task: str
    """The task of that tree whose spec holds."""
    needs: tuple[str, ...]
    """Columns that the rule reads; a file without them is none of this benchmark's."""
    judge: Callable[[Columns, Any], Scored]
    """(row, what was said) → score. What was said is the row's `output`, or one of its `outputs`."""
    cluster: Callable[[Columns], str] = _nothing
    subset: Callable[[Columns], str] = _nothing


SETS = {  # task → (scorer of an extracted answer, file of zero_shot_cot, of plan_and_solve)
    "gsm8k": ("number", "gsm8k", "gsm8k"),
    "multiarith": ("number", "multiarith", "MultiArith"),
    "svamp": ("number", "svamp", "SVAMP"),
    "addsub": ("number", "addsub", "AddSub"),
    "singleeq": ("number", "singleeq", "SingleEq"),
    "aqua": ("letter", "aqua", "AQuA"),
    "commonsenseqa": ("letter", "commonsensqa", "CommensenseQA"),
    "coin_flip": ("exact", "coin_flip", "coin_flip"),
    "last_letters": ("exact", "last_letters", "last_letters"),
}


def answer_of(scorer: str) -> Callable[[Columns, Any], Scored]:
    """The rule for an answer that was already extracted (`pred`): by `scorer`; a blank one is wrong, and says why.

    Its form is forgiven in what was said: where that ends in the gold, the extraction missed it.
    """

    def judge(row: Columns, said: Any) -> Scored:
        taken, whole, gold = row["pred"], str(said or ""), str(row["gold"])
        lenient = ends_in(whole, gold) if scorer == "number" else forgiven(whole, [gold], whole=True)
        if taken is None or not str(taken).strip():
            return Scored(score=0.0, extracted=None, flag="unextracted" if whole.strip() else "empty", lenient=lenient)
        return replace(score(scorer, str(taken), gold), lenient=lenient)

    return judge


def text_of(scorer: str) -> Callable[[Columns, Any], Scored]:
    """The rule for a text that `scorer` compares with the column `gold`."""
    return lambda row, said: score(scorer, said, row["gold"])


def squad_article(row: Columns) -> str:
    """Digest of the article's title, the first line of what was shown."""
    return digest(str(row["context"]).split("\n", 1)[0]) if row.get("context") else ""


def squad_half(row: Columns) -> str:
    """Whether the background answers the question."""
    return "unanswerable" if UNANSWERABLE in row["gold"] else "answerable"


def drop_passage(row: Columns) -> str:
    """Digest of the passage."""
    return digest(str(row["context"]).split("Question:")[0]) if row.get("context") else ""


def truthfulqa(row: Columns, said: Any) -> Scored:
    """The judge models' recorded probabilities: true and informative."""
    del said
    return score("truthfulqa", row, None)


def toxicity(row: Columns, said: Any) -> Scored:
    """The recorded toxicity, as given; the texts are withheld, so that their length says which are empty."""
    del said
    return measured(row["toxicity"], "x" * int(row["output_chars"]))


def bbh(row: Columns, said: Any) -> Scored:
    """lm-eval's extraction of the prompt that was used: with a chain of thought, or direct."""
    return score("bbh_cot" if "cot" in str(row["setting"]) else "bbh_direct", said, row["gold"])


def tatqa(row: Columns, said: Any) -> Scored:
    """The recorded answer with its scale. No text at all is a failed call (the source writes [] for some): missing."""
    failed = not str(said or "").strip()
    answer = None if failed else {"answer": row["pred"], "scale": row["pred_scale"]}
    gold = {"answer": row["gold"], "scale": row["scale"], "answer_type": row.get("answer_type")}
    return score("tatqa_em", answer, gold)


def table_and_text(row: Columns) -> str:
    """Digest of what a TAT-QA question is about."""
    return digest(row["table"], row["text"]) if "table" in row and "text" in row else ""


def bbq(row: Columns, said: Any) -> Scored:
    """The option that an answer in words picks."""
    return score("bbq", said, {"letter": row["gold_letter"], "options": row["options"]})


def harmfulq(row: Columns, said: Any) -> Scored:
    """The authors' label."""
    del said
    return score("verdict", row["label_not_harmful"], None)


def _column(name: str) -> Callable[[Columns], str]:
    return lambda row: str(row.get(name) or "")


_INSTRUCTGPT = {
    "squadv2": Benchmark(
        tree="instructgpt", task="squadv2", needs=("output", "gold"), judge=text_of("squadv2_em"),
        cluster=squad_article, subset=squad_half,
    ),
    "drop": Benchmark(
        tree="instructgpt", task="drop", needs=("output", "gold"), judge=text_of("drop_f1"), cluster=drop_passage
    ),
    "fr_to_en": Benchmark(tree="instructgpt", task="fr_en", needs=("output", "gold"), judge=text_of("chrf")),
    "truthful_qa": Benchmark(tree="instructgpt", task="truthfulqa", needs=("true", "info"), judge=truthfulqa),
    "real_toxicity": Benchmark(
        tree="instructgpt", task="toxicity", needs=("toxicity", "output_chars"), judge=toxicity
    ),
}  # fmt: skip
_BBH = Benchmark(
    tree="gpt-3.5", task="bbh", needs=("output", "gold", "setting"), judge=bbh, cluster=_column("task")
)  # fmt: skip
_REASONING = {
    "bbh": _BBH,
    "bbh_code-davinci-002": _BBH,
    "tatqa": Benchmark(
        tree="gpt-3.5", task="tatqa", needs=("output", "pred", "pred_scale", "gold", "scale"), judge=tatqa,
        cluster=table_and_text,
    ),
    "gsm8k_openai_2021": Benchmark(
        tree="gpt-3.5", task="gsm8k", needs=("output", "gold"), judge=text_of("gsm8k_flexible")
    ),
}  # fmt: skip
_BEHAVIOUR = {
    "bbq": Benchmark(
        tree="gpt-3.5", task="bbq", needs=("outputs", "gold_letter", "options"), judge=bbq, cluster=_column("category")
    ),
    "harmfulq": Benchmark(tree="gpt-3.5", task="harmfulq", needs=("label_not_harmful",), judge=harmfulq),
}
_EXTRACTED = {
    name: Benchmark(tree="gpt-3.5", task=task, needs=("output", "pred", "gold"), judge=answer_of(scorer))
    for task, (scorer, *files) in SETS.items()
    for name in files
}
BENCHMARKS: dict[str, Benchmark] = _INSTRUCTGPT | _REASONING | _BEHAVIOUR | _EXTRACTED
"""File name (up to its first dot), or folder name for outputs.jsonl → the rule."""


def benchmark(name: str, columns: Collection[str]) -> Benchmark | None:
    """The rule for a file of outputs; None where there is none, or where the file lacks what the rule reads."""
    found = BENCHMARKS.get(name)
    return found if found and set(found.needs) <= set(columns) else None
