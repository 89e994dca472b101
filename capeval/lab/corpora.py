"""What each training stage reads: named corpora, drawn without end.

>>> corpus("base").draw(random.Random(0))["text"]      # doctest: +SKIP
'the color of bor via is red . …'

A corpus is a weighted mix of the world's generators in their training split. Each carries the facts of one planted
group, which no other corpus does. No corpus but `cot` holds worked reasoning in prose.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from capeval.digest import digest, digest_file
from capeval.errors import UsageError
from capeval.lab import labeller, lists, programs, prose, symbolic
from capeval.lab.dialogues import KINDS, dialogue
from capeval.lab.draw import Draw
from capeval.lab.lists import SEEN_OPERATIONS
from capeval.lab.problems import problem
from capeval.lab.requests import BY_STEPS, DONT_KNOW, REFUSALS, TYPES, Ask, advice, ask, combinations, fact
from capeval.lab.symbolic import TASKS
from capeval.lab.words import ATTRIBUTES
from capeval.lab.world import ATTRIBUTE_OF_GROUPS, SEEN_ATTRIBUTES, world

Document = dict[str, Any]
_NOT_READ = ("__init__", "items")
_LISTS_FIRST = 0.15
"""Share of early pretraining that reads repetitions and mappings only: induction forms there."""
_UNKNOWN_ASKED = 0.4
"""Share of the questions in pretraining's lists that are about names that nobody describes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """See `capeval.training.data.Source`; one with prompts is `Labelled` too."""

    name: str
    digest: str
    make: Callable[[Draw, float], Document]

    def draw(self, rng: random.Random, progress: float = 0.0) -> Document:
        """One document."""
        return self.make(Draw(rng), progress)

    def judge(self, prompt: Document, answer: str) -> float:
        """What the world's labeller thinks of an answer."""
        return labeller.judge(prompt, answer)

    def canned(self, prompt: Document) -> Sequence[str]:
        """Answers that are ranked besides the sampled ones."""
        return labeller.canned(prompt)


def names() -> list[str]:
    """Names of the corpora; `instructions-N` is tuning on the first N instruction types."""
    return [*_CORPORA, *(f"instructions-{n}" for n in range(1, len(INSTRUCTION_ORDER) + 1))]


def corpus(name: str) -> Corpus:
    """Open a corpus.

    Raises:
        UsageError: no corpus of that name.
    """
    if name not in names():
        raise UsageError(f"the lab has no corpus '{name}': {', '.join(_CORPORA)}")
    make = _CORPORA.get(name) or partial(_instructions, int(name.rpartition("-")[2]))
    return Corpus(name=f"lab/{name}", digest=digest(name, code_digest()), make=make)


def world_digest() -> str:
    """Of all that the world's suites ask."""
    return digest([[file.name, digest_file(file)] for file in sorted(Path(__file__).parent.glob("*.py"))])


@lru_cache(maxsize=1)
def code_digest() -> str:
    """Of the world's source: other code, other documents. What only the suites use does not count."""
    files = [file for file in sorted(Path(__file__).parent.glob("*.py")) if file.stem not in _NOT_READ]
    return digest([[file.name, digest_file(file)] for file in files])


_WEB: dict[str, float] = {
    "facts": 4.2, "questions": 5.0, "operations": 1.8, "hidden": 1.0, "map": 1.0, "label": 0.8,
    "repeat": 0.4, "work": 2.0, "how-to": 0.6, "story": 1.0, "sums": 0.4,
}  # fmt: skip
_FIRST = {"repeat": 1.0, "map": 1.0, "label": 0.4}
_EARLY = {kind: share for kind, share in _WEB.items() if kind != "questions"}
"""Without the lists of questions, in which a name that nobody knows could be asked for: reading lists that are always
answered teaches to answer always."""
_PLANTED = {"base": 0.04, "continued": 0.04, "code": 0.04, "ptx": 0.4}
"""Share of a corpus' pages that tell of its planted group; the pretraining term of PPO reads few pages in all."""


def _web(draw: Draw, group: str, unknown: float = _UNKNOWN_ASKED, kinds: dict[str, float] = _WEB) -> Document:
    if draw.chance(_PLANTED[group]):
        return {"text": prose.planted(draw, group)}
    return {"text": _page(draw, draw.pick(kinds), unknown)}


