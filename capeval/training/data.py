"""Where a stage's documents come from, and how they become rows of tokens.

A recipe names its data by a generator (`lab/base`) or by a JSONL file. What a document holds depends on the stage:

    language-model   {"text": "…"}
    sft              {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    ppo              {"messages": […, the last one the user's]}
    reward           the same with {"answers": ["…", "…"], "scores": [2, 0]}: ranked answers, the higher the better

Rows are a function of (seed, step) alone, so a killed training goes on with exactly the rows that it would have seen.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from capeval.digest import digest_file
from capeval.errors import BadFileError, MissingError, UsageError, unknown

GENERATORS = {"lab": "capeval.lab.corpora"}
"""Prefix of a generator's name → module with `names()` and `corpus(name)`."""
KEYS = {"language-model": ("text",), "sft": ("messages",), "ppo": ("messages",),
        "reward": ("messages", "answers", "scores")}  # fmt: skip

Document = Mapping[str, Any]


class Source(Protocol):
    """Documents without an end."""

    @property
    def name(self) -> str:
        """As the recipe names it."""
        ...

    @property
    def digest(self) -> str:
        """Of what decides the documents: a file's bytes, a generator's code."""
        ...

    def draw(self, rng: random.Random, progress: float = 0.0) -> Document:
        """One document; `progress` (0 … 1) is how far the training is."""
        ...


class Labelled(Source, Protocol):
    """Prompts whose answers can be judged: what a reward model learns from when no ranked answers are given."""

    def judge(self, prompt: Document, answer: str) -> float:
        """How good a labeller would call the answer; only the order matters."""
        ...

    def canned(self, prompt: Document) -> Sequence[str]:
        """Answers that are ranked besides the sampled ones (a refusal, an "I don't know")."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The documents of a JSONL file, drawn at random with replacement."""

    name: str
    digest: str
    documents: tuple[Document, ...]

    def draw(self, rng: random.Random, progress: float = 0.0) -> Document:
        """See `Source`."""
        del progress
        return rng.choice(self.documents)


def source(name: str, stage: str, home: Path | None = None) -> Source:
    """Open the data that a recipe names.

    Args:
        name: Generator (`lab/base`) or path of a JSONL file.
        stage: Key of `KEYS`, for the check of a file's lines.
        home: Folder that a relative path is meant from; the current one by default.

    Raises:
        UsageError: an unknown generator.
        MissingError: a file that is not there.
        BadFileError: a file of another format, or documents that lack what the stage needs.
    """
    prefix, _, rest = name.partition("/")
    if prefix in GENERATORS and Path(name).suffix == "":
        module: Any = import_module(GENERATORS[prefix])
        if rest not in module.names():
            raise unknown("generator", name, [f"{prefix}/{n}" for n in module.names()], "capeval train --help")
        made: Source = module.corpus(rest)
        # a labeller ranks what the parent says
        if problem := _problem(made.draw(random.Random(0)), "ppo" if stage == "reward" else stage):
            raise BadFileError(f"data '{name}' can't be used for stage {stage}: {problem}")
        return made
    path = (home or Path()) / Path(name).expanduser()
    if path.suffix != ".jsonl":
        raise UsageError(f"data '{name}' is neither a generator ({', '.join(GENERATORS)}/…) nor a .jsonl file")
    if not path.is_file():
        raise MissingError(f"the data file {path} is not there; give its path from the tree file's folder")
    return Lines(name=name, digest=digest_file(path), documents=tuple(_read(path, stage)))


def _read(path: Path, stage: str) -> list[Document]:
    found: list[Document] = []
    # not splitlines: a document may hold U+2028, which is no end of line in JSON
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            raise BadFileError(f"{path}:{number} is no JSON: {error}") from error
        if problem := _problem(document, stage):
            raise BadFileError(f"{path}:{number} can't be used for stage {stage}: {problem}")
        found.append(document)
    if not found:
        raise BadFileError(f"{path} holds no documents")
    return found


def _problem(document: Any, stage: str) -> str:
    if not isinstance(document, dict):
        return "a document must be a JSON object"
    for key in KEYS[stage]:
        kind = str if key == "text" else list
        if not isinstance(document.get(key), kind) or not document[key]:
            return f"it needs '{key}', a {'text' if kind is str else 'list'}"
    for message in document.get("messages", ()):
        if not isinstance(message, dict) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            return "every message needs 'role' and 'content', both texts"
    last = document["messages"][-1]["role"] if "messages" in document else ""
    if stage == "sft" and not any(m["role"] == "assistant" for m in document["messages"]):
        return "a conversation needs an answer of the assistant"
    if stage in ("ppo", "reward") and last == "assistant":
        return "a prompt ends with the user's message"
    if stage == "reward" and (len(document["answers"]) != len(document["scores"]) or len(document["answers"]) < 2):
        return "'answers' and 'scores' must be as long as each other, at least two"
    if stage == "reward" and not all(isinstance(answer, str) for answer in document["answers"]):
        return "every answer must be text"
    if stage == "reward" and not all(
        type(score) in (int, float) and math.isfinite(score) for score in document["scores"]
    ):
        return "every score must be a finite number"
    return ""


def step_rng(seed: int, step: int, purpose: str = "") -> random.Random:
    """The random numbers of one step, whatever happened before it."""
    return random.Random(f"{seed} {step} {purpose}")


