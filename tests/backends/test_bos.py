"""Exactly one BOS where the tokenizer or the chat template wants one, in the very rows that the model reads."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from capeval.backends import BackendSettings, open_backend
from capeval.core import Request
from capeval.harness import Form, prepare, requests_of
from capeval.suites import load_suite

BOS = 0
TURNS = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
TEMPLATES = {"document": "", "template": TURNS, "template with BOS": "{{ bos_token }}" + TURNS}
KINDS = ("generate", "loglikelihood", "perplexity")


def read_by_the_model(backend, kind: str, requests: Sequence[Request]) -> list[tuple[int, int]]:
    """(position, token) of everything that the model reads, without the tokens of its own answers."""
    read: list[tuple[int, int]] = []

    def look(model, args, kwargs) -> None:
        ids, positions = kwargs["input_ids"][0].tolist(), kwargs["position_ids"][0].tolist()
        if kind != "generate" or len(kwargs["logits_to_keep"]) < len(ids):
            read.extend(zip(positions, ids, strict=True))

    engine = backend._engine()
    engine.budget(0)  # measured once, by reading numbers that are no prompt
    hook = engine.model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        assert list(getattr(backend, kind)(requests))
    finally:
        hook.remove()
    return read


@pytest.mark.parametrize("form", TEMPLATES)
@pytest.mark.parametrize("adds", [True, False], ids=["tokenizer adds BOS", "tokenizer adds none"])
def test_rows_begin_with_one_bos_or_have_none(
    tiny_checkpoint: Path, bos_checkpoint: Path, tmp_path: Path, form: str, adds: bool
) -> None:
    folder = Path(shutil.copytree(bos_checkpoint if adds else tiny_checkpoint, tmp_path / "copy"))
    if TEMPLATES[form]:
        (folder / "chat_template.jinja").write_text(TEMPLATES[form])
    backend = open_backend("hf", str(folder), BackendSettings())
    shown = Form(chat=backend.chat, template=backend.chat_template()) if TEMPLATES[form] else Form()
    asked = requests_of(prepare(load_suite("smoke"), shown, limit=2))
    for kind in KINDS:
        read = read_by_the_model(backend, kind, [r for r in asked if r.kind == kind])
        # a text that is scored from its first token on needs something before it
        wanted = adds or form == "template with BOS" or kind == "perplexity"
        assert read and {at for at, token in read if token == BOS} == ({0} if wanted else set()), kind
        assert {token for at, token in read if at == 0} == {BOS} or not wanted, kind


@pytest.mark.parametrize("folder", ["tiny_checkpoint", "bos_checkpoint"])
def test_an_empty_prompt_is_one_bos(folder: str, request: pytest.FixtureRequest) -> None:
    backend = open_backend("hf", str(request.getfixturevalue(folder)), BackendSettings())
    ids = backend._engine().tokenizer.encode("Rain and sun", add_special_tokens=False)
    for text in ("Rain and sun", "<s>Rain and sun"):
        asked = Request(kind="loglikelihood", text="", continuation=text)
        assert read_by_the_model(backend, "loglikelihood", [asked]) == list(enumerate([BOS, *ids[:-1]]))
