"""Dialogues in which the user tells two things at the start and asks for one of them at the end.

Between them lie questions and answers of CommonsenseQA, which have nothing to do with either.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from capeval.refusal import abstains

DISTANCES = (0, 1, 2, 4, 8)
"""Questions that lie between; each history ends with the same ones, the longer has more before them."""
ITEMS = 16
"""Of every kind of fact."""
_LONGEST = 120
"""Characters of a question that lies between."""
_PEOPLE = (
    "sister", "brother", "aunt", "uncle", "neighbour", "cousin", "grandmother", "grandfather", "best friend", "boss",
)  # fmt: skip
_KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "city": (
        "My {who} lives in {value}.", "Where does my {who} live?",
        ("Lisbon", "Oslo", "Toronto", "Nairobi", "Vienna", "Lima", "Osaka", "Dublin", "Prague", "Cairo"),
    ),
    "dog": (
        "My {who} has a dog called {value}.", "What is the name of my {who}'s dog?",
        ("Bruno", "Daisy", "Rocky", "Luna", "Max", "Bella", "Oscar", "Molly", "Rex", "Ruby"),
    ),
    "job": (
        "My {who} works as a {value}.", "What does my {who} work as?",
        ("baker", "lawyer", "nurse", "plumber", "pilot", "teacher", "dentist", "gardener", "carpenter", "librarian"),
    ),
    "birthday": (
        "My {who}'s birthday is in {value}.", "In which month is my {who}'s birthday?",
        ("January", "February", "March", "April", "June", "July", "August", "September", "October", "November"),
    ),
    "instrument": (
        "My {who} plays the {value}.", "Which instrument does my {who} play?",
        ("violin", "trumpet", "piano", "cello", "flute", "harp", "guitar", "drums", "clarinet", "accordion"),
    ),
    "car": (
        "My {who}'s car is {value}.", "What colour is my {who}'s car?",
        ("red", "blue", "green", "white", "black", "yellow", "silver", "orange", "brown", "purple"),
    ),
    "language": (
        "My {who} is learning {value}.", "Which language is my {who} learning?",
        ("Spanish", "Japanese", "Arabic", "Swedish", "Greek", "Hindi", "Polish", "Turkish", "Korean", "Italian"),
    ),
    "sport": (
        "My {who} is very good at {value}.", "Which sport is my {who} very good at?",
        ("tennis", "chess", "swimming", "judo", "rowing", "golf", "boxing", "fencing", "hockey", "volleyball"),
    ),
}  # fmt: skip


def process_docs(dataset: Any) -> Any:
    """CommonsenseQA's documents → dialogues: one history for each distance (`history_0`, `history_1` …)."""
    import datasets

    between = [pair for doc in sorted(dataset, key=lambda doc: str(doc["id"])) if (pair := _question_answer(doc))]
    return datasets.Dataset.from_list(list(_dialogues(between)))


def recalled(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether the answer's first line says what was told of this person, and not of the other before it."""
    said = next((line for line in results[0].splitlines() if line.strip()), "")
    mine, other = (_place(said, doc[key]) for key in ("answer", "other"))
    denied = re.search(rf"(?:\bnot|n't|\bnever)\b[^.;,]*\b{re.escape(doc['answer'])}\b", said, re.IGNORECASE)
    right = mine is not None and (other is None or mine < other) and not denied and not abstains(said)
    return {"recalled": float(right)}


def _question_answer(doc: dict[str, Any]) -> tuple[str, str] | None:
    question, choices = doc["question"].strip(), doc["choices"]
    if len(question) > _LONGEST or doc["answerKey"] not in choices["label"]:
        return None
    answer = choices["text"][choices["label"].index(doc["answerKey"])].strip()
    return question, f"{answer[:1].upper()}{answer[1:]}."


def _dialogues(between: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    for kind, (told, asked, values) in _KINDS.items():
        rng = random.Random(f"history {kind}")
        for number in range(ITEMS):
            (who, another), (answer, other) = rng.sample(_PEOPLE, 2), rng.sample(values, 2)
            facts = [told.format(who=who, value=answer), told.format(who=another, value=other)]
            facts = facts[:: 1 if number % 2 else -1]
            opening = [" ".join(facts), "Thank you for telling me."]
            free = [pair for pair in between if not any(_says(" ".join(pair), value) for value in (answer, other))]
            filler = rng.sample(free, max(DISTANCES))
            yield {
                "kind": kind,
                "question": asked.format(who=who),
                "answer": answer,
                "other": other,
                **{
                    f"history_{distance}": [
                        *opening,
                        *(text for pair in filler[len(filler) - distance :] for text in pair),
                    ]
                    for distance in DISTANCES
                },
            }


def _says(text: str, value: str) -> bool:
    return _place(text, value) is not None


def _place(text: str, value: str) -> int | None:
    """Where the text first says it."""
    found = re.search(rf"\b{re.escape(value)}\b", text, re.IGNORECASE)
    return found.start() if found else None
