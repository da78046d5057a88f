"""Files written whole or not at all, JSON with bare NaN, digests against hashlib."""

import errno
import hashlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from madsep.core import files
from madsep.core.errors import InputError
from madsep.core.files import (
    atomic,
    digest,
    new_folder,
    read_json,
    refuse_inputs,
    scratch_file,
    scratch_folder,
    sha256,
    write_error,
    write_json,
    write_text,
)
from madsep.core.temporary import TEMPORARY, sweep


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "sub/folder/table.csv"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent and temporary.name.startswith(TEMPORARY)  # same disk
    assert path.read_text() == "new"
    assert names(path.parent) == ["table.csv"]


def test_a_reader_that_has_the_old_file_open_keeps_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with path.open() as stream:
        write_text(path, "new")
        assert stream.read() == "old"
    assert path.read_text() == "new"


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
        (OSError(errno.ENOTDIR, "x"), "lies below a file"),
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
    for content in (b'{"a": 1', b"\xff\xfe", b"", 100_000 * b"["):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(InputError, match=r"bad.json: is not (valid JSON|UTF-8 text)"):
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


def test_the_sha256_of_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none: cannot be read \(No such file"):
        sha256(tmp_path / "none")
    with pytest.raises(InputError, match=r"is a folder; expected a file"):
        sha256(tmp_path)


# --- on the disk before it has its name


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there is no /proc")
def test_a_file_is_synced_before_it_gets_its_name_and_its_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def fsync(handle: int) -> None:
        found = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((found.name if found == tmp_path else found.name[: len(TEMPORARY)], names(tmp_path) == ["table.csv"]))

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(tmp_path / "table.csv", "new")
    assert seen == [(TEMPORARY, False), (tmp_path.name, True)]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_that_cannot_sync_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "table.csv", "new")
    assert names(tmp_path) == ["table.csv"]


def test_a_disk_that_fills_while_syncing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_text(tmp_path / "table.csv", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=r"table\.csv: the disk is full"):
        write_text(tmp_path / "table.csv", "new")
    assert (tmp_path / "table.csv").read_text() == "old" and names(tmp_path) == ["table.csv"]