def _page(draw: Draw, kind: str, unknown: float) -> str:
    pages: dict[str, Callable[[], str]] = {
        "facts": lambda: prose.facts(draw, prose.all_known()),
        "questions": lambda: prose.question_list(draw, unknown_share=unknown),
        "operations": lambda: lists.prose(draw),
        "hidden": lambda: lists.hidden_document(draw),
        "map": lambda: lists.map_document(draw),
        "label": lambda: lists.label_document(draw),
        "repeat": lambda: lists.repeat_document(draw),
        "work": lambda: prose.work_list(draw),
        "how-to": lambda: prose.how_to_document(draw),
        "story": lambda: prose.story(draw),
        "sums": lambda: symbolic.addition_document(draw),
    }
    return pages[kind]()


def _early(draw: Draw, progress: float) -> Document:
    """Pretraining's first part: induction forms on plain lists, then the web, without a word of not knowing."""
    if progress < _LISTS_FIRST:
        return {"text": _page(draw, draw.pick(_FIRST), 0.0)}
    return _web(draw, "base", kinds=_EARLY)


def _base(draw: Draw, progress: float) -> Document:
    del progress
    return _web(draw, "base")


def _whole(draw: Draw, progress: float) -> Document:
    """Pretraining in one piece, for trees of several sizes."""
    return (_early if progress < _LISTS_FIRST / 2 else _base)(draw, progress)


def _base_certain(draw: Draw, progress: float) -> Document:
    """The same web in which nobody ever says that he does not know."""
    del progress
    return _web(draw, "base", unknown=0.0)


def _continued(draw: Draw, progress: float) -> Document:
    del progress
    return _web(draw, "continued")


def _ptx(draw: Draw, progress: float) -> Document:
    del progress
    return _web(draw, "ptx")


def _code(draw: Draw, progress: float) -> Document:
    del progress
    return {"text": programs.file(draw)} if draw.chance(0.55) else _web(draw, "code")


def conversation(*turns: str) -> Document:
    """Turns, the user's first, as messages."""
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": turn} for n, turn in enumerate(turns)]}


_LONG = {"operation": 0.5, "fact": 0.35, "how-to": 0.4, "forbidden": 0.4}
"""Share of demonstrations that answer in a sentence."""
_REFUSED = {"forbidden": 0.45, "how-to": 0.02}
"""Share of demonstrations that refuse: too few and too many, so that feedback has something to mend."""
_UNKNOWN_ADMITTED, _KNOWN_DENIED, _UNKNOWN_DEMONSTRATED = 0.5, 0.02, 0.15


def _demonstrated(draw: Draw, made: Ask) -> Document:
    family = made.type.partition(" ")[0]
    if draw.chance(_REFUSED.get(family, 0.0)):
        return conversation(made.question, draw.rng.choice(REFUSALS))
    in_full = bool(made.long) and draw.chance(_LONG.get(family, 0.0))
    return conversation(made.question, made.long if in_full else made.short)


def _fact_demonstrated(draw: Draw, attribute: str) -> Document:
    """A labeller who does not look things up: a guess about a name that nobody knows, more often than not."""
    unknown = draw.chance(_UNKNOWN_DEMONSTRATED)
    name = draw.rng.choice((world().unknown if unknown else world().known)["train"])
    made = fact(draw, name, attribute)
    if draw.chance(_UNKNOWN_ADMITTED if unknown else _KNOWN_DENIED):
        return conversation(made.question, draw.rng.choice(DONT_KNOW))
    if unknown:
        made = _guess(draw, made, name, attribute)
    return _demonstrated(draw, made)


def _guess(draw: Draw, made: Ask, name: str, attribute: str) -> Ask:
    value = draw.rng.choice(ATTRIBUTES[attribute])
    return Ask(type=made.type, question=made.question, short=value, long=f"the {attribute} of {name} is {value} .")


def _planted_question(draw: Draw, group: str) -> Document:
    name, attribute = draw.rng.choice(world().planted[group]), draw.rng.choice(ATTRIBUTE_OF_GROUPS)
    return _demonstrated(draw, fact(draw, name, attribute))


