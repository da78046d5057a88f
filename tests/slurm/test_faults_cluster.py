"""Faults of jobs and nodes on Slurm: a training that reaches its time limit, a node set down, a scoring job cancelled."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster import NODES, Cluster
from flow import Outcome, left_behind, run, tiny_config, with_recipe
from slurm_flow import ended, start
from systems_flow import job_of

from madsep.synth import make_dataset

pytestmark = pytest.mark.timeout(900)  # each job starts Python three times

N_EPOCHS = 200  # more than a training is through before it is held
LONG_S = 180.0  # for a job to start Python three times, Snakemake to see a job end, or Slurm to look at time limits (every 30 s)
JOB_S = {"prepare": 60, "separate": 60, "score": 60}  # seconds of audio per job: one job for all songs
OWN = {"OWN": {"separator": "own:separate", "targets": ["vocals", "accompaniment"]}}
WAITING = """\
import time
from pathlib import Path

calls = []


def separate(audio, rate):
    calls.append(rate)
    while len(calls) == 2 and not Path("open").exists():  # the first track is written
        time.sleep(0.1)
    return {"vocals": 0.5 * audio}
"""
CHECKPOINT = "results/MDL1/checkpoint.safetensors"
ESTIMATES, SCORES = Path("results/OWN/estimates"), Path("results/OWN/scores")
TRAINED = [f"results/trainings/*/{name}" for name in ("data.json", "weights.safetensors", "history.csv")]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("songs") / "musdb"
    make_dataset(root, 2, 5, 2.0, seed=0)
    tiny = tiny_config(root, systems=["MDL1", "OWN"], external=OWN, job_s=JOB_S)
    return with_recipe(tiny, training={"n_epochs": N_EPOCHS})


@pytest.fixture(scope="module")
def prepared(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the prepared songs, from which runs on Slurm and runs without start."""
    folder, songs = tmp_path_factory.mktemp("prepared") / "run", Path(config["musdb_root"])
    succeeded(run(folder, config, "--", *(f"results/prepared/{kind}/jobs/{job_of(songs / kind)}.json" for kind in ("train", "test"))))
    (folder / "own.py").write_text(WAITING)
    return folder


@pytest.fixture(scope="module")
def job(config: dict[str, Any]) -> str:
    """The one job of a stage on all test songs."""
    return job_of(Path(config["musdb_root"]) / "test")


@pytest.fixture(scope="module")
def local(config: dict[str, Any], job: str, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """The same results without Slurm and without a fault, made while the first test runs; returns their folder."""
    folder = copied(prepared, tmp_path_factory.mktemp("local") / "run")
    (folder / "open").touch()
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run, folder, config, "--", CHECKPOINT, stamp(SCORES, job))

        def finished() -> Path:
            succeeded(outcome.result())
            return folder

        yield finished


def copied(prepared: Path, folder: Path) -> Path:
    return shutil.copytree(prepared, folder, ignore=shutil.ignore_patterns(".snakemake"))


def stamp(stage: Path, job: str) -> str:
    """The file that says that a job of a stage is done."""
    return str(stage / "jobs" / f"{job}.json")


def made(folder: Path, stage: Path) -> dict[Path, tuple[int, int]]:
    """Files of the tracks that a stage has finished so far: path -> inode and time of the last change."""
    found = {}
    for record in (folder / stage / "records").glob("*.json"):
        for path in (record, *(folder / stage / name for name in json.loads(record.read_text())["files"])):
            found[path] = path.stat().st_ino, path.stat().st_mtime_ns
    return found


def of_stage(stage: Path, files: str) -> list[str]:
    """Patterns of all that a stage leaves; `files` is that of its files, below the folder of the test tracks."""
    return [f"{stage}/test/{files}", f"{stage}/records/*.json", f"{stage}/jobs/*.json"]


def succeeded(outcome: Outcome) -> None:
    assert outcome.status == 0, outcome.text


def same_files(folder: Path, other: Path, *patterns: str) -> None:
    """Assert that both folders hold the same files that fit the patterns, with the same bytes."""
    for pattern in patterns:
        names = sorted(path.relative_to(other) for path in other.glob(pattern))
        assert names and names == sorted(path.relative_to(folder) for path in folder.glob(pattern))
        for name in names:
            assert (folder / name).read_bytes() == (other / name).read_bytes(), name


def processes_of(job: dict[str, str], name: str) -> list[psutil.Process]:
    """Processes of a Slurm job on its node whose command line has an argument that ends on `name`."""
    found = []
    for process in psutil.process_iter():
        try:
            environment, arguments = process.environ(), process.cmdline()
        except psutil.Error:
            continue
        of_job = (environment.get("SLURM_JOB_ID"), environment.get("SLURMD_NODENAME")) == (job["JobId"], job["NodeList"])
        if of_job and any(argument.endswith(name) for argument in arguments):
            found.append(process)
    return found


def signalled(process: psutil.Process) -> bool:
    """Whether a held process has been sent a signal; it then continues and takes the signal, even if no SIGCONT followed."""
    with contextlib.suppress(OSError):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
        if "T" in status["State"] and int(status["ShdPnd"], 16) == 0:
            return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()
    return True


