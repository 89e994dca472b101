"""Through the door (`open_backend`): odd checkpoints, odd requests, resumed runs, and how many tokens are forwarded."""

from __future__ import annotations

import gc
import json
import random
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from capeval.backends import BackendSettings, loading, open_backend
from capeval.core import Reply, Request
from capeval.errors import BadFileError
from tests.conftest import make_tokenizer

WORDS = ["sun", "rain", "week", "seven", "days", "Peru", "Lima", "capital", "of", "the", "is", "two", "plus"]


def text(draw: random.Random, n: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(n))


def score(prompt: str, continuation: str) -> Request:
    return Request(kind="loglikelihood", text=prompt, continuation=continuation)


def write(prompt: str, **generation: Any) -> Request:
    return Request(kind="generate", text=prompt, generation={"do_sample": False, "max_gen_toks": 10} | generation)


def opened(folder: Path, **settings: Any) -> Any:
    return open_backend("hf", str(folder), BackendSettings(device="cpu", dtype="float32", **settings))


def replies(backend: Any, requests: Sequence[Request], known: frozenset[int] = frozenset()) -> dict[int, Reply]:
    found = [pair for batch in getattr(backend, requests[0].kind)(requests, known) for pair in batch]
    assert sorted(i for i, _ in found) == [i for i in range(len(requests)) if i not in known]
    return dict(found)


def forwarded(backend: Any, requests: Sequence[Request], known: frozenset[int] = frozenset()) -> int:
    before = backend.counts().get("forwarded", 0)
    replies(backend, requests, known)
    return int(backend.counts()["forwarded"] - before)


def peer(folder: Path) -> Any:
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1)


def same_scores(folder: Path, requests: Sequence[Request]) -> None:
    from lm_eval.api.instance import Instance

    found = replies(opened(folder), requests)
    asks = [Instance("loglikelihood", {}, (r.text, r.continuation), 0) for r in requests]
    for number, (logprob, greedy) in enumerate(peer(folder).loglikelihood(asks, disable_tqdm=True)):
        assert found[number].logprob == pytest.approx(logprob, abs=1e-4) and found[number].greedy == greedy


def same_answers(folder: Path, requests: Sequence[Request]) -> None:
    from lm_eval.api.instance import Instance

    found = replies(opened(folder), requests)
    asks = [Instance("generate_until", {}, (r.text, dict(r.generation)), 0) for r in requests]
    assert [found[i].text for i in range(len(requests))] == peer(folder).generate_until(asks, disable_tqdm=True)


