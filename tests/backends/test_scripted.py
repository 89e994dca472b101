from __future__ import annotations

from pathlib import Path

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.core import Request
from capeval.errors import BadFileError, UsageError

SCRIPT = """
rules:
  - {when: 'What is (\\d+) plus 0', say: ' \\1'}
  - {when: capital of Peru, say: ' Lima'}
"""


def ask(backend, *texts: str, **generation):
    requests = [Request(kind="generate", text=text, generation=generation) for text in texts]
    return [reply.text for batch in backend.generate(requests) for _, reply in batch]


def test_a_script_decides_what_it_knows(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(SCRIPT)
    backend = open_backend("scripted", str(file), BackendSettings())
    assert ask(backend, "What is 7 plus 0?") == [" 7"]
    pair = [Request(kind="loglikelihood", text="The capital of Peru is", continuation=c) for c in (" Lima", " Oslo")]
    [batch] = backend.loglikelihood(pair)
    assert [reply.greedy for _, reply in batch] == [True, False]
    assert batch[0][1].logprob == 0.0 > batch[1][1].logprob


def test_without_a_script_the_name_is_the_seed() -> None:
    one, same, other = (open_backend("scripted", name, BackendSettings()) for name in ("a", "a", "b"))
    prompts = [f"question {i}" for i in range(50)]
    assert ask(one, *prompts) == ask(same, *prompts) != ask(other, *prompts)
    assert one.digest == same.digest != other.digest


def test_stop_strings_and_length() -> None:
    backend = open_backend("scripted", "a", BackendSettings())
    assert ask(backend, "q", until=["."]) == [" Let me think"]
    [[(_, cut)]] = backend.generate([Request(kind="generate", text="q", generation={"max_gen_toks": 2})])
    assert (cut.text, cut.finish, cut.n_tokens) == (" Let me", "length", 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule: []", "did you mean 'rules'"),
        ("rules: [{when: a}]", "needs 'when' and 'say'"),
        ("rules: [{when: '(', say: b}]", "no regular expression"),
    ],
)
def test_bad_scripts(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(text)
    with pytest.raises(BadFileError, match=message):
        open_backend("scripted", str(tmp_path / "s.yaml"), BackendSettings())


def test_unknown_backend_and_missing_script() -> None:
    with pytest.raises(UsageError, match="unknown backend 'script'; did you mean 'scripted'"):
        open_backend("script", "a", BackendSettings())
    with pytest.raises(UsageError, match="there is no script"):
        open_backend("scripted", "nowhere.yaml", BackendSettings())
