"""What other machines need: nodes without musdb, museval, ffmpeg and a network; the sample fetched first; plans of many tracks."""

import os
import shutil
from pathlib import Path

import pytest
from flow import Run, dry_run, final_faults, run, tiny_config

pytestmark = pytest.mark.slow
STUB = "raise ImportError('{name} is not on this node')\n"
FETCHED = """
import musdb, pathlib, shutil, sys
class DB:
    def __init__(self, root, download):
        error = {error!r}
        if error:
            raise OSError(error)
        shutil.copytree({source!r}, root, dirs_exist_ok=True)
musdb.DB = DB
"""


@pytest.fixture
def bare_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node on which musdb, museval and stempeg cannot be imported, and with all programs of this one but ffmpeg and ffprobe."""
    stubs, programs = tmp_path / "stubs", tmp_path / "bin"
    stubs.mkdir()
    programs.mkdir()
    for name in ("musdb", "museval", "stempeg"):
        (stubs / f"{name}.py").write_text(STUB.format(name=name))
    for folder in map(Path, os.environ["PATH"].split(os.pathsep)):
        for program in folder.iterdir() if folder.is_dir() else ():
            link = programs / program.name
            if program.name not in ("ffmpeg", "ffprobe") and not link.is_symlink():
                link.symlink_to(program)
    monkeypatch.setenv("PYTHONPATH", str(stubs))
    monkeypatch.setenv("PATH", str(programs))
    assert shutil.which("ffmpeg") is None and shutil.which("ffprobe") is None and shutil.which("bash")


def test_train_and_separate_run_without_musdb_museval_and_ffmpeg(first: Run, tmp_path: Path, bare_node: None) -> None:
    folder = tmp_path / "run"
    shutil.copytree(first.folder / "results/prepared", folder / "results/prepared")
    shutil.copytree(first.folder / ".snakemake/metadata", folder / ".snakemake/metadata")
    job = next(first.folder.glob("results/MDL1/estimates/jobs/*.json")).name
    outcome = run(folder, first.config, f"results/MDL1/estimates/jobs/{job}")
    assert outcome.jobs == {"train": 1, "checkpoint": 1, "separate": 1}
    for path in sorted((first.folder / "results/MDL1/estimates/test").rglob("*.wav")):
        assert (folder / path.relative_to(first.folder)).read_bytes() == path.read_bytes()
    outcome = run(folder, first.config, f"results/MDL1/scores/jobs/{job}")
    assert final_faults(outcome)[0].startswith("ERROR: ffmpeg and ffprobe not found on the PATH.")


def with_download(folder: Path, monkeypatch: pytest.MonkeyPatch, source: Path, error: str = "") -> None:
    """Put a stand-in for musdb's download, which copies `source` or fails, before all that Python imports."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(FETCHED.format(source=str(source), error=error))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_the_sample_is_fetched_by_a_run_of_its_own(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, config = tmp_path / "run", tiny_config(musdb) | {"musdb_root": None, "dataset": "sample"}
    sample = folder / "results/musdb-sample"
    with_download(tmp_path / "site", monkeypatch, musdb, error="no route to host")
    failed = run(folder, config)
    (fault,) = final_faults(failed)
    assert fault.startswith("ERROR: results/musdb-sample: the sample of MUSDB18 could not be downloaded (no route to host).")
    assert not sample.exists()
    with_download(tmp_path / "site", monkeypatch, musdb)
    assert dry_run(folder, config).jobs == {"fetch": 1}
    assert not sample.exists()
    fetched = run(folder, config)
    assert fetched.jobs == {"fetch": 1}
    assert "results/musdb-sample: the sample of MUSDB18 has been downloaded. Run the same command again." in fetched.lines
    assert len(list((sample / "test").iterdir())) == 2
    again = dry_run(folder, config)
    assert "fetch" not in again.jobs and again.jobs["separate"] == 1


def test_a_job_never_fetches_the_sample(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config(musdb) | {"musdb_root": None, "dataset": "sample"}
    with_download(tmp_path / "site", monkeypatch, musdb)
    outcome = run(tmp_path / "run", config, "fetch", "--mode", "remote")
    assert outcome.status != 0
    assert "ERROR: " in outcome.text and "Traceback" not in outcome.text
    assert not (tmp_path / "run/results/musdb-sample").exists()


def test_more_than_999_tracks(musdb: Path, tmp_path: Path) -> None:
    root = tmp_path / "many"
    shutil.copytree(musdb, root)
    (song, _) = (root / "test").iterdir()
    for number in range(999):
        copy = song.with_name(f"Song {number}")
        copy.mkdir()
        for stem in song.iterdir():
            os.link(stem, copy / stem.name)
    config = tiny_config(root, job_s={"prepare": 300.1, "separate": 300.1, "score": 300.1})
    planned = dry_run(tmp_path / "run", config)
    assert planned.jobs["prepare"] == 1 + 11 and planned.jobs["separate"] == 11 and planned.jobs["score"] == 22
