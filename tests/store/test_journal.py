from __future__ import annotations

import math
import os
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capeval.core import Reply, Request
from capeval.errors import BadFileError, OutputError
from capeval.store.journal import Journal, journal_keys

REQUEST = Request(kind="generate", text="1 + 1 =", generation={"until": ["\n"], "max_gen_toks": 8})
NUMERICS = {"backend": "hf", "dtype": "float32"}


@given(
    text=st.none() | st.text(),
    logprob=st.none() | st.floats(allow_nan=False),
    greedy=st.none() | st.booleans(),
    n_tokens=st.none() | st.integers(0, 10**6),
)
def test_replies_come_back_as_they_were(tmp_path_factory, text, logprob, greedy, n_tokens) -> None:
    reply = Reply(text=text, logprob=logprob, greedy=greedy, n_tokens=n_tokens, finish="stop", cut=3)
    path = tmp_path_factory.mktemp("j") / "journal.sqlite"
    with Journal.open(path) as journal:
        journal.keep({"k": reply})
    with Journal.open(path) as journal:
        assert journal.find(["k", "other"]) == {"k": reply}


def test_odd_text_and_minus_infinity_survive(tmp_path: Path) -> None:
    odd = Reply(text="\ud800 \0 \u2028 😀", logprob=-math.inf)
    with Journal.open(tmp_path / "j.sqlite") as journal:
        journal.keep({"k": odd})
        assert journal.find(["k"])["k"] == odd


