"""The trie and its pieces: who reads what is exactly each token's path, whatever the sequences are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capeval.backends.trie.forest import NO_TRUNK, Forest, Piece, Share, chains, cut, grow

HEADS = st.lists(st.lists(st.integers(0, 2), max_size=12), min_size=1, max_size=3)
ENDS = st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, max_size=5)), max_size=14)


@st.composite
def sequences(draw: st.DrawFn) -> list[list[int]]:
    """Some that begin alike, with prefixes of one another and equal ones among them."""
    heads = draw(HEADS)
    found = [heads[which % len(heads)] + end for which, end in draw(ENDS)]
    return found + [head for head in heads if head]


def path(forest: Forest, place: int) -> list[int]:
    """Places on the way to a token, by the rule of the drawing: j <= i < exits[j]."""
    return [j for j in range(place + 1) if place < forest.exits[j]]


def prefix(forest: Forest, place: int) -> tuple[int, ...]:
    return tuple(forest.tokens[path(forest, place)].tolist())


def lineage(pieces: Sequence[Piece], number: int) -> list[int]:
    """Places whose keys a trunk holds."""
    if number == NO_TRUNK:
        return []
    [maker] = [piece for piece in pieces if piece.makes == number]
    return lineage(pieces, maker.continues) + maker.places.tolist()


def check_pieces(forest: Forest, pieces: Sequence[Piece]) -> None:
    made = {NO_TRUNK}
    for piece in pieces:
        assert piece.continues in made, "a trunk comes before what continues it"
        trunk = lineage(pieces, piece.continues)
        places = piece.places.tolist()
        for i, place in enumerate(places):
            read = [places[j] for j in range(i + 1) if i < piece.exits[j]]
            assert trunk + read == path(forest, place), "a token reads its path and nothing else"
        assert piece.tokens.tolist() == forest.tokens[places].tolist()
        assert piece.depths.tolist() == forest.depths[places].tolist()
        if piece.makes != NO_TRUNK:
            assert piece.is_chain and piece.makes not in made
            made.add(piece.makes)


@given(sequences(), st.data())
def test_every_distinct_prefix_is_one_place(rows: list[list[int]], data: st.DataObject) -> None:
    tails = [data.draw(st.integers(0, len(row))) for row in rows]
    forest = grow(rows, tails)
    found = [prefix(forest, place) for place in range(len(forest.tokens))]
    assert len(set(found)) == len(found)
    assert set(found) == {tuple(row[:n]) for row in rows for n in range(1, len(row) + 1)}
    assert forest.depths.tolist() == [len(p) - 1 for p in found]
    for row, n, tail in zip(rows, tails, forest.tails, strict=True):
        assert [found[place] for place in tail] == [tuple(row[:k]) for k in range(len(row) - n + 1, len(row) + 1)]


@given(sequences())
def test_exits_are_the_ancestor_relation(rows: list[list[int]]) -> None:
    forest = grow(rows, [1] * len(rows))
    found = [prefix(forest, place) for place in range(len(forest.tokens))]
    for i, mine in enumerate(found):
        for j, other in enumerate(found):
            assert (j <= i < forest.exits[j]) == (mine[: len(other)] == other)


@given(sequences(), st.sampled_from([0, 1, 3, 9, 256]))
def test_pieces_hold_everything_and_read_their_paths(rows: list[list[int]], flat: int) -> None:
    forest = grow(rows, [1] * len(rows))
    pieces = cut(forest, flat)
    check_pieces(forest, pieces)
    held = np.concatenate([piece.places for piece in pieces]) if pieces else np.zeros(0)
    assert set(held.tolist()) == set(range(len(forest.tokens)))


@given(sequences(), st.integers(1, 6), st.integers(2, 5))
def test_chains_give_every_sequence_a_piece_of_its_own(rows: list[list[int]], least: int, together: int) -> None:
    distinct = [list(row) for row in dict.fromkeys(map(tuple, rows))]
    whole = grow(rows, [1] * len(rows))
    check_pieces(whole, chains(whole, Share(least, together)))
    forest = grow(distinct, [1] * len(distinct))
    pieces = chains(forest, Share(least, together))
    check_pieces(forest, pieces)
    leaves = [piece for piece in pieces if piece.makes == NO_TRUNK]
    assert sorted(int(piece.places[-1]) for piece in leaves) == sorted(int(tail[0]) for tail in forest.tails)
    assert all(piece.is_chain for piece in pieces)
    for trunk in (piece for piece in pieces if piece.makes != NO_TRUNK):
        users = [p for p in leaves if set(trunk.places.tolist()) <= set(lineage(pieces, p.continues))]
        assert len(trunk) >= least and len(users) >= together


def test_few_shot_work_repeats_next_to_nothing() -> None:
    draw = np.random.default_rng(0)
    heads = [draw.integers(0, 500, n).tolist() for n in (400, 900)]
    rows = []
    for head in heads:
        for _ in range(30):
            question = head + draw.integers(0, 500, int(draw.integers(20, 120))).tolist()
            rows += [question + draw.integers(0, 500, n).tolist() for n in (1, 1, 2, 6)]
    forest = grow(rows, [1] * len(rows))
    for flat in (0, 64, 256):
        pieces = cut(forest, flat)
        assert sum(map(len, pieces)) <= 1.02 * len(forest.tokens)
        made = sorted(len(piece) for piece in pieces if piece.makes != NO_TRUNK)
        assert flat or (made[-2:] == [400, 900] and len(made) == 62)
    makers = [piece for piece in chains(forest, Share(32, 4)) if piece.makes != NO_TRUNK]
    assert sorted(map(len, makers))[-2:] == [400, 900]


def test_few_tokens_before_large_branches_are_repeated_not_kept() -> None:
    # two tokens before a fork into long branches: a trunk for two tokens would cost more than repeating them
    rows = [[1, 2, x] + [x] * 400 for x in (3, 4, 5)]
    forest = grow(rows, [1, 1, 1])
    pieces = cut(forest)
    assert [(len(piece), piece.makes, piece.continues) for piece in pieces] == [(403, NO_TRUNK, NO_TRUNK)] * 3
    check_pieces(forest, pieces[:1])


@pytest.mark.parametrize(
    ("head", "prompts", "kept"), [(900, 3, True), (900, 2, False), (1100, 2, True), (40, 4, True), (20, 9, False)]
)
def test_a_long_head_is_kept_for_few_prompts_and_a_short_one_for_many(head: int, prompts: int, kept: bool) -> None:
    rows = [[*range(head), 2000 + i, 3000] for i in range(prompts)]
    makers = [piece for piece in chains(grow(rows, [1] * prompts), Share()) if piece.makes != NO_TRUNK]
    assert [len(piece) for piece in makers] == [head] * kept


def test_samples_of_one_prompt_share_all_but_its_last_token() -> None:
    rows = [[1, 2, 3, 4, 5]] * 4 + [[1, 2, 3, 4, 5, 6], [7, 8, 9]]
    forest = grow(rows, [1] * 6)
    pieces = chains(forest, Share(4, 4))
    check_pieces(forest, pieces)
    assert [(p.tokens.tolist(), p.continues, p.makes) for p in pieces] == [
        ([1, 2, 3, 4], NO_TRUNK, 0), ([5], 0, NO_TRUNK), ([7, 8, 9], NO_TRUNK, NO_TRUNK), ([5, 6], 0, NO_TRUNK),
    ]  # fmt: skip
    assert len(chains(forest, Share(5, 4))) == 3, "too short for a trunk"


@pytest.mark.parametrize("make", [cut, lambda forest: chains(forest, Share(32, 4))])
def test_no_sequences(make) -> None:  # type: ignore[no-untyped-def]
    forest = grow([], [])
    assert len(forest.tokens) == 0 and forest.tails == [] and make(forest) == []


def test_single_tokens_and_equal_sequences() -> None:
    forest = grow([[7], [7], [5], [7]], [1, 1, 1, 1])
    assert forest.tokens.tolist() == [5, 7] and forest.exits.tolist() == [1, 2]
    assert [tail.tolist() for tail in forest.tails] == [[1], [1], [0], [1]]
    assert [piece.tokens.tolist() for piece in cut(forest)] == [[5], [7]]


def test_large_token_numbers_keep_their_order() -> None:
    # ids whose bytes sort otherwise than they do: a prefix must still come before what continues it
    rows = [[256, 1], [1, 256], [65_536], [255], [256], [2_000_000, 3]]
    forest = grow(rows, [1] * len(rows))
    assert {prefix(forest, p) for p in range(len(forest.tokens))} == {
        (256,), (256, 1), (1,), (1, 256), (65_536,), (255,), (2_000_000,), (2_000_000, 3),
    }  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(["chain", "comb", "prefixes"]), st.sampled_from([0, 256]))
def test_very_long_sequences_need_no_recursion(shape: str, flat: int) -> None:
    n = 5_000
    spine = (np.arange(n) % 997).tolist()
    rows = {
        "chain": [spine],
        "comb": [[*spine[:i], 1_000] for i in range(0, n, 25)] + [spine],
        "prefixes": [spine[: i + 1] for i in range(0, n, 25)],
    }[shape]
    forest = grow(rows, [1] * len(rows))
    pieces = cut(forest, flat)
    assert set(np.concatenate([piece.places for piece in pieces]).tolist()) == set(range(len(forest.tokens)))
    leaves = [piece for piece in chains(forest, Share(32, 4)) if piece.makes == NO_TRUNK]
    assert len(leaves) == len(rows)
