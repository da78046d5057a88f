"""Locks between processes and users: held is held, and nothing that lies in their place is followed, waited for or made."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from madsep.core.errors import InputError
from madsep.core.locks import PREFIX, hold, hold_file

ROOT = Path(__file__).resolve().parents[1]
OTHER = 65_534  # a user that every system has
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")

HOLDER = """
import os, sys, tempfile
from madsep.core.locks import hold
os.umask(0o077)
os.setuid(int(sys.argv[2]))
tempfile.tempdir = sys.argv[1]
with hold("gpu.lock") as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # which any user may enter, unlike pytest's
        Path(folder).chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


def own(place: Path) -> Path:
    return place / f"{PREFIX}{os.getuid()}"


def started(place: Path, user: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLDER, str(place), str(user)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_lock_is_held_once_and_given_back(place: Path) -> None:
    with hold("gpu.lock") as first, hold("gpu.lock") as second, hold("other.lock") as third:
        assert (first, second, third) == (True, False, True)
    with hold("gpu.lock") as again:
        assert again


@pytest.mark.parametrize("user", [os.getuid(), pytest.param(OTHER, marks=as_root)])
def test_the_hold_of_another_process_is_a_hold_whoever_runs_it(place: Path, user: int) -> None:
    with started(place, user) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "True\n"
        with hold("gpu.lock") as is_ours:
            assert not is_ours
        process.stdin.close()
    with hold("gpu.lock") as is_ours:
        assert is_ours


@as_root
def test_our_hold_is_one_for_another_user(place: Path) -> None:
    with hold("gpu.lock") as is_ours, started(place, OTHER) as process:
        assert is_ours
        assert process.communicate("")[0] == "False\n"


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("target"))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [dangling, pipe, folder])
def test_what_lies_in_place_of_a_lock_counts_as_held_and_stays(place: Path, caplog: pytest.LogCaptureFixture, make) -> None:  # type: ignore[no-untyped-def]
    own(place).mkdir(0o755)
    make(own(place) / "gpu.lock")
    with hold("gpu.lock") as is_ours:
        assert not is_ours
    assert "no lock can be made there" in caplog.text
    assert [path.name for path in own(place).iterdir()] == ["gpu.lock"]


@pytest.mark.parametrize("make", [dangling, pipe, lambda path: path.write_text("")])
def test_what_lies_in_place_of_the_folder_counts_as_a_hold(place: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(own(place))
    with hold("gpu.lock") as is_ours:
        assert not is_ours
    assert [path.name for path in place.iterdir()] == [own(place).name]


@as_root
def test_a_folder_that_another_user_made_in_our_name_is_not_used(place: Path) -> None:
    own(place).mkdir()
    os.chown(own(place), OTHER, OTHER)
    with hold("gpu.lock") as is_ours:
        assert not is_ours
    assert not list(own(place).iterdir())


@pytest.mark.parametrize("make", [dangling, pipe, folder])
def test_what_others_put_into_their_folders_does_no_harm(place: Path, make) -> None:  # type: ignore[no-untyped-def]
    for name in ("77777", "x"):
        (place / f"{PREFIX}{name}").mkdir(0o755)
        make(place / f"{PREFIX}{name}" / "gpu.lock")
    with hold("gpu.lock") as is_ours:
        assert is_ours


def test_a_lock_file_is_held_once_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.lock"
    with hold_file(path) as first, hold_file(path) as second:
        assert (first, second) == (True, False)
    with hold_file(path) as again:
        assert again


def test_a_lock_file_that_its_holder_removed_is_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened before the removal and locked after it, while another process may have locked a new file of that name."""
    path = tmp_path / "x.lock"
    real = os.fstat

    def removed_meanwhile(handle: int) -> os.stat_result:
        path.unlink(missing_ok=True)
        return real(handle)

    monkeypatch.setattr(os, "fstat", removed_meanwhile)
    with hold_file(path) as is_ours:
        assert not is_ours


@pytest.mark.parametrize("make", [dangling, pipe, Path.mkdir])
def test_what_is_no_file_is_no_lock_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "x.lock"
    make(path)
    with pytest.raises(InputError, match=r"x\.lock: "), hold_file(path):
        pass
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("error", [OSError(37, "No locks available")])
def test_where_files_cannot_be_locked_a_warning_says_so(tmp_path: Path, monkeypatch, caplog, error: OSError) -> None:
    def fail(handle: int, kind: int) -> None:
        raise error

    monkeypatch.setattr("fcntl.flock", fail)
    with hold_file(tmp_path / "x.lock") as is_ours:
        assert is_ours
    assert "cannot be locked (No locks available)" in caplog.text