@pytest.fixture
def copy(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def choices(seed: int = 0, questions: int = 8) -> list[Request]:
    """Two few-shot heads, questions, choices of one and of several tokens, some of them equal."""
    draw = random.Random(seed)
    found = []
    for head in (f"{text(draw, 40)}\n\n", f"{text(draw, 25)}\n\n"):
        for _ in range(questions):
            question = f"{head}{text(draw, draw.randrange(3, 9))}\nAnswer:"
            found += [score(question, f" {choice}") for choice in ("Lima", "seven days", text(draw, 2), "Lima")]
    return found


@pytest.mark.parametrize("until", [["\n"], ["\n\n", "is"], [" "], ["ven", "."]])
def test_answers_and_scores_are_lm_evals(tiny_checkpoint: Path, until: list[str]) -> None:
    draw = random.Random(1)
    heads = [text(draw, 30), text(draw, 20)]
    prompts = [f"{head}\n\nThe {text(draw, n)}" for n in (1, 4, 2, 6) for head in heads] + ["A", heads[0]]
    same_answers(tiny_checkpoint, [write(prompt, until=until) for prompt in prompts])
    if until == ["\n"]:
        same_scores(tiny_checkpoint, choices())


def test_a_tokenizer_that_joins_over_the_border_is_asked_as_lm_eval_asks_it(copy: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    parts = ["<s>", "</s>", *"abcdx ", "cd", "bcd", "ab", "xa", "bc", " x"]
    merges = [("c", "d"), ("b", "cd"), ("a", "b"), ("x", "a"), ("b", "c"), (" ", "x")]
    tokenizer = Tokenizer(models.BPE({part: i for i, part in enumerate(parts)}, merges))
    for file in copy.glob("token*"):
        file.unlink()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>").save_pretrained(copy)
    encode = opened(copy)._engine().tokenizer.encode
    assert encode("ab") == [parts.index("ab")] and encode("abcd") == [parts.index("a"), parts.index("bcd")]
    pairs = [("ab", "cd"), ("xab", "cdx"), ("ab ", "xab"), ("x", "abcd"), ("ab", "cdab"), ("b", "cda"), ("xx", "ab")]
    same_scores(copy, [score(*pair) for pair in pairs])
    joined = replies(opened(copy), [score("b", "c"), score("ab", "x")])
    assert "no tokens" in joined[0].error and joined[0].logprob is None, "the context took it all"
    assert joined[1].logprob is not None


@pytest.mark.parametrize("lacks", [["pad"], ["pad", "bos"], ["pad", "eos"], ["pad", "bos", "eos"]])
def test_missing_special_tokens(copy: Path, lacks: list[str]) -> None:
    from transformers import PreTrainedTokenizerFast

    inner = make_tokenizer([" ".join(WORDS)])
    named = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"}
    kept = {name: token for name, token in named.items() if name.removesuffix("_token") not in lacks}
    PreTrainedTokenizerFast(tokenizer_object=inner.backend_tokenizer, **kept).save_pretrained(copy)
    (copy / "special_tokens_map.json").unlink(missing_ok=True)
    for file in ("config.json", "generation_config.json"):
        values = json.loads((copy / file).read_text())
        (copy / file).write_text(json.dumps(values | {"pad_token_id": None, "eos_token_id": None}))
    backend = opened(copy)
    if "eos" in lacks and "bos" in lacks:
        with pytest.raises(BadFileError, match="names neither a BOS nor an end-of-text token"):
            replies(backend, [score("a", " b")])
        return
    assert backend._engine().ends == (() if "eos" in lacks else (1,))
    answers = replies(backend, [write("The capital"), write(""), write("Rain and the sun")])
    assert all(0 < (reply.n_tokens or 0) <= 10 for reply in answers.values())
    assert all(reply.logprob is not None for reply in replies(backend, [score("", " b"), score("a", " b")]).values())


def test_prompts_beyond_the_window_are_cut_each_by_itself(copy: Path) -> None:
    """Two prompts that differ only in what is cut are read once, and each says how much it lost."""
    values = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(values | {"max_position_embeddings": 40}))
    draw = random.Random(0)
    tail = text(draw, 60)
    backend = opened(copy)
    encode = backend._engine().tokenizer.encode
    prompts = [f"sun {tail}", f"rain the sun {tail}"]
    found = replies(backend, [write(prompt) for prompt in prompts])
    assert [found[i].cut for i in (0, 1)] == [len(encode(prompt)) - 30 for prompt in prompts]
    assert found[0].text == found[1].text
    requests = [score(prompt, " Lima") for prompt in prompts]
    scored = replies(backend, requests)
    assert scored[0].logprob == scored[1].logprob and 0 < scored[0].cut < scored[1].cut
    same_scores(copy, requests)


def test_equal_requests_are_forwarded_once(tiny_checkpoint: Path) -> None:
    backend = opened(tiny_checkpoint)
    for requests in (choices(), [write(r.text) for r in choices()[::4]]):
        replies(backend, requests)
        once = forwarded(backend, requests)
        assert forwarded(backend, [*requests, *requests]) == once
        found = replies(backend, [*requests, *requests])
        assert all(found[i] == found[i + len(requests)] for i in range(len(requests)))


def test_samples_of_one_prompt_read_it_once(tiny_checkpoint: Path) -> None:
    backend = opened(tiny_checkpoint)
    prompt = text(random.Random(0), 60)
    settings = {"do_sample": True, "temperature": 1.2, "max_gen_toks": 3}
    requests = [Request(kind="generate", text=prompt, generation=settings, sample=i) for i in range(12)]
    alone = {i: replies(backend, [request])[0] for i, request in enumerate(requests)}
    size = len(backend._engine().tokenizer.encode(prompt))
    assert size <= forwarded(backend, requests) <= size + 12 * 3
    assert replies(backend, requests) == alone


@pytest.mark.parametrize("budget", [64, 400, 0])
def test_few_shot_work_forwards_little_more_than_its_distinct_tokens(tiny_checkpoint: Path, budget: int) -> None:
    backend = opened(tiny_checkpoint, batch_tokens=budget)
    backend.load()
    start = backend.counts()
    total = forwarded(backend, choices(questions=16))
    assert 0 < total <= 1.15 * (backend.counts()["distinct"] - start["distinct"])


@pytest.mark.parametrize("kind", ["loglikelihood", "perplexity"])
@pytest.mark.parametrize("budget", [100, 0])
def test_a_resumed_run_says_the_same_to_the_last_bit_and_forwards_only_what_it_needs(
    copy: Path, kind: str, budget: int
) -> None:
    values = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(values | {"max_position_embeddings": 300}))
    draw = random.Random(5)
    requests = choices()
    if kind == "perplexity":
        requests = [Request(kind="perplexity", text=text(draw, n)) for n in (5, 80, 400, 5, 30, 0, 200)]
    backend = opened(copy, batch_tokens=budget)
    whole = replies(backend, requests)
    everything = forwarded(backend, requests)
    for known in (frozenset(range(len(requests) // 2)), frozenset(i for i in whole if draw.random() < 0.5)):
        assert replies(backend, requests, known) == {i: reply for i, reply in whole.items() if i not in known}
    assert forwarded(backend, requests, frozenset(range(len(requests)))) == 0
    if budget:
        assert 0 < forwarded(backend, requests, frozenset(range(len(requests) // 2))) < 0.8 * everything


def test_rolling_texts_are_summed_from_plain_forwards(copy: Path) -> None:
    from capeval.backends.tokens import rolling_windows

    values = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(values | {"max_position_embeddings": 48}))
    draw = random.Random(2)
    texts = [text(draw, n) for n in (3, 20, 90, 20)] + [text(draw, 1)]
    backend = opened(copy)
    found = replies(backend, [Request(kind="perplexity", text=t) for t in texts])
    engine = backend._engine()
    engine.forward.plainly()
    for number, t in enumerate(texts):
        wanted = 0.0
        for context, target in rolling_windows(engine.tokenizer, t, engine.prefix, 48):
            with torch.inference_mode():
                rows = engine.model(torch.tensor([(context + target)[:-1]])).logits[0].log_softmax(-1)
            wanted += sum(float(row[token]) for row, token in zip(rows[-len(target) :], target, strict=True))
        assert found[number].logprob == pytest.approx(wanted, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {"no_repeat_ngram_size": 2},
        {"bad_words_ids": [[17], [30]]},
        {"min_new_tokens": 8},
        {"no_repeat_ngram_size": 3, "repetition_penalty": 1.2},
    ],
    ids=str,
)
def test_settings_beyond_the_engine_are_transformers_own(tiny_checkpoint: Path, settings: dict[str, Any]) -> None:
    prompts = ["The capital of Peru is", "A week has", "The capital of Peru", "2 + 2 ="]
    backend = opened(tiny_checkpoint)
    found = replies(backend, [write(prompt, **settings) for prompt in prompts])
    assert next(iter(settings)) in backend.chosen["plain"], "and the run says so"
    engine = backend._engine()
    engine.forward.plainly()
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([engine.tokenizer.encode(prompt)])
        out = engine.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False, pad_token_id=2,
            eos_token_id=1, **settings,
        )[0, ids.shape[1] :]  # fmt: skip
        assert found[number].text == engine.tokenizer.decode(out, skip_special_tokens=True)


def test_a_models_own_generation_settings_are_honoured(copy: Path) -> None:
    file = copy / "generation_config.json"
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.3}
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    prompts = ["The capital of Peru is", "A week has", "2 + 2 ="]
    backend = opened(copy)
    found = replies(backend, [write(prompt, max_gen_toks=20) for prompt in prompts])
    engine = backend._engine()
    engine.forward.plainly()
    for number, prompt in enumerate(prompts):
        ids = torch.tensor([engine.tokenizer.encode(prompt)])
        out = engine.model.generate(input_ids=ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
        assert found[number].text == engine.tokenizer.decode(out, skip_special_tokens=True)
    # nobody asked for samples: the answer to the same request must be the same one
    unsaid = Request(kind="generate", text=prompts[0], generation={"max_gen_toks": 20})
    assert replies(backend, [unsaid])[0] == found[0]
    [first, second] = (
        replies(backend, [Request(kind="generate", text="Rain", generation={"max_gen_toks": 20, "do_sample": True},
                                  sample=sample)])[0].text for sample in (0, 1)
    )  # fmt: skip
    assert first != second


def test_one_models_weights_are_gone_before_anothers_are_loaded(
    tiny_checkpoint: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Siblings of a tree are asked one after another: two of them must never be in memory."""
    first = opened(tiny_checkpoint)
    replies(first, choices())
    replies(first, [write("Rain")])
    alive = weakref.ref(first._engine().model)
    seen = []
    real = loading._model

    def watch(*args: Any) -> Any:
        gc.collect()
        seen.append(alive())
        return real(*args)

    monkeypatch.setattr(loading, "_model", watch)
    opened(copy).load()
    assert seen == [None]
