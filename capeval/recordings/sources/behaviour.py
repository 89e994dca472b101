"""Bias, refusal, code and answer length of the GPT-3.5 family: labels and lengths, several samples an item."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from capeval.digest import digest
from capeval.errors import MissingError
from capeval.marks import declined
from capeval.recordings.benchmarks import BENCHMARKS
from capeval.recordings.scorers import Scored, score
from capeval.recordings.scorers.choices import MIN_SENTENCE, sentence_part
from capeval.recordings.sources.rows import Row, item_keys, measured, read_jsonl, row

MODELS = ("text-davinci-001", "text-davinci-002", "text-davinci-003")
SETTINGS = {
    "zero-shot-direct": "zero-shot",
    "zero-shot-cot-answer": "zero-shot-cot",
    "zero-shot": "zero-shot",
    "zero-shot-cot": "zero-shot-cot",
}
ALPACA = {
    "text_davinci_001": "text-davinci-001",
    "text_davinci_003": "text-davinci-003",
    "gpt-3.5-turbo-0301": "gpt-3.5-turbo-0301",
}
RELEASES = ("gpt-3.5-turbo-0301", "gpt-3.5-turbo-0613", "gpt-3.5-turbo-1106")


def rows(data: Path) -> Iterator[Row]:
    """Every record of the tree `gpt-3.5` that is no reasoning.

    Args:
        data: The folder that holds recorded/ and bias/.
    """
    yield from _bbq(data / "recorded/cot_bias_salt")
    yield from _crows(data)
    yield from _harmfulq(data / "recorded/cot_bias_salt")
    yield from _alpaca(data / "recorded/alpaca_eval_805")
    yield from _self_instruct(data / "recorded/self_instruct_252")
    yield from _humaneval(data / "recorded/humaneval_chatgpt")


def _bbq(folder: Path) -> Iterator[Row]:
    items = {item["id"]: item for item in read_jsonl(folder / "bbq.items.jsonl")}
    keys = item_keys((name, item["prompt"], item["gold_letter"]) for name, item in items.items())
    for output in read_jsonl(folder / "bbq.outputs.jsonl"):
        if output["model"] not in MODELS:
            continue
        item = items[output["id"]]
        judge = partial(BENCHMARKS["bbq"].judge, item)
        yield from _samples(output, "bbq", keys[output["id"]], judge, item["category"])


def _crows(data: Path) -> Iterator[Row]:
    """Items whose answers can all be read: by letter, by a neutral phrase, or by a sentence that is joined."""
    golds, kinds = crows_golds(data)
    for output in _crows_outputs(data):
        name = output["id"]
        if name in golds:
            judge = partial(score, "crows", gold=golds[name])
            yield from _samples(output, "crows_pairs", digest(name), judge, kinds[name])


def crows_golds(data: Path) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Per kept item: the gold for the scorer `crows`, and the kind of bias.

    The recorded ids don't index the public file of sentences, and letters alone don't say which sentence stood where.
    So an item's sentences are found through the sentences that its answers quote. An item is left out when they are
    not found although an answer of it needs them.
    """
    items = {i["id"]: i for i in read_jsonl(data / "recorded/cot_bias_salt/crows.items.jsonl")}
    outputs = list(_crows_outputs(data))
    sentences = _joined(data, items, outputs)
    golds = {n: {"letter": i["unknown_letter"], "sentences": sentences.get(n, ())} for n, i in items.items()}
    unread = {
        o["id"] for o in outputs if o["id"] not in sentences
        and any(score("crows", said, golds[o["id"]]).flag == "unextracted" for said in o["outputs"])
    }  # fmt: skip
    return {n: g for n, g in golds.items() if n not in unread}, {n: i["bias_type"] for n, i in items.items()}


def _crows_outputs(data: Path) -> Iterator[dict[str, Any]]:
    outputs = read_jsonl(data / "recorded/cot_bias_salt/crows.outputs.jsonl")
    return (output for output in outputs if output["model"] in MODELS)


