"""Faults of runs on Slurm: Snakemake killed while its jobs run, a track that always fails, a job that lacks memory."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster
from flow import final_faults, left_behind, run, tiny_config
from slurm_flow import run_on, start

from madsep.data.tracks import slug_of
from madsep.synth import make_dataset

pytestmark = pytest.mark.timeout(1200)  # each job starts Python three times

OWN = {"systems": ["OWN"], "external": {"OWN": {"separator": "own:separate", "targets": ["vocals", "accompaniment"]}}}
FAST = {"scoring": {"engine": "fast", "audit_tracks": 0, "audit_seed": 1}}
ALONE = {"prepare": 1, "separate": 1, "score": 1}  # seconds of audio per job
PAIRS = {"prepare": 60, "separate": 2.5, "score": 2.5}  # two songs of 1 s
JOB = """\
import os
import time
from pathlib import Path

import psutil


def job_name():
    logs = [Path(file.path) for file in psutil.Process(os.getppid()).open_files() if "/logs/separate/" in file.path]
    return logs[0].stem


"""  # a separator runs in a process of its own, whose parent writes the job's log
WAITING = (
    JOB
    + """\
calls = []


def separate(audio, rate):
    calls.append(rate)
    job = job_name()
    while len(calls) == 2 and not Path("open", job).exists():  # the first track is written
        time.sleep(0.1)
    return {"vocals": 0.5 * audio}
"""
)
HUNGRY = (
    JOB
    + """\
import numpy as np

MB = NEEDED


def separate(audio, rate):
    job, attempts = job_name(), Path("attempts")
    attempts.mkdir(exist_ok=True)
    with (attempts / job).open("a") as stream:
        stream.write("x")
    given_mb = 1010 * (attempts / job).stat().st_size
    held = np.ones(MB[job] * 2**17)
    while held.nbytes > given_mb * 2**20:  # until it is killed
        time.sleep(0.1)
    return {"vocals": 0.5 * audio}
"""
)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic MUSDB of 1 + 5 songs of 1 s."""
    root = tmp_path_factory.mktemp("songs") / "musdb"
    make_dataset(root, 1, 5, 1.0, seed=0)
    return root


@pytest.fixture(scope="module")
def slugs(songs: Path) -> list[str]:
    """Of the test songs: what jobs of one track are called."""
    return [slug_of(song.name) for song in sorted((songs / "test").iterdir())]


def own_system(folder: Path, module: str, opened: Sequence[str] = ()) -> Path:
    """A folder for runs in which the system OWN is this module; `opened` are the jobs that WAITING lets through."""
    (folder / "open").mkdir(parents=True)
    for job in opened:
        (folder / "open" / job).touch()
    (folder / "own.py").write_text(module)
    return folder


def estimates(*jobs: str) -> list[str]:
    return [f"results/OWN/estimates/jobs/{job}.json" for job in jobs]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Results without logs: path -> inode and time of the last change."""
    found = [path for path in (folder / "results").rglob("*.*") if path.is_file() and path.suffix != ".log" and path.name[0] != "."]
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def jobs_for(slurm: Cluster, rule: str, name: str) -> list[dict[str, str]]:
    """All Slurm jobs of a rule's job, in the order of their submission."""
    return [job for job in slurm.jobs_of(rule) if job["Comment"].endswith(f"_{name}")]


def states(jobs: Sequence[Mapping[str, str]]) -> list[str]:
    return [job["JobState"] for job in jobs]


def kill_while_two_jobs_run(slurm: Cluster, folder: Path, config: Mapping[str, Any], targets: Sequence[str]) -> None:
    """Start a run, and kill its Snakemake when it knows that the last track is done and each other job has done one track of two."""
    killed, printed = start(slurm, folder, config, *targets), folder.with_suffix(".txt")
    recorded = "results/OWN/estimates/records/*.json"
    try:
        slurm.wait_for(lambda: "(Rule: separate_external)" in printed.read_text(), "the last track is separated", 300)
        slurm.wait_for(lambda: len(list(folder.glob(recorded))) == 3, "the other jobs wait", 300)
    finally:
        killed.kill()
        killed.wait()