def test_failures_are_not_kept_and_first_answers_stay(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.sqlite") as journal:
        journal.keep({"bad": Reply(error="out of memory"), "good": Reply(text="a")})
        journal.keep({"good": Reply(text="b")})
        assert journal.find(["bad", "good"]) == {"good": Reply(text="a")}


def test_many_keys_in_one_question(tmp_path: Path) -> None:
    replies = {f"key-{i}": Reply(text=str(i)) for i in range(2345)}
    with Journal.open(tmp_path / "j.sqlite") as journal:
        journal.keep(replies)
        assert journal.find(list(replies)) == replies
        assert len(journal) == len(replies)


def test_key_changes_with_everything_that_decides_an_answer() -> None:
    variants = [
        ("w2", REQUEST, NUMERICS),
        ("w1", replace(REQUEST, text="1 + 2 ="), NUMERICS),
        ("w1", replace(REQUEST, kind="perplexity"), NUMERICS),
        ("w1", replace(REQUEST, continuation=" 2"), NUMERICS),
        ("w1", replace(REQUEST, generation={"until": ["\n"], "max_gen_toks": 9}), NUMERICS),
        ("w1", replace(REQUEST, sample=1), NUMERICS),
        ("w1", replace(REQUEST, seed=1), NUMERICS),
        ("w1", REQUEST, NUMERICS | {"dtype": "bfloat16"}),
    ]
    keys = {key for who, what, how in variants for key in journal_keys(who, [what], how)}
    [mine] = journal_keys("w1", [REQUEST], NUMERICS)
    assert len(keys | {mine}) == len(variants) + 1 and len(mine) == 16
    assert journal_keys("w1", [replace(REQUEST)] * 2, dict(reversed(NUMERICS.items()))) == [mine, mine]


_WORDS = st.text(alphabet='ab1:,"\ud800', max_size=4)
_REQUESTS = st.builds(
    Request,
    kind=st.sampled_from(["generate", "loglikelihood"]),
    text=_WORDS,
    continuation=_WORDS,
    generation=st.dictionaries(_WORDS, _WORDS | st.integers(0, 2) | st.lists(_WORDS, max_size=2), max_size=2),
    sample=st.integers(0, 12),
    seed=st.integers(0, 12),
)


@given(one=_REQUESTS, other=_REQUESTS)
def test_requests_have_the_same_digest_only_when_all_fields_are_the_same(one: Request, other: Request) -> None:
    assert (one.digest == other.digest) == (one == other)
    # what leaves one field for the next leaves a trace
    moved = replace(one, text=one.text[:-1], continuation=one.text[-1:] + one.continuation)
    assert (moved.digest == one.digest) == (moved == one)
    assert replace(one, generation=dict(reversed(one.generation.items()))).digest == one.digest


def test_settings_that_json_cannot_hold_have_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        assert replace(REQUEST, generation={"temperature": math.nan}).digest


def test_two_writers_share_a_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.sqlite") as one, Journal.open(tmp_path / "j.sqlite") as two:
        one.keep({"a": Reply(text="1")})
        two.keep({"b": Reply(text="2")})
        assert set(one.find(["a", "b"])) == {"a", "b"}


def test_a_killed_process_loses_only_the_batch_it_was_writing(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        with Journal.open(tmp_path / "j.sqlite") as journal:
            journal.keep({"a": Reply(text="1")})
            journal.connection.execute("BEGIN IMMEDIATE")
            journal.connection.execute("INSERT INTO answers (key, text) VALUES ('b', x'32')")
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with Journal.open(tmp_path / "j.sqlite") as journal:
        assert set(journal.find(["a", "b"])) == {"a"}


_KEEPS_AND_DIES = """
import os, sys, time
from pathlib import Path
from capeval.core import Reply
from capeval.store.journal import Journal
with Journal.open(Path(sys.argv[1])) as journal, journal.keeping() as keep:
    keep({"first": Reply(text="0")})        # written at once
    keep({"quick": Reply(text="1")})        # held: less than a quarter of a second after the last write
    time.sleep(0.3)
    keep({"slow": Reply(text="2")})         # written as it comes, with what was held
    keep({"just before": Reply(text="3")})  # held
    os.kill(os.getpid(), 9)
"""


def test_a_killed_process_loses_what_was_answered_within_a_quarter_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    killed = subprocess.run([sys.executable, "-c", _KEEPS_AND_DIES, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with Journal.open(path) as journal:
        assert set(journal.find(["first", "quick", "slow", "just before"])) == {"first", "quick", "slow"}


def test_quick_batches_share_a_transaction_and_nothing_is_left_behind_an_error(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.sqlite") as journal:
        seen: list[str] = []
        journal.connection.set_trace_callback(seen.append)
        with pytest.raises(KeyboardInterrupt), journal.keeping() as keep:
            for i in range(50):
                keep({f"k{i}": Reply(text="x")})
            raise KeyboardInterrupt
        assert len(journal) == 50 and seen.count("COMMIT") < 10
        with journal.keeping():
            pass


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    script = (
        "import sys; from pathlib import Path; from capeval.core import Reply; from capeval.store.journal import *\n"
        "with Journal.open(Path(sys.argv[1])) as j:\n  for r in range(20):\n    with j.keeping() as keep:\n"
        "      keep({f'{sys.argv[2]}-{r}-{i}': Reply(text='x') for i in range(50)})\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", script, str(path), name]) for name in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    with Journal.open(path) as journal:
        assert len(journal) == 2000


def test_damaged_journal_is_named_with_a_way_out(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"this is no data base, and long enough to be read as one" * 100)
    with pytest.raises(BadFileError, match=r"journal .*j\.sqlite is damaged.*mv "), Journal.open(path):
        pass


def test_a_page_damaged_inside_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    replies = {f"key-{i:05}": Reply(text="x" * 50) for i in range(3000)}
    with Journal.open(path) as journal:
        journal.keep(replies)
        journal.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[8192:-4096] = b"\xff" * (len(data) - 12288)
    path.write_bytes(data)
    with pytest.raises(BadFileError, match="is damaged"), Journal.open(path) as journal:
        journal.find(list(replies))


def test_newer_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "j.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(BadFileError, match="format 99"), Journal.open(tmp_path / "j.sqlite"):
        pass


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't write"), Journal.open(tmp_path / "file" / "j.sqlite"):
        pass