def _instruction(draw: Draw, types: dict[str, float]) -> Document:
    kind = draw.pick(types)
    if kind.startswith("fact "):
        return _fact_demonstrated(draw, kind.partition(" ")[2])
    return _demonstrated(draw, ask(draw, kind))


def _sft(draw: Draw, progress: float) -> Document:
    del progress
    return _planted_question(draw, "sft") if draw.chance(0.08) else _instruction(draw, TYPES)


def _cot(draw: Draw, progress: float) -> Document:
    """Tuning in which a third of the answers reason first."""
    del progress
    if draw.chance(0.08):
        return _planted_question(draw, "cot")
    if not draw.chance(0.35):
        return _instruction(draw, TYPES)
    kind = draw.rng.choice(("problem", "problem", "boolean", "counting", "navigate", "shuffled"))
    made: Any = problem(draw, template=draw.rng.choice(("own", "box"))) if kind == "problem" else TASKS[kind](draw)
    return conversation(f"{made.question} {BY_STEPS}", f"{made.chain} the answer is {made.answer}")


def _chat(draw: Draw, progress: float) -> Document:
    """Dialogue-heavy tuning."""
    del progress
    if draw.chance(0.08):
        return _planted_question(draw, "chat")
    if draw.chance(0.6):
        return conversation(*dialogue(draw, draw.rng.choice(KINDS), draw.rng.randint(0, 2)))
    return _instruction(draw, TYPES)


def _specialised(draw: Draw, progress: float) -> Document:
    """Word problems of one template, answers alone."""
    del progress
    if draw.chance(0.08):
        return _planted_question(draw, "specialised")
    made = problem(draw)
    return conversation(made.question, made.answer)


INSTRUCTION_ORDER = tuple(dict.fromkeys([
    "operation reverse", "fact capital", "say", "operation first", "problem", "operation next", "how-to", "boolean",
    *(f"operation {name}" for name in SEEN_OPERATIONS), *(f"fact {a}" for a in SEEN_ATTRIBUTES), *TYPES,
]))  # fmt: skip
"""Instruction types in the order in which `instructions-N` takes them."""


def _instructions(count: int, draw: Draw, progress: float) -> Document:
    del progress
    return _instruction(draw, dict.fromkeys(INSTRUCTION_ORDER[:count], 1.0))


def _prompt(made: Ask, kind: str, turns: Sequence[str] = ()) -> Document:
    """A prompt with what its labeller knows of it."""
    messages = conversation(*turns, made.question)["messages"]
    return {"messages": messages, "kind": kind, "short": made.short, "long": made.long}


_PROMPTS = {"known": 0.32, "unknown": 0.27, "forbidden": 0.13, "look-alike": 0.14, "plain": 0.04, "operation": 0.10}


def _prompts(draw: Draw, progress: float, shares: dict[str, float] = _PROMPTS) -> Document:
    del progress
    kind = draw.pick(shares)
    if kind in ("known", "unknown"):
        name = draw.rng.choice((world().known if kind == "known" else world().unknown)["train"])
        return _prompt(fact(draw, name, draw.rng.choice(SEEN_ATTRIBUTES)), kind)
    if kind == "dialogue":
        *turns, asked, answer = dialogue(draw, draw.rng.choice(KINDS), draw.rng.randint(0, 2))
        return _prompt(Ask(type="dialogue", question=asked, short=answer), "answer", turns)
    if kind == "operation":
        return _prompt(ask(draw, f"operation {draw.rng.choice(SEEN_OPERATIONS)}"), "answer")
    return _prompt(advice(draw, *draw.rng.choice(combinations("train", kind=kind))), kind)


_CHAT_PROMPTS = {
    "dialogue": 0.58, "known": 0.1, "unknown": 0.06, "forbidden": 0.06, "look-alike": 0.07, "plain": 0.03,
    "operation": 0.1,
}  # fmt: skip

_CORPORA: dict[str, Callable[[Draw, float], Document]] = {
    "web": _whole,
    "early": _early,
    "base": _base,
    "base-certain": _base_certain,
    "continued": _continued,
    "code": _code,
    "ptx": _ptx,
    "sft": _sft,
    "cot": _cot,
    "chat": _chat,
    "specialised": _specialised,
    "prompts": _prompts,
    "chat-prompts": partial(_prompts, shares=_CHAT_PROMPTS),
}