def test_a_killed_snakemake_resumes_and_does_nothing_twice(slurm: Cluster, songs: Path, slugs: list[str], tmp_path: Path) -> None:
    config = tiny_config(songs, job_s=PAIRS, **OWN, **FAST)
    pair, cut, last = f"{slugs[0]}--{slugs[1]}", f"{slugs[2]}--{slugs[3]}", slugs[4]
    targets = ["--", *estimates(pair, cut, last), f"results/OWN/scores/jobs/{pair}.json"]
    folder = own_system(tmp_path / "run", WAITING)
    kill_while_two_jobs_run(slurm, folder, config, targets)
    done, known = files(folder), set(slurm.jobs())
    assert done.keys() & {*estimates(pair, cut, last)} == {*estimates(last)}
    running = [job["JobId"] for job in slurm.jobs().values() if job["JobState"] == "RUNNING"]
    (waiting,) = jobs_for(slurm, "separate_external", cut)
    assert len(running) == 2 and waiting["JobId"] in running

    locked = run_on(slurm, folder, config, *targets)
    assert locked.status != 0 and "Directory cannot be locked" in locked.text and "--unlock" in locked.text
    assert run_on(slurm, folder, config, "--unlock", *targets).status == 0
    refused = run_on(slurm, folder, config, *targets)
    assert refused.status != 0 and "Traceback" not in refused.text
    line, hint = list(filter(None, refused.lines))[-2:]
    assert line.startswith("ERROR: jobs of an earlier run in this folder are still in Slurm")
    assert sorted(line.partition("scancel ")[2].split()) == sorted(running)
    assert "run the same command again" in hint
    assert files(folder) == done and set(slurm.jobs()) == known

    slurm.command("scancel", waiting["JobId"])
    (folder / "open" / pair).touch()
    slurm.wait_for(lambda: not slurm.command("squeue", "--noheader"), "one job is cancelled and the other ends", 300)
    kept = files(folder)
    assert kept.keys() & {*estimates(pair, cut, last)} == {*estimates(pair, last)}
    (folder / "open" / cut).touch()
    again = run_on(slurm, folder, config, *targets)
    assert again.status == 0, again.text

    new = sorted(job["Comment"] for number, job in slurm.jobs().items() if number not in known)
    assert new == [f"rule_score_wildcards_OWN_{pair}", f"rule_separate_external_wildcards_OWN_{cut}"]
    after = files(folder)
    assert f"results/OWN/estimates/records/{slugs[2]}.json" in kept  # the track that the cancelled job had finished
    assert kept.items() <= after.items()
    assert left_behind(folder) == []
    undisturbed = own_system(tmp_path / "undisturbed", WAITING, [pair, cut])
    assert run(undisturbed, config, *targets).status == 0
    assert after.keys() == files(undisturbed).keys()
    for path in after.keys() - {"results/digests.json"}:  # that names own.py by its place
        if "/benchmarks/" not in path:
            assert (folder / path).read_bytes() == (undisturbed / path).read_bytes(), path


def test_a_track_that_always_fails_leaves_the_others_finished_and_is_named(
    slurm: Cluster, songs: Path, slugs: list[str], tmp_path: Path
) -> None:
    root, folder = tmp_path / "musdb", tmp_path / "run"
    shutil.copytree(songs, root)
    faulty = sorted((root / "test").iterdir())[1]
    (faulty / "bass.wav").write_bytes((faulty / "bass.wav").read_bytes()[:-1000])
    config = tiny_config(root, job_s=ALONE, **FAST)
    outcome = run_on(slurm, folder, config, "--retries", "1", "--", *(f"results/MIX/scores/jobs/{slug}.json" for slug in slugs[:2]))
    (line,) = final_faults(outcome)
    assert line.startswith(f"ERROR: {faulty}/bass.wav: the file is truncated")
    assert [path.name for path in (folder / "results/MIX/scores/jobs").iterdir()] == [f"{slugs[0]}.json"]
    assert states(jobs_for(slurm, "score", slugs[0])) == ["COMPLETED"]
    assert states(jobs_for(slurm, "prepare", slugs[1])) == ["FAILED", "FAILED"]


def test_a_job_over_its_memory_is_killed_and_gets_more(slurm: Cluster, songs: Path, slugs: list[str], tmp_path: Path) -> None:
    enough, lacking = slugs[:2]
    folder = own_system(tmp_path / "run", HUNGRY.replace("NEEDED", repr({enough: 1100, lacking: 2100})))
    config = tiny_config(songs, job_s=ALONE | {"prepare": 60}, **OWN)
    targets = estimates(enough, lacking)
    outcome = run_on(slurm, folder, config, "--retries", "1", "--", *targets)
    jobs = jobs_for(slurm, "separate_external", enough)
    assert states(jobs)[0] != "COMPLETED" and states(jobs)[1:] == ["COMPLETED"]
    assert [job["MinMemoryNode"] for job in jobs] == ["1010M", "2020M"]  # attempt * (1000 + 10 MB for the second of audio)
    assert re.search("slurmstepd.*xceeded .*memory limit", Path(jobs[0]["StdOut"]).read_text())
    assert (folder / targets[0]).exists()
    (line,) = final_faults(outcome)  # of the job that no attempt gave enough
    assert line.startswith(f"ERROR: results/logs/separate/OWN/{lacking}.log: Slurm ended the job: ") and "memory limit" in line