# --- temporary files


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def leave(folder: Path, host: str, process: int | str, age_s: float = 0.0) -> Path:
    """A temporary file as a killed process leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{TEMPORARY}{host}.{process}.abc_123"
    path.write_text("half")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_no_pattern_of_a_reader_matches_a_temporary_file(tmp_path: Path) -> None:
    with atomic(tmp_path / "scores.json") as temporary:
        temporary.write_text("{}")
        for pattern in ("*.json", "*.wav", "*.npy", "*.csv", "*.safetensors", "*.mp4", "*.yaml", "[!.]*"):
            assert list(tmp_path.rglob(pattern)) == []
        assert len(temporary.name) < 150  # a true name of 250 bytes takes no part in it


@pytest.mark.parametrize("name", ["x" * 250 + ".json", "\u6f22" * 83 + ".json", "{bar}", "<b>", "\"q'", "nan"])
def test_names_of_any_length_and_kind_are_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


def test_sweeping_removes_what_ended_processes_left_and_nothing_else(tmp_path: Path) -> None:
    here, ended = socket.gethostname(), ended_process()
    stale = [
        leave(tmp_path, here, ended),
        leave(tmp_path / "test/A", here, ended),
        leave(tmp_path, "node7.cluster.example", 1, age_s=2 * 86_400),
        leave(tmp_path, here, "garbled"),
        leave(tmp_path / "test" / f"{TEMPORARY}{here}.{ended}.folder" / "new", here, os.getpid()).parents[1],
    ]
    kept = [
        leave(tmp_path, here, os.getpid()),
        leave(tmp_path, here, 1, age_s=2 * 86_400),  # a process that runs, though not ours
        leave(tmp_path, "node7.cluster.example", ended),
        leave(tmp_path / f"{TEMPORARY}{here}.{os.getpid()}.folder", here, ended),  # in the folder of a process that runs
    ]
    for name in ("vocals.wav", ".hidden", "scores.json"):
        write_text(tmp_path / "test/A" / name, "mine")
        kept.append(tmp_path / "test/A" / name)
    sweep(tmp_path)
    assert [path.name for path in stale if path.exists()] == []
    assert [path.name for path in kept if not path.exists()] == []


def test_sweeping_what_is_not_there(tmp_path: Path) -> None:
    sweep(tmp_path / "none")


# --- folders


def test_a_scratch_folder_is_removed_with_what_a_killed_process_left(tmp_path: Path) -> None:
    leave(tmp_path / "parent", socket.gethostname(), ended_process())
    with scratch_folder(tmp_path / "parent") as scratch:
        (scratch / "decoded.f32").write_text("half")
        assert names(tmp_path / "parent") == [scratch.name] and scratch.name.startswith(TEMPORARY)
    assert names(tmp_path / "parent") == []


@pytest.mark.parametrize(("error", "told"), [(OSError(errno.ENOSPC, "x"), InputError), (KeyboardInterrupt(), KeyboardInterrupt)])
def test_a_scratch_file_is_removed_if_writing_it_fails(tmp_path: Path, error: BaseException, told: type[BaseException]) -> None:
    with scratch_file(tmp_path / "scratch/decoded.f32") as stream:
        stream.write(b"whole")
    assert (tmp_path / "scratch/decoded.f32").read_bytes() == b"whole"
    with pytest.raises(told), scratch_file(tmp_path / "scratch/decoded.f32") as stream:
        raise error
    assert names(tmp_path / "scratch") == []


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt()])
def test_a_new_folder_replaces_the_old_one_or_leaves_it(tmp_path: Path, error: BaseException) -> None:
    for text in ("one", "two"):
        with new_folder(tmp_path / "folder") as new:
            assert new.name == "folder" and names(new) == []
            write_text(new / text / "file", text)
        assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == [text]
    with pytest.raises(type(error)), new_folder(tmp_path / "folder") as new:
        (new / "half").touch()
        raise error
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == ["two"]


def test_a_new_folder_that_cannot_be_moved_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder/mine").mkdir(parents=True)
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent.name == "new":
            raise OSError(errno.EACCES, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match=r"folder: no permission to write there"), new_folder(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["folder"] and names(tmp_path / "folder") == ["mine"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_new_folder_that_is_a_link_stays_one(tmp_path: Path, exists: bool) -> None:
    target, link = tmp_path / "other disk/target", tmp_path / "link"
    link.symlink_to(target)
    if exists:
        target.mkdir(parents=True)
        (target / "old").touch()
    with new_folder(link) as folder:
        (folder / "new").touch()
    assert link.is_symlink() and [path.name for path in target.iterdir()] == ["new"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(["link", "other disk", "target", "new"])


# --- what is left, and what is written over


@pytest.mark.parametrize("error", [RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_folders_that_were_made_for_nothing_go_again(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "mine").mkdir()
    for begun in (
        atomic(tmp_path / "a/b/file"),
        scratch_folder(tmp_path / "a/c"),
        new_folder(tmp_path / "d/e"),
        atomic(tmp_path / "mine/file"),
    ):
        with pytest.raises(type(error)), begun:
            raise error
    assert names(tmp_path) == ["mine"] and names(tmp_path / "mine") == []
    with pytest.raises(type(error)), scratch_folder(tmp_path / "a/c") as scratch:
        write_text(scratch.parent / "kept", "text")
        raise error
    assert names(tmp_path / "a/c") == ["kept"]


def test_an_output_is_never_an_input(tmp_path: Path) -> None:
    given, other, gone = tmp_path / "given", tmp_path / "other", tmp_path / "gone"
    write_text(given, "text")
    write_text(other, "text")
    refuse_inputs([other, gone], [given, gone])  # equal contents are two files
    refuse_inputs([], [given])
    refuse_inputs([tmp_path / ("x" * 300), tmp_path / "given/below", Path("a\0b")], [given, Path("c\0d"), tmp_path / ("y" * 300)])
    links = {name: tmp_path / name for name in ("soft", "hard", "chain", "folder")}
    links["soft"].symlink_to("given")
    links["hard"].hardlink_to(given)
    links["chain"].symlink_to("soft")
    links["folder"].symlink_to(tmp_path)
    for path in (given, tmp_path / "folder/../" / tmp_path.name / "given", links["folder"] / "given", *list(links.values())[:3]):
        with pytest.raises(InputError, match=rf"^{path}: is the input {given} itself"):
            refuse_inputs([other, path], [given])
        with pytest.raises(InputError, match=rf"^{given}: is the input {path} itself"):
            refuse_inputs([other, given], [path])
