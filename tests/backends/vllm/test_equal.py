"""The same answers as the `hf` engine, from the real engine in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from capeval.backends import Backend, BackendSettings, open_backend
from capeval.core import Reply, Request
from capeval.errors import EngineError, UsageError
from tests.backends.test_contract import replies
from tests.backends.vllm.conftest import copied

pytestmark = pytest.mark.vllm


def both(folder: Path, **options: str) -> tuple[Backend, Backend]:
    return open_backend("hf", str(folder), BackendSettings()), vllm(folder, **options)


def vllm(folder: Path, **options: str) -> Backend:
    return open_backend("vllm", str(folder), BackendSettings(options=options))


def asked(folder: Path, requests: list[Request], **options: str) -> tuple[list[Reply], list[Reply]]:
    hf, other = both(folder, **options)
    return replies(hf, requests), replies(other, requests)


HEAD = "".join(f"Question: What is {i} plus 1?\nAnswer: {i + 1}\n\n" for i in range(12))
CHOICES = (" Lima", " Oslo", " Rome, the city", " R", " x", " Lima and Oslo")


def scores(n: int) -> list[Request]:
    return [
        Request(kind="loglikelihood", text=f"{HEAD}Question: Where is {i}?\nAnswer:", continuation=choice)
        for i in range(n)
        for choice in CHOICES
    ]


def texts(n: int, **generation: object) -> list[Request]:
    settings = {"do_sample": False, "max_gen_toks": 24, "until": ["\n\n", "Question:"], **generation}
    return [
        Request(kind="generate", text=f"{HEAD[: 97 * (i % 5)]}Question: What is {i} plus 2?\nAnswer:",
                generation=settings, sample=i % 3, seed=7)
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["", "forced", "steps", "whole"])
def test_log_probabilities_in_every_way(siblings: dict[str, list[Path]], way: str) -> None:
    ours, theirs = asked(siblings["tied"][0], scores(20), **({"scoring": way} if way else {}))
    for one, other in zip(ours, theirs, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert (one.greedy, one.n_tokens, one.cut) == (other.greedy, other.n_tokens, other.cut)


def test_the_greedy_continuation_is_called_greedy(wide_checkpoint: Path) -> None:
    """A trained one: what it says is encoded as it was said."""
    folder = wide_checkpoint
    [said] = replies(vllm(folder), [texts(1, max_gen_toks=5, until=[])[0]])
    assert said.text
    request = Request(kind="loglikelihood", text=texts(1)[0].text, continuation=said.text)
    ours, theirs = asked(folder, [request, replace(request, continuation=said.text + "zz")])
    assert [reply.greedy for reply in ours] == [reply.greedy for reply in theirs] == [True, False]


def test_greedy_flags_where_choices_of_one_token_and_of_several_are_asked_together(wide_checkpoint: Path) -> None:
    """A trained model, so that some are greedy: prompts without a head in common, choices of one to six tokens."""
    prompts = [f"Question: What is {a} plus {b}?\nAnswer:" for a in range(12) for b in range(4)]
    said = replies(vllm(wide_checkpoint), [replace(texts(1, max_gen_toks=6, until=[])[0], text=p) for p in prompts])
    requests = [
        Request(kind="loglikelihood", text=prompt, continuation=choice)
        for prompt, reply in zip(prompts, said, strict=True)
        for choice in (" 3", " 12", " seven", str(reply.text), str(reply.text)[:2] or " ")
    ]
    ours, theirs = asked(wide_checkpoint, requests)
    flags = [reply.greedy for reply in ours]
    assert [reply.greedy for reply in theirs] == flags
    assert 20 < sum(map(bool, flags)) < len(flags) - 20, "both kinds are there"


def test_heads_are_read_from_the_cache(siblings: dict[str, list[Path]], cold: None) -> None:
    backend = vllm(siblings["tied"][0])
    n = 40
    replies(backend, scores(n))
    share = float(backend.chosen["cache"].split("%")[0])
    # of about 250 tokens of a prompt all but the question's own and an incomplete block are the head's
    assert share > 70
    assert backend.chosen["scoring"].startswith("forced")
    assert "1 scored twice" in backend.chosen["checked"]


def test_texts(siblings: dict[str, list[Path]], wide_checkpoint: Path) -> None:
    for folder in (siblings["tied"][1], siblings["untied"][1], wide_checkpoint):
        ours, theirs = asked(folder, texts(40))
        assert ours == theirs
        assert {reply.finish for reply in ours} <= {"stop", "length"}
    assert any(reply.finish == "length" for reply in asked(siblings["tied"][1], texts(40, max_gen_toks=4))[1])


def test_a_repetition_penalty_of_the_checkpoint_counts(siblings: dict[str, list[Path]], tmp_path: Path) -> None:
    folder = copied(siblings["tied"][0], tmp_path / "penalty")
    (folder / "generation_config.json").write_text('{"eos_token_id": 1, "repetition_penalty": 1.5}')
    ours, theirs = asked(folder, texts(20))
    assert [reply.text for reply in ours] == [reply.text for reply in theirs]
    assert [reply.text for reply in theirs] != [r.text for r in replies(vllm(siblings["tied"][0]), texts(20))]


def test_perplexity_window_by_window(siblings: dict[str, list[Path]]) -> None:
    sentence = "A week has seven days, and a day has hours. "
    requests = [Request(kind="perplexity", text=sentence * n) for n in (0, 1, 7, 40, 100)]
    ours, theirs = asked(siblings["tied"][2], requests)
    for one, other in zip(ours, theirs, strict=True):
        assert one.logprob == pytest.approx(other.logprob, rel=1e-5, abs=1e-4)
        assert one.n_tokens == other.n_tokens


def test_what_does_not_fit_is_cut_alike(siblings: dict[str, list[Path]]) -> None:
    long = HEAD * 8
    pairs = [Request(kind="loglikelihood", text=long[k:], continuation=c) for k in (0, 700, 1900) for c in CHOICES]
    ours, theirs = asked(siblings["tied"][0], pairs)
    assert any(reply.cut for reply in ours) and [r.cut for r in ours] == [r.cut for r in theirs]
    assert [r.logprob for r in theirs] == pytest.approx([r.logprob for r in ours], abs=1e-4)
    prompts = [replace(request, text=long[k:]) for k, request in zip((0, 1000), texts(2), strict=True)]
    ours, theirs = asked(siblings["tied"][0], prompts)
    assert ours == theirs and ours[0].cut > 0
    assert both(siblings["tied"][0])[1].overflow(prompts[0]) == ours[0].cut


def test_a_shorter_window_of_the_users(siblings: dict[str, list[Path]]) -> None:
    backend = vllm(siblings["tied"][0], max_model_len="64")
    [reply] = replies(backend, [Request(kind="loglikelihood", text=HEAD, continuation=" 4")])
    assert reply.cut == backend.overflow(Request(kind="loglikelihood", text=HEAD, continuation=" 4")) > 0
    assert backend.numerics["max_model_len"] == "64"


def test_learned_positions_up_to_the_last(wide_checkpoint: Path, tmp_path: Path) -> None:
    """GPT-2 has no position behind its window: the last token of a full prompt must never be read."""
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(wide_checkpoint)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=128, n_embd=64, n_layer=2, n_head=2,
                        bos_token_id=0, eos_token_id=1, initializer_range=0.3)  # fmt: skip
    folder = tmp_path / "gpt2"
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    requests = [Request(kind="loglikelihood", text=HEAD, continuation=c) for c in CHOICES]
    requests += [Request(kind="perplexity", text=HEAD * 3)]
    for kind in ("loglikelihood", "perplexity"):
        some = [request for request in requests if request.kind == kind]
        ours, theirs = asked(folder, some)
        assert [r.logprob for r in theirs] == pytest.approx([r.logprob for r in ours], rel=1e-5, abs=1e-4)


def test_samples_belong_to_their_requests(siblings: dict[str, list[Path]]) -> None:
    backend = vllm(siblings["untied"][2])
    sampled = {"do_sample": True, "temperature": 1.0}
    requests = texts(24, **sampled)
    first = replies(backend, requests)
    again = replies(backend, requests[::-1])[::-1]
    assert [r.text for r in first] == [r.text for r in again]
    same = [replace(requests[0], sample=i) for i in range(6)]
    assert len({reply.text for reply in replies(backend, same)}) == 6


@pytest.mark.parametrize(
    ("generation", "message"),
    [
        ({"no_repeat_ngram_size": 2}, "no no_repeat_ngram_size"),
        ({"num_beams": 4}, "no beam search"),
        ({"do_sample": True, "temperature": 5.0}, "temperatures from"),
        ({"temprature": 1.0}, "did you mean 'temperature'"),
        ({"max_gen_toks": 300}, "answers of up to 300 tokens"),
    ],
)
def test_settings_that_it_can_not_honour(
    siblings: dict[str, list[Path]], generation: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        replies(vllm(siblings["tied"][0]), texts(1, **generation))


def test_an_empty_continuation_is_an_error_of_its_request(siblings: dict[str, list[Path]]) -> None:
    request = Request(kind="loglikelihood", text="The capital is", continuation="")
    [empty, other] = replies(vllm(siblings["tied"][0]), [request, replace(request, continuation=" Lima")])
    assert empty.error and other.logprob is not None


def test_damaged_weights_are_refused_at_the_start(siblings: dict[str, list[Path]], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = copied(siblings["untied"][0], tmp_path / "nan")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    with pytest.raises(EngineError, match="NaN or infinite"):
        replies(vllm(folder), scores(1))


def test_a_model_that_vllm_can_not_run(tiny_checkpoint: Path) -> None:
    """Heads of 16 dimensions: vLLM's CPU kernels have none."""
    with pytest.raises((EngineError, UsageError), match="vLLM"):
        replies(vllm(tiny_checkpoint), scores(1))


def test_a_gpus_runner_replays(
    siblings: dict[str, list[Path]], cold: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """vLLM's second model runner, which a GPU gets: the same source, its kernels interpreted."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "second_runner"))
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    folder = siblings["untied"][0]
    requests = [Request(kind="loglikelihood", text="The capital is", continuation=choice) for choice in CHOICES]
    ours, theirs = asked(folder, requests, kv_cache_memory_bytes=str(2**26))
    assert [r.logprob for r in theirs] == pytest.approx([r.logprob for r in ours], abs=1e-4)
    assert [r.greedy for r in theirs] == [r.greedy for r in ours]
    backend = vllm(folder, kv_cache_memory_bytes=str(2**26))
    replies(backend, requests)
    assert backend.chosen["scoring"].startswith("replay")
