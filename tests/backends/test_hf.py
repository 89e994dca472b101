"""Transformers: token rules against the model itself, and checkpoints that can't be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from capeval.backends import BackendSettings, open_backend
from capeval.backends.tokens import encode, encode_pair, pack, rolling_windows
from capeval.backends.trie.budget import Budget
from capeval.core import Reply, Request
from capeval.errors import BadFileError, CapevalError, EngineError, MissingError, UsageError


def engine_of(folder: Path):
    return open_backend("hf", str(folder), BackendSettings())._engine()


def one(batches) -> Reply:
    [[(_, reply)]] = batches
    return reply


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def change_config(folder: Path, **values) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_weights(folder: Path, change) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_exactly_one_bos(bos_checkpoint: Path, tiny_checkpoint: Path) -> None:
    tokenizer = engine_of(bos_checkpoint).tokenizer
    bos = tokenizer.bos_token_id
    assert encode(tokenizer, "a text").count(bos) == 1
    assert encode(tokenizer, "<s>a text") == encode(tokenizer, "a text")
    context, target = encode_pair(tokenizer, "The capital is", " Rome", bos)
    assert context.count(bos) == 1 and bos not in target
    assert encode_pair(tokenizer, "", " Rome", bos)[0] == [bos]
    for text in ("a text", "<s>a text"):
        [(context, target)] = rolling_windows(tokenizer, text, bos, 100)
        assert context == [bos] and bos not in target
    assert encode(engine_of(tiny_checkpoint).tokenizer, "a text").count(bos) == 0, "the tokenizer decides"


def test_spaces_at_the_border_belong_to_the_continuation(tiny_checkpoint: Path) -> None:
    tokenizer = engine_of(tiny_checkpoint).tokenizer
    assert encode_pair(tokenizer, "The capital is ", "Rome", 0) == encode_pair(tokenizer, "The capital is", " Rome", 0)
    assert encode_pair(tokenizer, "\n", "Rome", 0) == ([0], encode(tokenizer, "\nRome"))


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 17, 30])
def test_rolling_windows_score_every_token_once_with_all_the_context_that_fits(
    tiny_checkpoint: Path, length: int
) -> None:
    tokenizer = engine_of(tiny_checkpoint).tokenizer
    ids = tokenizer.encode("A week has seven days, and a year has twelve months." * 3)[:length]
    pairs = rolling_windows(tokenizer, tokenizer.decode(ids), 0, 8)
    ids = tokenizer.encode(tokenizer.decode(ids)) if length else []
    assert [t for _, target in pairs for t in target] == ids
    assert all(len(context) + len(target) <= 9 for context, target in pairs)


def test_packing_fills_but_never_overfills() -> None:
    assert [list(span) for span in pack([50, 20, 20, 20, 5], Budget(tokens=60))] == [[0], [1, 2, 3], [4]]
    assert [list(span) for span in pack([100, 1], Budget(tokens=10))] == [[0], [1]]
    assert list(pack([], Budget(tokens=10))) == []
    budget = Budget(tokens=4)
    spans = pack([1] * 6, budget)
    assert list(next(spans)) == [0, 1, 2, 3]
    budget.tokens = 1
    assert [list(span) for span in spans] == [[4], [5]], "a budget that was halved counts from the next batch on"


def test_log_probabilities_are_those_of_a_plain_forward_pass(tiny_checkpoint: Path) -> None:
    engine = engine_of(tiny_checkpoint)
    backend = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    reply = one(
        backend.loglikelihood([Request(kind="loglikelihood", text="The capital of Peru", continuation=" is Lima")])
    )
    context = engine.tokenizer.encode("The capital of Peru")
    ids = engine.tokenizer.encode("The capital of Peru is Lima")
    with torch.no_grad():
        logprobs = engine.forward.plainly()(torch.tensor([ids])).logits[0].log_softmax(-1)
    wanted = sum(float(logprobs[i - 1, ids[i]]) for i in range(len(context), len(ids)))
    assert reply.logprob == pytest.approx(wanted, abs=1e-4)
    assert reply.n_tokens == len(ids) - len(context)


def test_prompts_beyond_the_window_are_cut_and_say_so(copy: Path) -> None:
    change_config(copy, max_position_embeddings=32)
    backend = open_backend("hf", str(copy), BackendSettings())
    engine = backend._engine()
    text = "The sun rises in the east. " * 10
    n = len(engine.tokenizer.encode(text))
    generation = {"max_gen_toks": 8, "do_sample": False}
    reply = one(backend.generate([Request(kind="generate", text=text, generation=generation)]))
    assert reply.cut == n - 24 and reply.n_tokens == 8
    scored = one(backend.loglikelihood([Request(kind="loglikelihood", text=text.rstrip(), continuation=" Rain")]))
    assert scored.cut > 0 and scored.logprob is not None
    whole = one(backend.perplexity([Request(kind="perplexity", text=text)]))
    assert whole.n_tokens == n and whole.cut == 0, "a rolling text is never cut"
    long = one(backend.loglikelihood([Request(kind="loglikelihood", text="a", continuation=text)]))
    assert "window" in long.error and long.logprob is None
    with pytest.raises(UsageError, match="answers of up to 32 tokens"):
        one(backend.generate([Request(kind="generate", text="a", generation={"max_gen_toks": 32})]))


def test_a_continuation_without_tokens_is_an_error_not_a_score(tiny_checkpoint: Path) -> None:
    backend = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    requests = [Request(kind="loglikelihood", text="a", continuation=c) for c in ("", " b")]
    found = dict(pair for batch in backend.loglikelihood(requests) for pair in batch)
    assert found[0].error and found[0].logprob is None and found[1].logprob is not None


def test_sampled_answers_follow_their_seed(tiny_checkpoint: Path) -> None:
    backend = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    generation = {"do_sample": True, "temperature": 1.5, "max_gen_toks": 12}

    def ask(seed: int, samples: list[int]) -> dict[int, str | None]:
        requests = [Request(kind="generate", text="Rain", generation=generation, sample=s, seed=seed) for s in samples]
        return {samples[i]: r.text for batch in backend.generate(requests) for i, r in batch}

    first = ask(0, [0, 1, 2])
    assert ask(0, [2, 0]) == {0: first[0], 2: first[2]}, "the same whatever else is asked"
    assert len(set(first.values())) == 3 and ask(1, [0])[0] != first[0]


def test_unknown_generation_settings(tiny_checkpoint: Path) -> None:
    backend = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    with pytest.raises(UsageError, match="tempratur.*temperature"):
        list(backend.generate([Request(kind="generate", text="a", generation={"tempratur": 1.0})]))


@pytest.mark.parametrize("setting", ["custom_generate", "trust_remote_code", "assistant_model", "logits_processor"])
def test_generation_settings_name_no_code_and_no_other_model(tiny_checkpoint: Path, copy: Path, setting: str) -> None:
    custom = copy / "custom_generate"
    custom.mkdir()
    (custom / "generate.py").write_text("raise SystemExit('a stranger runs code')")
    backend = open_backend("hf", str(tiny_checkpoint), BackendSettings())
    generation = {setting: str(copy), "trust_remote_code": True}
    with pytest.raises(UsageError, match="generation_kwargs"):
        list(backend.generate([Request(kind="generate", text="a", generation=generation)]))


def test_nan_logits_name_the_checkpoint(copy: Path) -> None:
    def poison(weights) -> None:
        weights["model.norm.weight"][0] = torch.nan

    change_weights(copy, poison)
    backend = open_backend("hf", str(copy), BackendSettings())
    for ask in (
        lambda: backend.generate([Request(kind="generate", text="a", generation={"max_gen_toks": 2})]),
        lambda: backend.loglikelihood([Request(kind="loglikelihood", text="a", continuation=" b")]),
        lambda: backend.perplexity([Request(kind="perplexity", text="a b")]),
    ):
        with pytest.raises(EngineError, match="copy gives NaN") as caught:
            list(ask())
        assert caught.value.exit_code == 3


def test_digest_is_of_what_decides_the_answers(copy: Path, tiny_checkpoint: Path) -> None:
    def digest() -> str:
        return open_backend("hf", str(copy), BackendSettings()).digest

    before = open_backend("hf", str(tiny_checkpoint), BackendSettings()).digest
    assert digest() == before
    (copy / "README.md").write_text("no part of the model")
    assert digest() == before
    (copy / "chat_template.jinja").write_text("{{ messages }}")
    with_template = digest()
    assert with_template != before

    def nudge(weights) -> None:
        weights["model.norm.weight"][0] += 1e-3

    change_weights(copy, nudge)
    assert digest() not in (before, with_template)


def test_no_chat_template(tiny_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="has no chat template"):
        open_backend("hf", str(tiny_checkpoint), BackendSettings()).chat([{"role": "user", "content": "hi"}])


def _drop(*names: str):
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


def _pickle_only(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def _lost_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("harm", "kind", "message"),
    [
        (_drop("config.json"), UsageError, "lacks config.json"),
        (_drop("model.safetensors"), UsageError, "has no weights"),
        (_pickle_only, UsageError, "only as pickles .*save_pretrained"),
        (_drop("tokenizer.json"), UsageError, "has no tokenizer"),
        (_cut, BadFileError, "model.safetensors is damaged or cut"),
        (_lost_shard, BadFileError, "model-00002.safetensors, which is not there"),
        (lambda f: (f / "config.json").write_text("{"), BadFileError, "config.json can't be read as JSON"),
    ],
)
def test_unusable_checkpoints_are_refused_when_opened(copy: Path, harm, kind: type, message: str) -> None:
    harm(copy)
    with pytest.raises(kind, match=message):
        open_backend("hf", str(copy), BackendSettings())


@pytest.mark.parametrize(
    ("harm", "kind", "message"),
    [
        (lambda f: (f / "tokenizer.json").write_text("{}"), BadFileError, "the tokenizer of .* can't be loaded"),
        (lambda f: change_config(f, model_type="novel"), UsageError, "needs code that this transformers lacks"),
        (lambda f: change_config(f, num_hidden_layers=3), BadFileError, "tensors are missing"),
        (lambda f: change_config(f, hidden_size=32), BadFileError, "can't be loaded|tensors are missing"),
    ],
)
def test_unusable_checkpoints_are_refused_when_loaded(copy: Path, harm, kind: type, message: str) -> None:
    harm(copy)
    backend = open_backend("hf", str(copy), BackendSettings())
    with pytest.raises(kind, match=message):
        list(backend.perplexity([Request(kind="perplexity", text="a")]))


def test_a_tokenizer_of_another_checkpoint(copy: Path) -> None:
    def shrink(weights) -> None:
        weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:300].clone()

    change_weights(copy, shrink)
    change_config(copy, vocab_size=300)
    backend = open_backend("hf", str(copy), BackendSettings())
    with pytest.raises(BadFileError, match="its weights know 300 tokens"):
        list(backend.perplexity([Request(kind="perplexity", text="The capital of Peru is Lima")]))


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("config.json", {"max_position_embeddings": 0}, "it can read 0 tokens"),
        ("generation_config.json", {"eos_token_id": 1.5}, "eos_token_id"),
        ("model.safetensors.index.json", {"weight_map": ["a"]}, "weight_map is no mapping"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(copy: Path, file: str, values: dict[str, object], message: str) -> None:
    old = json.loads((copy / file).read_text()) if (copy / file).is_file() else {}
    (copy / file).write_text(json.dumps(old | values))
    with pytest.raises(BadFileError, match=message):
        list(open_backend("hf", str(copy), BackendSettings()).perplexity([Request(kind="perplexity", text="a b")]))


def test_a_home_that_nobody_has() -> None:
    with pytest.raises(UsageError, match="there is no checkpoint folder ~nosuchuser/x"):
        open_backend("hf", "~nosuchuser/x", BackendSettings())


def test_places_that_are_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.bin").write_text("")
    with pytest.raises(UsageError, match="there is no checkpoint folder"):
        open_backend("hf", str(tmp_path / "nowhere"), BackendSettings())
    with pytest.raises(UsageError, match="is a file"):
        open_backend("hf", str(tmp_path / "file.bin"), BackendSettings())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        MissingError, match="as a hub id it is not in the local cache while HF_HUB_OFFLINE is set"
    ) as caught:
        open_backend("hf", "nobody/nothing-of-this-name", BackendSettings())
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        (BackendSettings(device="cpuu"), UsageError, "is no device"),
        (BackendSettings(device="cuda:99"), MissingError, "no GPU 'cuda:99'"),
        (BackendSettings(dtype="float23"), UsageError, "did you mean 'float32'"),
    ],
)
def test_devices_and_dtypes(tiny_checkpoint: Path, settings: BackendSettings, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        open_backend("hf", str(tiny_checkpoint), settings)
    assert isinstance(caught.value, CapevalError)
