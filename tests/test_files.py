"""Files written whole or not at all, JSON with bare NaN, digests against hashlib."""

import errno
import hashlib
import json
import math
import os
from pathlib import Path

import pytest

from madsep.core import files
from madsep.core.errors import InputError
from madsep.core.files import atomic, digest, read_json, sha256, write_error, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "sub/folder/table.csv"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent and temporary.suffix == ".csv"  # same disk; libraries go by the suffix
    assert path.read_text() == "new"
    assert names(path.parent) == ["table.csv"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1), InputError("wrong")])
def test_a_failed_block_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(type(error)) as raised, atomic(path) as temporary:
        temporary.write_text("half of the n")
        raise error
    assert raised.value is error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_the_files_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "atomic", "")
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_told_plainly(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(InputError, match=r"table.csv: the disk is full; nothing was written"), atomic(path) as temporary:
        temporary.unlink()
        temporary.symlink_to("/dev/full")
        temporary.write_text("new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_forbidden_folder_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(InputError, match=r"table.csv: no permission to write there"):
        write_text(tmp_path / "table.csv", "new")
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told_plainly(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="no permission to write there"):
        write_text(tmp_path / "table.csv", "new")
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "x"), "the disk is full"),
        (OSError(errno.EDQUOT, "x"), "the disk is full"),
        (RuntimeError("libsndfile: No space left on device"), "the disk is full"),
        (OSError(errno.ENOENT, "x"), None),
        (ValueError("bug"), None),
    ],
)
def test_only_what_the_disk_forbids_is_a_plain_line(error: Exception, told: str | None) -> None:
    line = write_error("out.wav", error)
    assert line is None if told is None else told in str(line) and "out.wav" in str(line)


def test_json_keeps_nan_and_names(tmp_path: Path) -> None:
    value = {"name": "Größe & 'x' (live)", "SDR": [1.5, math.nan, None], "n": 3}
    path = tmp_path / "scores.json"
    write_json(path, value, allow_nan=True)
    assert "NaN" in path.read_text() and "Größe & 'x' (live)" in path.read_text(encoding="utf-8")
    found = read_json(path)
    assert math.isnan(found["SDR"].pop(1))
    assert found == {"name": "Größe & 'x' (live)", "SDR": [1.5, None], "n": 3}


def test_nan_is_written_only_where_it_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "scores.json", math.nan)
    assert names(tmp_path) == []


def test_unreadable_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.json: cannot be read \(No such file"):
        read_json(tmp_path / "none.json")
    for content in (b'{"a": 1', b"\xff\xfe", b""):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(InputError, match=r"bad.json: is not valid JSON"):
            read_json(tmp_path / "bad.json")


@pytest.mark.parametrize("n_bytes", [0, 1, 1_000_003])
def test_sha256_of_a_file(tmp_path: Path, n_bytes: int) -> None:
    content = bytes(i % 251 for i in range(n_bytes))
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_digest_of_a_value() -> None:
    value = {"b": [1, 2.5], "a": {"y": None, "x": "z"}}
    assert digest(value) == hashlib.sha256(b'{"a": {"x": "z", "y": null}, "b": [1, 2.5]}').hexdigest()
    assert digest(value) == digest(json.loads(json.dumps({key: value[key] for key in ("a", "b")})))
    assert digest(value) != digest(value | {"b": [2.5, 1]})
