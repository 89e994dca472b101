"""T5 and BART: item by item what `lm_eval` gives, and what is theirs alone (masks, two windows, start tokens)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from capeval.backends import BackendSettings, open_backend
from capeval.core import Reply, Request
from capeval.errors import BadFileError, UsageError
from capeval.runner import RunOptions, run
from capeval.suites import load_suite, task_file
from tests.test_parity import cache, config_of, peer, same

__all__ = ["cache"]
PERU = "The capital of Peru is"


def opened(folder: Path, **settings: Any):
    return open_backend("hf", str(folder), BackendSettings(**settings))


def replies(backend, requests: list[Request]) -> list[Reply]:
    found = dict(pair for batch in getattr(backend, requests[0].kind)(requests) for pair in batch)
    return [found[i] for i in range(len(requests))]


def generate(text: str, **generation: Any) -> Request:
    return Request(kind="generate", text=text, generation={"do_sample": False, "max_gen_toks": 8, **generation})


def scored(text: str, continuation: str) -> Request:
    return Request(kind="loglikelihood", text=text, continuation=continuation)


@pytest.fixture
def no_perplexity(tmp_path: Path) -> Path:
    """The smoke suite without its rolling task: what the refusal tells the user to write."""
    source = task_file(load_suite("smoke").sources[0]).parent
    data = yaml.safe_load((source.parent / "suites" / "smoke.yaml").read_text())
    data["tasks"] = [task for task in data["tasks"] if task["name"] != "smoke-sentences"]
    for task in data["tasks"]:
        task["sources"][0]["path"] = str(source.parent / task["sources"][0]["path"])
    file = tmp_path / "no_perplexity.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


@pytest.mark.parametrize("kind", ["t5_checkpoint", "bart_checkpoint"])
def test_scores_are_lm_evals(kind: str, no_perplexity: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    checkpoint = request.getfixturevalue(kind)
    suite = load_suite(str(no_perplexity))
    configs = [config_of(source) for source in suite.sources]
    for config in configs:
        if config["output_type"] == "generate_until":
            # lm-eval lets a decoder write as many tokens more as the longest prompt of its batch has
            config["generation_kwargs"]["max_length"] = config["generation_kwargs"]["max_gen_toks"] + 1
            config["generation_kwargs"]["num_beams"] = 1  # else it takes the checkpoint's own number
    # lm-eval pads an encoder's prompts on the left, which shifts BART's learned positions: it needs batches of 1
    samples = peer(checkpoint, configs, None, batch_size=1 if kind == "bart_checkpoint" else 8)
    options = RunOptions(out=tmp_path / "r", batch_tokens=600)
    records = run(str(checkpoint), str(no_perplexity), options=options).records
    same(suite, records, samples, configs)
    kinds = {source.task: config["output_type"] for source, config in zip(suite.sources, configs, strict=True)}
    right = records.groupby(records["task"].map(kinds))["score"].mean()
    if kind == "bart_checkpoint":
        # log-likelihoods score the answer right after the start token, where this BART says <s>: never greedy
        assert right.pop("loglikelihood") == 0
    assert right.between(0.2, 0.8).all(), right


def test_log_probabilities_are_those_of_a_plain_forward_pass(t5_checkpoint: Path) -> None:
    backend = opened(t5_checkpoint)
    engine = backend._engine()
    found = replies(backend, [scored(PERU, c) for c in (" Lima", " Rome and more", " Oslo")] + [scored("a b", " c")])
    for reply, (prompt, text) in zip(found, [(PERU, " Lima"), (PERU, " Rome and more")], strict=False):
        target = engine.tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            logits = engine.model(torch.tensor([engine.tokenizer.encode(prompt)]), labels=torch.tensor([target])).logits
        wanted = sum(float(logits[0].log_softmax(-1)[i, token]) for i, token in enumerate(target))
        assert reply.logprob == pytest.approx(wanted, abs=1e-4) and reply.n_tokens == len(target)


def test_a_head_of_its_own_is_kept(t5_checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(t5_checkpoint, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.weight"] = weights["shared.weight"] / 2
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert torch.equal(opened(folder)._engine().model.lm_head.weight, weights["lm_head.weight"])


def test_choices_share_the_encoders_pass(t5_checkpoint: Path) -> None:
    backend = opened(t5_checkpoint)
    rows = []
    hook = (
        backend._engine()
        .model.get_encoder()
        .register_forward_hook(
            lambda module, args, kwargs, out: rows.append(kwargs["input_ids"].shape[0]), with_kwargs=True
        )
    )
    replies(backend, [scored(text, c) for text in (PERU, "Rain") for c in (" Lima", " Rome", " a longer choice")])
    hook.remove()
    assert rows == [2]


@pytest.mark.parametrize(("kind", "marks"), [("t5_checkpoint", [1]), ("bart_checkpoint", [0, 1])])
def test_the_encoder_reads_each_special_token_once(kind: str, marks: list[int], request: pytest.FixtureRequest) -> None:
    backend = opened(request.getfixturevalue(kind))
    rows: list[list[int]] = []
    hook = (
        backend._engine()
        .model.get_encoder()
        .register_forward_hook(
            lambda module, args, kwargs, out: rows.extend(kwargs["input_ids"].tolist()), with_kwargs=True
        )
    )
    replies(backend, [generate(PERU)])
    replies(backend, [scored(PERU, " Lima")])
    replies(backend, [scored("", " Lima")])
    hook.remove()
    asked, prompt, empty = rows
    assert asked == prompt and [token for token in asked if token in (0, 1)] == marks and asked[-1] == 1
    assert empty == [marks[0]], "BOS, or </s> where there is none"


def test_company_changes_no_answer(t5_checkpoint: Path, bart_checkpoint: Path) -> None:
    texts = [PERU, "Question: What is 7 plus 2?\nAnswer:" * 3, "Rain"]
    for folder in (t5_checkpoint, bart_checkpoint):
        backend = opened(folder)
        for requests in ([generate(t) for t in texts], [scored(t, c) for t in texts for c in (" Lima", " a b c")]):
            together, alone = replies(backend, requests), [replies(backend, [r])[0] for r in requests]
            assert [r.text for r in together] == [r.text for r in alone]
            assert [r.logprob for r in together] == [r.logprob and pytest.approx(r.logprob, abs=1e-4) for r in alone]


def test_a_long_prompt_loses_its_left_and_keeps_its_end(t5_checkpoint: Path) -> None:
    backend = opened(t5_checkpoint)
    text = "Is a bus bigger than a shoe? " * 200 + PERU
    n = len(backend._engine().tokenizer.encode(text))
    [said] = replies(backend, [generate(text, max_gen_toks=600)])
    assert said.cut == n - 512, "the answer takes nothing of the encoder's window, and T5's decoder has no end"
    [score] = replies(backend, [scored(text, " Lima")])
    assert score.cut == n - 512 and score.logprob is not None
    [empty] = replies(backend, [generate("")])
    assert empty.text is not None and empty.cut == 0


def test_stop_strings_and_ends(t5_checkpoint: Path) -> None:
    backend = opened(t5_checkpoint)
    [free] = replies(backend, [generate(PERU)])
    assert free.text and free.finish == "stop", "the model says </s>"
    ids = backend._engine().tokenizer.encode(free.text)
    assert free.n_tokens == len(ids), "the decoder's start token is not counted, </s> is"
    [short] = replies(backend, [generate(PERU, max_gen_toks=1)])
    assert (short.finish, short.n_tokens) == ("length", 1) and free.text.startswith(short.text or "")
    [stopped] = replies(backend, [generate(PERU, until=[free.text[1:]])])
    assert (stopped.text, stopped.finish) == (free.text[0], "stop")


def test_sampled_answers_follow_their_seed(t5_checkpoint: Path) -> None:
    backend = opened(t5_checkpoint)
    generation = {"do_sample": True, "temperature": 3.0, "max_gen_toks": 12}
    asked = [Request(kind="generate", text=PERU, generation=generation, sample=s, seed=0) for s in range(6)]
    first = [r.text for r in replies(backend, asked)]
    assert [r.text for r in replies(backend, asked[::-1])] == first[::-1]
    assert len(set(first)) > 2, "the model is sure of one answer, so two of six may be alike"


def test_bfloat16(t5_checkpoint: Path) -> None:
    exact, rounded = (replies(opened(t5_checkpoint, dtype=d), [scored(PERU, " Lima")]) for d in ("float32", "bfloat16"))
    assert rounded[0].logprob == pytest.approx(exact[0].logprob, rel=0.1, abs=0.3)
    assert rounded[0].logprob != exact[0].logprob


def test_perplexity_is_refused_by_the_tasks_names_before_anything_is_asked(t5_checkpoint: Path, tmp_path: Path) -> None:
    watched: list[int] = []
    options = RunOptions(out=tmp_path / "r", watch=lambda known, total: watched.append(known))
    with pytest.raises(
        UsageError, match=r"is an encoder-decoder.* Suite 'smoke' asks for it in smoke-sentences: leave"
    ):
        run(str(t5_checkpoint), "smoke", options=options)
    assert not watched and not (tmp_path / "r").exists()


def test_a_killed_run_is_finished_to_the_same_answers(t5_checkpoint: Path, no_perplexity: Path, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    def kill(known: int, total: int) -> None:
        if known > total / 2:
            raise KilledError

    whole = run(str(t5_checkpoint), str(no_perplexity), options=RunOptions(out=tmp_path / "a", batch_tokens=600))
    with pytest.raises(KilledError):
        options = RunOptions(out=tmp_path / "b", batch_tokens=600, watch=kill)
        run(str(t5_checkpoint), str(no_perplexity), options=options)
    rest = run(str(t5_checkpoint), str(no_perplexity), options=RunOptions(out=tmp_path / "b", batch_tokens=600))
    assert 0 < rest.manifest["counts"]["reused"] < rest.manifest["counts"]["distinct"]
    assert list(rest.records["response"]) == list(whole.records["response"])


def test_barts_decoder_has_an_end_and_no_answer_is_made_to_look_finished(bart_checkpoint: Path) -> None:
    backend = opened(bart_checkpoint)
    with pytest.raises(UsageError, match=r"answers of up to 600 tokens, but .* has positions for 512"):
        replies(backend, [generate(PERU, max_gen_toks=600)])
    [cut] = replies(backend, [generate(PERU, max_gen_toks=2)])
    assert (cut.finish, cut.n_tokens) == ("length", 2), "<s>, and one token of the answer"
    [score] = replies(backend, [scored(PERU, " Lima" * 600)])
    assert "window 512" in score.error


def test_checkpoints_that_say_too_little_or_want_beams(t5_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no beam search"):
        replies(opened(t5_checkpoint), [generate(PERU, num_beams=4)])
    copy = Path(shutil.copytree(t5_checkpoint, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "decoder_start_token_id"}))
    with pytest.raises(BadFileError, match="has no decoder_start_token_id"):
        replies(opened(copy), [scored(PERU, " Lima")])
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UsageError, match="AutoModelForSeq2SeqLM as M"):
        opened(copy)
