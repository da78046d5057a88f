"""The doctor finds what is wrong with the machine and the data, all of it at once."""

import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile as sf

from madsep import doctor
from madsep.data.datasets import MIR1K, MUSDB18
from madsep.doctor import Finding, examine, report


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small wav tree without faults, in a folder without anything else."""
    root = tmp_path / "musdb [demo]"
    for subset, name in (("train", "A"), ("train", "B"), ("test", "It's (C) & D."), ("test", "PR - Oh No")):
        folder = root / subset / name
        folder.mkdir(parents=True)
        for stem in MUSDB18.stems:
            sf.write(folder / f"{stem}.wav", np.zeros((1000, 2)), 44_100, subtype="PCM_16")
    return root


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    return named


def test_machine_only() -> None:
    found = by_name(examine(None, MUSDB18, False))
    assert set(found) == {"Python", "packages", "ffmpeg", "ffprobe", "GPU", "memory", "free disk space here", "folders to write to"}
    for name in ("Python", "ffmpeg", "ffprobe", "GPU", "memory", "free disk space here"):
        assert found[name].ok, found[name]


def test_missing_ffmpeg_has_a_remedy(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ffmpeg").symlink_to(str(shutil.which("ffmpeg")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    found = by_name(examine(tree, MUSDB18, True))
    assert found["ffmpeg"].ok
    assert not found["ffprobe"].ok
    assert "apt-get install ffmpeg" in found["ffprobe"].remedy
    assert found["GPU"] == Finding("GPU", True, "none: training runs on the CPU")
    assert found["audio"].ok  # wavs are read without it


def test_gpus_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: Big One (UUID: GPU-1)'\necho 'GPU 1: Small One (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert by_name(examine(None, MUSDB18, False))["GPU"].detail == "GPU 0: Big One\nGPU 1: Small One"
    tool.write_text("#!/bin/sh\necho 'no driver'\nexit 9\n")
    assert by_name(examine(None, MUSDB18, False))["GPU"].detail.startswith("none")


def patch_metadata(monkeypatch: pytest.MonkeyPatch, requires: list[str], versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr("importlib.metadata.requires", lambda name: requires)
    monkeypatch.setattr("importlib.metadata.metadata", lambda name: {"Requires-Python": ">=3.99"})
    monkeypatch.setattr("importlib.metadata.version", version)


def test_versions_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    requires = ["numpy>=2", "torch>=2.13", "typer", "gone", "pytest; extra == 'dev'"]
    versions = {"numpy": "1.26.4", "torch": "2.13.0+cpu", "typer": "0.1"}
    patch_metadata(monkeypatch, requires, versions)
    found = by_name(examine(None, MUSDB18, False))
    assert not found["Python"].ok
    assert not found["packages"].ok
    assert found["packages"].detail == "numpy>=2 needed, found 1.26.4\ngone is missing"
    patch_metadata(monkeypatch, requires, versions | {"numpy": "2.0", "gone": "1"})
    assert by_name(examine(None, MUSDB18, False))["packages"] == Finding("packages", True, "4 as required")


def test_a_missing_installation_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGE", "no-such-package-at-all")
    found = by_name(examine(None, MUSDB18, False))
    assert not found["packages"].ok
    assert "is not installed" in found["packages"].detail
    assert found["Python"].ok


def test_little_memory_and_disk_count_with_the_full_data_set_only(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage, memory = shutil.disk_usage("."), psutil.virtual_memory()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=24 * 10**9))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(total=6 * 10**9))
    for root, allow_partial, ok in ((None, False, True), (tree, True, True), (tree, False, False)):
        found = by_name(examine(root, MUSDB18, allow_partial))
        assert found["free disk space here"].ok == found["memory"].ok == ok
    assert found["free disk space here"].detail == "24 GB; the full MUSDB18 needs 27 GB"
    assert found["free disk space here"].remedy


def test_good_data(tree: Path) -> None:
    found = by_name(examine(tree, MUSDB18, True))
    assert found["tracks"].detail == "2 training and 2 test tracks, wav files"
    assert found["audio"] == Finding("audio", True, "all stereo (2 channels) at 44100 Hz, stems equally long")
    assert found["known errata"].ok
    assert found["known errata"].detail.startswith("PR - Oh No: ")
    assert "data" not in found


def test_mir1k(tmp_path: Path) -> None:
    for subset, name in (("train", "amy_1_01"), ("test", "Ani_1_01")):
        (tmp_path / subset / name).mkdir(parents=True)
        for stem in MIR1K.stems:
            sf.write(tmp_path / subset / name / f"{stem}.wav", np.zeros(160), 16_000)
    found = by_name(examine(tmp_path, MIR1K, True))
    assert found["audio"] == Finding("audio", True, "all mono (1 channel) at 16000 Hz, stems equally long")
    sf.write(tmp_path / "test/Ani_1_01/vocals.wav", np.zeros((441, 2)), 44_100)
    found = by_name(examine(tmp_path, MIR1K, False))
    assert "found 1 training and 1 test tracks, expected 175 and 825" in found["data"].detail
    assert found["audio"].detail == f"{tmp_path}/test/Ani_1_01: vocals at 44100 Hz, expected 16000 Hz; vocals has 2 channels, expected 1"


def test_a_partial_data_set_is_wrong_unless_allowed(tree: Path) -> None:
    found = by_name(examine(tree, MUSDB18, False))
    assert not found["data"].ok
    assert "found 2 training and 2 test tracks, expected 100 and 50" in found["data"].detail
    assert "allow_partial: true" in found["data"].detail
    assert found["audio"].ok


def test_wrong_root(tmp_path: Path) -> None:
    found = by_name(examine(tmp_path / "gone", MUSDB18, False))
    assert "no such folder" in found["data"].detail
    assert not found["data"].ok
    assert "tracks" not in found


def test_every_faulty_track_is_named_at_once(tree: Path) -> None:
    sf.write(tree / "train" / "A" / "bass.wav", np.zeros(1000), 48_000)
    sf.write(tree / "train" / "B" / "drums.wav", np.zeros((441, 2)), 44_100)
    (tree / "test" / "PR - Oh No" / "other.wav").write_text("no audio")
    cut = tree / "test" / "It's (C) & D." / "vocals.wav"
    cut.write_bytes(cut.read_bytes()[:-100])
    found = by_name(examine(tree, MUSDB18, True))
    assert not found["audio"].ok
    lines = found["audio"].detail.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"{tree}/train/A: bass at 48000 Hz, expected 44100 Hz; bass has 1 channels, expected 2")
    assert lines[1].startswith(f"{tree}/train/B: drums lasts 0.01 s, expected ")
    assert lines[2].startswith(f"{cut}: the file is truncated")
    assert lines[3].startswith(f"{tree}/test/PR - Oh No/other.wav: cannot be read as audio")


def test_stem_files(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for subset, name in (("train", "A"), ("test", "B"), ("test", "C"), ("test", "D")):
        (tmp_path / subset).mkdir(exist_ok=True)
        source = next((shared / "data/musdb_sample/train").iterdir())
        shutil.copyfile(source, tmp_path / subset / f"{name}.stem.mp4")
    assert by_name(examine(tmp_path, MUSDB18, True))["audio"].ok
    cut = tmp_path / "test" / "B.stem.mp4"
    cut.write_bytes(cut.read_bytes()[:-1])
    (tmp_path / "test" / "C.stem.mp4").write_text("text")
    sf.write(tmp_path / "one.wav", np.zeros((100, 2)), 44_100)
    shutil.copyfile(tmp_path / "one.wav", tmp_path / "test" / "D.stem.mp4")
    found = by_name(examine(tmp_path, MUSDB18, True))
    lines = found["audio"].detail.splitlines()
    assert not found["audio"].ok
    assert "B.stem.mp4: the file is truncated" in lines[0]
    assert "C.stem.mp4: cannot be read by ffprobe" in lines[1]
    assert lines[2].endswith("D.stem.mp4: 1 audio streams, expected 5")
    monkeypatch.setenv("PATH", "")
    assert by_name(examine(tmp_path, MUSDB18, True))["audio"].detail == "not examined: stem files need ffmpeg"


def test_report_shows_every_finding() -> None:
    text = report([Finding("a", True, "fine [x]"), Finding("b", False, "broken", "mend it")])
    rows = [line for line in text.splitlines() if "fine" in line or "broken" in line]
    assert len(rows) == 2
    assert "ok" in rows[0]
    assert "fine [x]" in rows[0]
    assert "wrong" in rows[1]
    assert "mend it" in rows[1]


def test_report_cuts_no_path_short() -> None:
    path = "/data/" + "x" * 300
    assert report([Finding("data", False, path)]).count("x") == 300


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "MPLCONFIGDIR"])
def test_folders_that_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert by_name(examine(None, MUSDB18, False))["folders to write to"].ok
    monkeypatch.setenv(variable, str(tmp_path / "file/cache"))
    found = by_name(examine(None, MUSDB18, False))["folders to write to"]
    assert not found.ok and "cannot be written (Not a directory)" in found.detail and variable in found.remedy


def test_results_on_a_disk_that_is_read_only_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to("gone")
    found = by_name(examine(None, MUSDB18, False))["folders to write to"]
    assert not found.ok and found.detail.startswith("results: results cannot be written (")

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    found = by_name(examine(None, MUSDB18, False))["folders to write to"]
    assert found.detail.count("(Read-only file system)") == 4 and "TMPDIR" in found.remedy