def held_training(slurm: Cluster, folder: Path, leg: int) -> tuple[dict[str, str], psutil.Process]:
    """Hold the training of the run's leg-th job after an epoch that was not its last, when its state is saved; return job and process."""
    scripts: list[psutil.Process] = []

    def trains() -> bool:
        jobs = slurm.jobs_of("train")
        text = training_log(folder)
        if len(jobs) < leg:
            return False
        scripts[:] = [one for one in processes_of(jobs[-1], ".train.py") if one.name().startswith("python")]
        return f"Slurm job {jobs[-1]['JobId']} " in text and "epoch " in text.rpartition("parameters")[2] and bool(scripts)

    slurm.wait_for(trains, f"leg {leg} of the training ends an epoch", LONG_S)
    (script,) = scripts
    script.suspend()
    assert not list(folder.glob("results/trainings/*/weights.safetensors"))
    return slurm.jobs_of("train")[-1], script


def training_log(folder: Path) -> str:
    """The log of the run's one training; empty before it begins."""
    return "".join(log.read_text() for log in (folder / "results/logs/train").glob("*.log"))


def state_of(slurm: Cluster, job: dict[str, str]) -> str:
    return slurm.jobs()[job["JobId"]]["JobState"]


def test_a_training_that_reaches_its_time_limit_twice_ends_as_if_it_had_not(
    slurm: Cluster, config: dict[str, Any], prepared: Path, local: Callable[[], Path], tmp_path: Path
) -> None:
    folder = copied(prepared, tmp_path / "run")
    process = start(slurm, folder, config, "--", CHECKPOINT)

    # warned as the rule asks for, before the limit: it saves its state in the middle of an epoch
    job, script = held_training(slurm, folder, 1)
    slurm.command("scontrol", "update", f"jobid={job['JobId']}", "EndTime=now+100seconds")
    slurm.wait_for(lambda: signalled(script), "Slurm warns the training", LONG_S)
    slurm.wait_for(lambda: "ERROR: training stopped by SIGTERM" in training_log(folder), "the training says why it stops")
    slurm.wait_for(lambda: state_of(slurm, job) == "FAILED", "the job ends")

    # killed at the limit
    job, _ = held_training(slurm, folder, 2)
    slurm.command("scontrol", "update", f"jobid={job['JobId']}", "EndTime=now")
    slurm.wait_for(lambda: state_of(slurm, job) == "TIMEOUT", "Slurm kills the training", LONG_S)

    outcome = ended(process, folder)
    succeeded(outcome)
    assert [job["JobState"] for job in slurm.jobs_of("train")] == ["FAILED", "TIMEOUT", "COMPLETED"]
    assert "training resumes from" in training_log(folder)
    (record,) = folder.glob("results/trainings/*/records/weights.json")
    parts = json.loads(record.read_text())["facts"]["parts"]
    assert [part["slurm_job_id"] for part in parts] == [job["JobId"] for job in slurm.jobs_of("train")]
    same_files(folder, local(), "results/MDL1/*.safetensors", *TRAINED)
    assert left_behind(folder) == []


def test_a_job_whose_node_is_set_down_runs_again_on_another_and_keeps_its_finished_track(
    slurm: Cluster, config: dict[str, Any], job: str, prepared: Path, local: Callable[[], Path], tmp_path: Path
) -> None:
    folder = copied(prepared, tmp_path / "run")
    process = start(slurm, folder, config, "--", stamp(ESTIMATES, job))
    slurm.wait_for(lambda: made(folder, ESTIMATES), "a track is separated", LONG_S)
    kept = made(folder, ESTIMATES)
    (first,) = slurm.jobs_of("separate_external")
    try:
        slurm.command("scontrol", "update", f"nodename={first['NodeList']}", "state=down", "reason=test")
        slurm.wait_for(lambda: not processes_of(first, ".separate_external.py"), "what ran on the node has ended")
        slurm.wait_for(lambda: state_of(slurm, first) == "PENDING", "the job is in the queue again")
        slurm.command("scontrol", "update", f"jobid={first['JobId']}", "StartTime=now")  # Slurm itself waits two minutes
        slurm.wait_for(lambda: state_of(slurm, first) == "RUNNING", "the job runs again")
        (folder / "open").touch()
        outcome = ended(process, folder)
    finally:
        slurm.command("scontrol", "update", f"nodename={first['NodeList']}", "state=resume")
        slurm.wait_for(slurm.nodes_up, "the node is back")
    succeeded(outcome)
    (again,) = slurm.jobs_of("separate_external")
    assert (again["JobId"], again["JobState"], again["Restarts"]) == (first["JobId"], "COMPLETED", "1")
    assert {first["NodeList"], again["NodeList"]} == {*NODES}
    assert len(kept) == 3 and kept.items() <= made(folder, ESTIMATES).items()  # a record and two wavs
    same_files(folder, local(), *of_stage(ESTIMATES, "*/*.wav"))
    assert left_behind(folder) == []


def test_a_cancelled_scoring_job_is_submitted_again_and_keeps_its_finished_tracks(
    slurm: Cluster, config: dict[str, Any], job: str, local: Callable[[], Path], tmp_path: Path
) -> None:
    folder = copied(local(), tmp_path / "run")
    shutil.rmtree(folder / SCORES)
    process = start(slurm, folder, config, "--", stamp(SCORES, job))
    slurm.wait_for(lambda: made(folder, SCORES), "a track is scored", LONG_S)
    (first,) = slurm.jobs_of("score")
    slurm.command("scancel", first["JobId"])
    kept = made(folder, SCORES)
    assert not Path(folder, stamp(SCORES, job)).exists()
    outcome = ended(process, folder)
    succeeded(outcome)
    assert [job["JobState"] for job in slurm.jobs_of("score")] == ["CANCELLED", "COMPLETED"]
    assert kept.items() <= made(folder, SCORES).items()
    same_files(folder, local(), *of_stage(SCORES, "*.json"))
    assert left_behind(folder) == []
