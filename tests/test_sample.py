"""Downloading MUSDB18's sample: once, whole or not at all."""

import fcntl
import http.client
import shutil
import socket
import subprocess
import sys
import urllib.error
import zipfile
import zlib
from pathlib import Path

import musdb
import pytest
from test_tracks import make_stem_tree

from madsep.core.errors import InputError
from madsep.core.temporary import TEMPORARY
from madsep.data.datasets import MUSDB18
from madsep.data.sample import fetch_sample
from madsep.data.tracks import find_tracks

FAULTS = [
    urllib.error.URLError("no route"),
    TimeoutError("slow"),
    http.client.IncompleteRead(b"half"),
    zipfile.BadZipFile("cut"),
    zlib.error("garbled"),
]


class FakeDB:
    """In place of musdb.DB: writes a sample, or half of one and then the error of the day."""

    error: Exception | None = None

    def __init__(self, root: str, download: bool) -> None:
        assert download
        print("Downloading")
        make_stem_tree(Path(root), ["A", "B"], ["C"])
        if self.error:
            shutil.rmtree(Path(root) / "test")
            raise self.error


def test_fetch_sample_downloads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(musdb, "DB", FakeDB)
    folder = tmp_path / "new" / "sample"
    assert fetch_sample(folder) == folder
    assert capsys.readouterr().out == ""
    assert len(find_tracks(folder, MUSDB18, allow_partial=True)) == 3
    assert [path.name for path in folder.parent.iterdir()] == ["sample"]
    monkeypatch.setattr(musdb, "DB", None)
    assert fetch_sample(folder) == folder


@pytest.mark.parametrize("error", FAULTS)
def test_fetch_sample_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(musdb, "DB", FakeDB)
    monkeypatch.setattr(FakeDB, "error", error)
    with pytest.raises(InputError, match=r"could not be downloaded .*by hand \(see https://sigsep"):
        fetch_sample(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


def test_fetch_sample_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_connection(*args: object) -> None:
        raise urllib.error.URLError("network is unreachable")

    monkeypatch.setattr(musdb, "urlopen", refuse_connection)
    with pytest.raises(InputError, match="network is unreachable"):
        fetch_sample(tmp_path / "sample")
    assert list(tmp_path.iterdir()) == []


def test_fetch_sample_refuses_a_half_extracted_folder(tmp_path: Path) -> None:
    make_stem_tree(tmp_path, ["A"], [])
    with pytest.raises(InputError, match="test: holds no tracks"):
        fetch_sample(tmp_path)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_stem_tree(tmp_path / "data", ["A"], ["B"])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_sample(Path("~/data")) == tmp_path / "data"


def test_never_two_downloads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musdb, "DB", FakeDB)
    with (tmp_path / ".sample.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(
            InputError, match="sample: another run is downloading the sample of MUSDB18; run the same command again when that has ended"
        ):
            fetch_sample(tmp_path / "sample")
    assert not (tmp_path / "sample").exists()
    fetch_sample(tmp_path / "sample")  # a lock that nobody holds, as a killed run leaves it
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]


def test_what_a_killed_download_left_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musdb, "DB", FakeDB)
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    (tmp_path / f"{TEMPORARY}{socket.gethostname()}.{ended.pid}.abc" / "sample" / "train" / "half").mkdir(parents=True)
    assert len(find_tracks(fetch_sample(tmp_path / "sample"), MUSDB18, allow_partial=True)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sample"]
