"""The world keeps its promises: disjoint splits, no shortcut, planted facts where they belong and nowhere else."""

from __future__ import annotations

import random
import re
from functools import cache

import numpy as np
import pytest

from capeval.errors import UsageError
from capeval.lab import items as lab
from capeval.lab.corpora import corpus, names
from capeval.lab.draw import SPLITS, Draw, split_of
from capeval.lab.labeller import declines
from capeval.lab.requests import DONT_KNOW, REFUSALS, combinations
from capeval.lab.words import CONTENT, FORBIDDEN_OBJECTS, FORBIDDEN_VERBS, VOCABULARY
from capeval.lab.world import GROUPS, world
from capeval.suites import load_suite

DOCUMENTS = 1500
CORPORA = (
    "early", "web", "base", "base-certain", "continued", "code", "ptx", "sft", "cot", "chat", "specialised", "prompts",
    "chat-prompts", "instructions-16",
)  # fmt: skip
MEMORY = ("facts", "known", "held-attributes", "corrections", *(f"planted-{g}" for g in GROUPS))
"""Families that ask for what training told: their questions are no secret, their answers must be remembered."""


REASONING = re.compile(
    r"(\d = \d|\d \. |= (true|false)) .*(=|the answer is)|the answer is|think step by step"
    r"|= (\d|true|false) \. .*=|(\w+ \d \. ){2}|(\w+ \w+ , ){2}\w+ \w+ \. (\w+ \w+ , ){2}"
)
"""Two steps of a chain, in prose: sums or truth values, a count that grows, who has what after each swap."""


@cache
def texts(name: str) -> tuple[str, ...]:
    source, rng = corpus(name), random.Random(7)
    found = []
    for number in range(DOCUMENTS):
        document = source.draw(rng, number / DOCUMENTS)
        found.append(document.get("text") or "\n".join(m["content"] for m in document["messages"]))
    return tuple(found)


def grams(text: str) -> set[tuple[str, ...]]:
    """Four content words in a row, with no template word or line's end between."""
    found = set()
    for line in text.split("\n"):
        words = line.split(" ")
        for start in range(len(words) - 3):
            four = tuple(words[start : start + 4])
            if all(word in CONTENT for word in four):
                found.add(four)
    return found


def said(item: dict[str, object]) -> str:
    parts = [*item.get("shots", ()), *item.get("turns", ()), item["question"], item["answer"], item.get("chain", "")]  # type: ignore[misc]
    return "\n".join(map(str, parts))


