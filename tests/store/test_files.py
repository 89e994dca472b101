"""Atomic writes and clear errors for places that can't be written."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from capeval.errors import BadFileError, OutputError, UsageError
from capeval.store.files import finite, make_folder, read_json, read_parquet, write_atomic, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def fill_the_disk(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"can't write .*a\.json: the disk is full"):
        write_atomic(path, fill_the_disk)
    assert read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the device that is always full")
def test_a_really_full_device_is_named() -> None:
    def write(temporary: Path) -> None:
        with Path("/dev/full").open("w") as handle:
            handle.write("x" * 10000)

    with pytest.raises(OutputError, match="the disk is full"):
        write_atomic(Path("/tmp/capeval-full"), write)
    assert not Path("/tmp/capeval-full").exists()


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="a part of the path is a file|a file of that name is in the way"):
        make_folder(tmp_path / "taken" / "deeper")
    with pytest.raises(OutputError, match="a file of that name is in the way"):
        make_folder(tmp_path / "taken")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="permission is denied"):
        make_folder(tmp_path / "below")


def test_nan_is_null_and_numpy_is_plain() -> None:
    value = finite({"a": np.float64("nan"), "b": [np.int64(3), float("inf")], "c": ("x", None)})
    assert json.dumps(value, allow_nan=False) == '{"a": null, "b": [3, null], "c": ["x", null]}'


def test_lone_surrogates_of_a_models_output_are_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "ok \ud800 ok")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8").startswith("ok ")


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": ')
    (tmp_path / "a.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(BadFileError, match=r"a\.json can't be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(BadFileError, match=r"a\.parquet can't be read as Parquet"):
        read_parquet(tmp_path / "a.parquet")
    with pytest.raises(UsageError, match="there is no file"):
        read_json(tmp_path / "none.json")


def test_written_files_can_be_read_by_others(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {})
    umask = os.umask(0)
    os.umask(umask)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o666 & ~umask