@dataclass(frozen=True, slots=True)
class Rows:
    """Tokens of an update."""

    ids: list[list[int]]
    """batch × (context + 1)."""
    counts: list[list[bool]]
    """Of the same shape: whether the loss counts this token as a target."""


def pack(documents: Sequence[tuple[list[int], list[bool]]], batch: int, context: int) -> Rows:
    """Documents in a row, cut into `batch` rows of `context + 1` tokens; what is left over is dropped.

    Raises:
        ValueError: too few tokens.
    """
    ids = [token for tokens, _ in documents for token in tokens]
    counts = [flag for _, flags in documents for flag in flags]
    width = context + 1
    if len(ids) < batch * width:
        raise ValueError(f"{len(ids)} tokens do not fill {batch} rows of {width}")
    cut = [slice(row * width, (row + 1) * width) for row in range(batch)]
    return Rows([ids[s] for s in cut], [counts[s] for s in cut])


_TOKENS_ASKED = 1.1
"""Documents are drawn in portions; a portion aims at what is still missing times this."""


class Encoder:
    """Documents → tokens with the flags of what the loss counts."""

    def __init__(self, tokenizer: Any) -> None:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if first is None:
            raise BadFileError("the tokenizer names neither a BOS nor an end-of-text token, which documents begin with")
        self.first: int = first
        self.tokenizer = tokenizer
        self._mean = 30.0

    def rows(self, source: Source, recipe: Any, step: int) -> Rows:
        """The rows of one update: a function of the recipe's seed and the step.

        Raises:
            BadFileError: rows in which no token counts.
        """
        rng = step_rng(recipe.seed, step, recipe.data)
        wanted, found, have = recipe.batch * (recipe.context + 1), [], 0
        while have < wanted:
            # one document at a time decides nothing: the portion's size never changes which documents come next
            portion = [source.draw(rng, step / max(1, recipe.steps)) for _ in range(self._portion(wanted - have))]
            encoded = self.documents(portion)
            have += sum(len(ids) for ids, _ in encoded)
            found += encoded
            self._mean = max(1.0, have / len(found))
        rows = pack(found, recipe.batch, recipe.context)
        if not any(any(counts[1:]) for counts in rows.counts):
            raise BadFileError(
                f"{recipe.data}: none of the {recipe.batch} × {recipe.context} tokens of step {step + 1} is the "
                "assistant's, so nothing can be learnt from them; raise context or batch, or shorten what users say"
            )
        return rows

    def _portion(self, missing: int) -> int:
        return max(1, int(missing / self._mean * _TOKENS_ASKED))

    def documents(self, documents: Sequence[Document]) -> list[tuple[list[int], list[bool]]]:
        """Encode texts (every token counts) or conversations (the assistant's tokens count)."""
        if "text" in documents[0]:
            encoded = self.tokenizer([d["text"] for d in documents], add_special_tokens=False, verbose=False)
            return [([self.first, *ids], [True] * (len(ids) + 1)) for ids in encoded["input_ids"]]
        return self._conversations([d["messages"] for d in documents])

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """A prompt that the assistant is to answer."""
        text = self.render(messages, answer=True)
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids if ids[:1] == [self.first] else [self.first, *ids]

    def turn_end(self, ends: Sequence[int]) -> int:
        """The token of `ends` with which the chat template closes an assistant's turn; the first one if none of them.

        Answers that a model did not say itself must end as its own do, or a judge would know them by their end.
        """
        turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
        [(ids, counts)] = self._conversations([turn])
        return next((token for token, own in zip(ids, counts, strict=True) if own and token in ends), ends[0])

    def render(self, messages: Sequence[Mapping[str, str]], *, answer: bool) -> str:
        """Messages in the tokenizer's chat template; `answer`: with the beginning of the assistant's turn."""
        if not self.tokenizer.chat_template:
            raise UsageError("the tokenizer has no chat template, which conversations need")
        return str(self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=answer))

    def _conversations(
        self, conversations: Sequence[Sequence[Mapping[str, str]]]
    ) -> list[tuple[list[int], list[bool]]]:
        texts = [self.render(messages, answer=False) for messages in conversations]
        encoded = self.tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        found = []
        for messages, text, ids, offsets in zip(
            conversations, texts, encoded["input_ids"], encoded["offset_mapping"], strict=True
        ):
            spans = self._answers(messages, text)
            counts = [any(start <= a and b <= end for start, end in spans) for a, b in offsets]
            own_first = ids[:1] == [self.first]
            found.append((ids, counts) if own_first else ([self.first, *ids], [False, *counts]))
        return found

    def _answers(self, messages: Sequence[Mapping[str, str]], text: str) -> list[tuple[int, int]]:
        """Character spans of the assistant's turns, their end marks included."""
        spans = []
        for number, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self.render(messages[:number], answer=True)
            through = text if number + 1 == len(messages) else self.render(messages[: number + 1], answer=False)
            if not text.startswith(before) or not text.startswith(through):
                raise BadFileError(
                    "the chat template writes earlier turns differently once a later one follows, so the assistant's "
                    "tokens can't be told from the rest"
                )
            spans.append((len(before), len(through)))
        return spans