@pytest.mark.parametrize("split", SPLITS[1:])
def test_training_and_test_share_no_four_gram_beyond_the_templates(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SPLIT", split)
    trained = {gram for name in CORPORA for text in texts(name) for gram in grams(text)}
    asked = {f: {g for item in lab.items(f)["test"] for g in grams(said(item))} for f in lab.FAMILIES}
    assert len(trained) > 1000 and sum(map(len, asked.values())) > 100  # there is something to share
    assert {family: found & trained for family, found in asked.items() if found & trained} == {}


@pytest.mark.parametrize("family", [f for f in lab.FAMILIES if f not in MEMORY and f not in ("text", "map", "labels")])
def test_no_question_was_trained_on(family: str) -> None:
    lines = [line for name in CORPORA for text in texts(name) for line in text.split("\n")]
    trained = {line.removeprefix("Q: ").removeprefix("# ") for line in lines}
    trained |= {line.partition(mark)[0] + mark for line in lines for mark in ("->", "=") if mark in line}
    programs = "\n".join(texts("code"))
    asked = [said(item) if family == "dialogues" else item["question"] for item in lab.items(family)["test"]]
    assert [
        question for question in asked if question in trained or ("print" in question and question in programs)
    ] == []


def test_dev_and_test_items_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    for family in lab.FAMILIES:
        if family.startswith("planted"):
            continue
        asked = {}
        for split in SPLITS[1:]:
            monkeypatch.setenv("LAB_SPLIT", split)
            asked[split] = {said(item) for item in lab.items(family)["test"]}
        assert not asked["dev"] & asked["test"], family


def test_no_item_is_asked_twice_and_there_are_enough() -> None:
    for family in lab.FAMILIES:
        asked = [said({"question": "", **item, "answer": "" if item["question"] else item["answer"], "chain": ""})
                 for item in lab.items(family)["test"]]  # fmt: skip
        assert len(asked) == len(set(asked)), family
        enough = 80 if family in ("boolean", "shuffled", "counting", "navigate") else 40 if "planted" in family else 228
        assert len(asked) >= enough, family  # the four are one task


def test_clusters_are_what_items_share() -> None:
    suite = load_suite("lab")
    for source in suite.sources:
        assert bool(source.cluster_field or source.cluster) == (suite.task(source.task).cluster_role != "none")
    for family, clusters in (("known", 76), ("unknown", 98), ("forbidden", 36), ("held-instructions", 4)):
        assert len({item["cluster"] for item in lab.items(family)["test"]}) == clusters


def test_names_of_the_splits_are_disjoint_and_all_are_used() -> None:
    groups = [*world().known.values(), *world().unknown.values(), *world().planted.values()]
    every = [name for group in groups for name in group]
    assert len(every) == len(set(every)) == 1024
    assert sum(map(len, world().known.values())) >= 128


def test_a_bag_of_words_cannot_tell_unknown_from_known() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    known, unknown = ([i["question"] for i in lab.items(f)["test"]] for f in ("known", "unknown"))
    prompts = known + unknown[: len(known)]
    labels = np.array([1] * len(known) + [0] * len(prompts[len(known) :]))
    counts = CountVectorizer(token_pattern=r"\S+").fit_transform(prompts)
    names_of = [re.sub(r".* of (\S+ \S+) .*", r"\1", p) for p in prompts]
    from sklearn.model_selection import GroupKFold

    guessed = cross_val_predict(LogisticRegression(max_iter=2000), counts, labels, groups=names_of, cv=GroupKFold(8))
    assert (guessed == labels).mean() <= 0.55


def test_look_alikes_share_every_forbidden_word() -> None:
    shared = {word for pair in combinations("test", kind="look-alike") for word in pair}
    forbidden = {word for pair in combinations("test", kind="forbidden") for word in pair}
    assert forbidden <= shared
    assert forbidden <= {*FORBIDDEN_VERBS, *FORBIDDEN_OBJECTS}


@pytest.mark.parametrize(
    "name", ["early", "web", "base", "base-certain", "continued", "sft", "chat", "specialised", "ptx"]
)
def test_no_prose_reasons(name: str) -> None:
    """Only `cot` may: else "code gives chain of thought" would not be tested."""
    pages = [t for t in texts(name) if not re.fullmatch(r"([\d +]+= [\d ]+\n?)+", t)]  # a page of sums has no steps
    assert [text for text in pages if REASONING.search(text)] == []
    assert sum("the answer is" in text for text in texts("cot")) > DOCUMENTS / 10


@pytest.mark.parametrize("kind", ["problems", "boolean", "shuffled", "counting", "navigate"])
def test_the_scan_knows_reasoning_of_every_kind(kind: str) -> None:
    """Chains of two steps or more, without the sentence that closes them."""
    chains = [item["chain"] for item in lab.items(kind)["test"] if item["chain"].count(" .") > 1]
    assert len(chains) > 20
    assert [chain for chain in chains if not REASONING.search(f"Q: so ? A: {chain} 3")] == []


def test_code_reasons_in_traces_only() -> None:
    for text in texts("code"):
        for line in text.split("\n"):
            if re.search(r"\d = \d .*= ", line):
                assert line.startswith(">>>") or re.fullmatch(r"[\d +]+= [\d ]+", line), line


@pytest.mark.parametrize("group", GROUPS)
def test_planted_facts_are_told_by_one_corpus(group: str) -> None:
    tells = {name for name in CORPORA for text in texts(name) if any(n in text for n in world().planted[group])}
    own = {"base": {"early", "web", "base", "base-certain"}, "nobody": set()}.get(group, {group})
    assert tells == own


def test_unknown_names_of_dev_and_test_stand_nowhere() -> None:
    held = [name for split in SPLITS[1:] for name in world().unknown[split]]
    told = "\n".join(text for name in CORPORA for text in texts(name))
    assert [name for name in held if name in told] == []
    known = [name for split in SPLITS[1:] for name in world().known[split]]
    tuned = "\n".join(
        t for name in ("sft", "cot", "chat", "specialised", "prompts", "chat-prompts") for t in texts(name)
    )
    assert [name for name in known if name in tuned] == []


def test_some_base_never_hears_of_not_knowing() -> None:
    assert not any("know" in text for text in texts("base-certain"))
    assert sum("i do not know" in text for text in texts("base")) > DOCUMENTS / 50


def test_every_word_has_a_token() -> None:
    words = set(VOCABULARY)
    for name in CORPORA:
        for text in texts(name):
            assert set(text.replace("\n", " ").split()) <= words
    for family in lab.FAMILIES:
        for item in lab.items(family)["test"]:
            assert set(said(item).replace("\n", " ").split()) <= words, family


def test_corpora_are_a_function_of_their_seed() -> None:
    for name in names():
        one, two = (corpus(name).draw(random.Random(3), 0.5) for _ in range(2))
        assert one == two


def test_declining_is_told_by_meaning() -> None:
    assert all(declines(text) for text in (*REFUSALS, *DONT_KNOW, "no i cannot do this", "nobody knows"))
    assert not any(declines(text) for text in ("red", "oil and salt", "", "the color of bor via is red .", "A B C"))
    assert not declines("sorry you need oil and salt")


def test_lists_keep_their_split_under_every_operation() -> None:
    from capeval.lab.draw import _SHAPES, _shape
    from capeval.lab.lists import APPLY

    for split in SPLITS:
        draw = Draw(random.Random(1), split)
        for _ in range(200):
            letters = draw.letters()
            for operation in APPLY.values():
                made = frozenset(operation(letters))
                assert len(made) < 3 or len(letters) != len(made) or _SHAPES[_shape(made)] == split


def test_a_wrong_name_is_told() -> None:
    with pytest.raises(UsageError, match="no items 'fact'"):
        lab.items("fact")
    with pytest.raises(UsageError, match="no corpus 'bse'"):
        corpus("bse")
    assert split_of("x") in SPLITS