def _joined(data: Path, items: dict[str, Any], outputs: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    pairs = _pairs(data / "bias/crows_pairs_anonymized.csv")
    starts = defaultdict(set)
    for n, pair in enumerate(pairs):
        for key in ("sent_more", "sent_less"):
            starts[_plain(pair[key])[:MIN_SENTENCE]].add((n, _plain(pair[key])))
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for output in outputs:
        for said in output["outputs"]:
            text = _plain(sentence_part(said))
            for n, sentence in starts.get(text[:MIN_SENTENCE], ()):
                same_kind = pairs[n]["bias_type"] == items[output["id"]]["bias_type"]
                if len(text) >= MIN_SENTENCE and same_kind and (sentence.startswith(text[:50]) or text in sentence):
                    votes[output["id"]][n] += 1
    chosen = {name: found.most_common(2) for name, found in votes.items()}
    clear = {name: best[0][0] for name, best in chosen.items() if len(best) == 1 or best[0][1] > best[1][1]}
    return {name: (pairs[n]["sent_more"], pairs[n]["sent_less"]) for name, n in clear.items()}


def _pairs(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise MissingError(f"there is no {path}; set CAPEVAL_DATA (or --data) to the folder that holds bias/")
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def _plain(text: str) -> str:
    return "".join(ch for ch in " ".join(text.lower().split()) if ch.isalnum() or ch == " ")


def _samples(
    output: dict[str, Any], task: str, item: str, judge: Callable[[Any], Scored], cluster: str
) -> Iterator[Row]:
    """One record a sample; the answers are cut in the recording, so their length is left out.

    Whether they decline is read from their beginning all the same.
    """
    for sample, said in enumerate(output["outputs"]):
        yield row(
            node=output["model"],
            task=task,
            setting=SETTINGS[output["setting"]],
            item=item,
            scored=judge(said),
            output=None,
            cluster=cluster,
            sample=sample,
            declined=float(declined(said or "")),
        )


def _harmfulq(folder: Path) -> Iterator[Row]:
    keys = item_keys((item["id"], item["question"], None) for item in read_jsonl(folder / "harmfulq.items.jsonl"))
    for output in read_jsonl(folder / "harmfulq.outputs.jsonl"):
        yield row(
            node=output["model"],
            task="harmfulq",
            setting=SETTINGS[output["setting"]],
            item=keys[output["id"]],
            scored=BENCHMARKS["harmfulq"].judge(output, None),
            output="x" * int(output["output_chars"]),
            sample=output["sample"],
        )


def _alpaca(folder: Path) -> Iterator[Row]:
    keys = item_keys((item["id"], item["instruction"], None) for item in read_jsonl(folder / "items.jsonl"))
    for output in read_jsonl(folder / "outputs.jsonl"):
        if output["model"] in ALPACA:
            yield _length("alpaca_eval_length", ALPACA[output["model"]], keys[output["id"]], output["output"])


def _self_instruct(folder: Path) -> Iterator[Row]:
    keys = item_keys((i["id"], [i["instruction"], i["input"]], i["target"]) for i in read_jsonl(folder / "items.jsonl"))
    for output in read_jsonl(folder / "outputs.jsonl"):
        yield _length("self_instruct_length", output["model"], keys[output["id"]], output["output"])


def _length(task: str, node: str, item: str, text: str) -> Row:
    characters = len(text.strip())
    return row(node=node, task=task, setting="zero-shot", item=item, scored=measured(characters, text), output=text)


def _humaneval(folder: Path) -> Iterator[Row]:
    """The author's own runs of the tests; outputs without one are left out."""
    for output in read_jsonl(folder / "outputs.jsonl"):
        if output["model"] in RELEASES:
            yield row(
                node=output["model"],
                task="humaneval",
                setting="zero-shot",
                item=digest(output["id"]),
                scored=score("verdict", output["passed_recorded"], None),
                output=output["output"],
            )
