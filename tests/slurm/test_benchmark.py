"""The benchmark on Slurm: where its jobs run, which traces they leave, and that the results are the same as without Slurm."""

from pathlib import Path
from typing import Any

import pytest
from cluster import GPU_NODE, Cluster
from flow import Run, run, tiny_config
from slurm_flow import run_on

pytestmark = pytest.mark.timeout(1200)  # each job starts Python three times

SEPARATED_ALONE = {"prepare": 1200, "separate": 1, "score": 60}  # seconds of audio per job: each track is separated by a separate job
ON_GPU = ["--set-resources", "train:gpu=1"]  # training still runs on the CPU: the node's GPU is pretended
TABLES = ["medians", "track_medians", "summary", "global"]
STAGES = ["*/scores", "MDL1/estimates"]
STAMPED = [f"{stage}/{kind}/*.json" for stage in STAGES for kind in ("records", "jobs")]
RESULTS = ["MDL1/checkpoint.safetensors", *(f"*/{table}.csv" for table in TABLES), "*/scores/test/*.json", *STAMPED, "table.*"]


@pytest.fixture(scope="module")
def config(musdb: Path) -> dict[str, Any]:
    return tiny_config(musdb, job_s=SEPARATED_ALONE)


@pytest.fixture(scope="module")
def remote(slurm: Cluster, config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run of the benchmark on Slurm, from nothing to everything."""
    folder = tmp_path_factory.mktemp("remote") / "run"
    finished = Run(folder, config, run_on(slurm, folder, config, *ON_GPU))
    assert finished.outcome.status == 0, finished.outcome.text
    return finished


def test_the_results_are_a_local_runs_byte_for_byte(remote: Run, tmp_path: Path) -> None:
    local = tmp_path / "local"
    outcome = run(local, remote.config)
    assert outcome.status == 0, outcome.text
    compared = [path for kind in RESULTS for path in (local / "results").glob(kind)]
    compared += [*(local / "submission/MDL1/test").iterdir(), local / "submission/MDL1/description.md"]
    n_stamped = 2 * (2 + 1) + 2 + 2  # records and jobs: the scores of two systems, the estimates of one
    assert len(compared) == 1 + 4 * 2 + 2 * 2 + n_stamped + 2 + 2 + 1
    for path in compared:
        assert (remote.folder / path.relative_to(local)).read_bytes() == path.read_bytes(), path


def test_provenance_names_the_jobs_of_each_stage(remote: Run, slurm: Cluster) -> None:
    times = remote.provenance["times"]
    known = {rule: [int(job["JobId"]) for job in slurm.jobs_of(rule)] for rule in ("prepare", "train", "separate", "score")}
    for stage, n_jobs in {"prepare": 2, "train": 1, "separate": 2, "score": 1}.items():
        assert len(set(times[stage]["slurm_job_ids"])) == times[stage]["n_jobs"] == n_jobs
        assert set(times[stage]["slurm_job_ids"]) <= set(known[stage])
    assert len(known["score"]) == 2  # those of MIX, too


def test_every_job_ran_in_slurm_and_asked_for_memory_and_time(remote: Run, slurm: Cluster) -> None:
    jobs = slurm.jobs().values()
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    assert all(job["TimeLimit"] != "UNLIMITED" and job["MinMemoryNode"] != "0" for job in jobs)
    (training,) = slurm.jobs_of("train")
    assert training["TimeLimit"] == "1-00:00:00"


def test_the_gpu_rule_ran_on_the_node_with_the_gpu(remote: Run, slurm: Cluster) -> None:
    (training,) = slurm.jobs_of("train")
    assert training["NodeList"] == GPU_NODE and training["TresPerJob"] == "gres:gpu:1"
    (log,) = (remote.folder / "results/logs/train").iterdir()
    assert log.read_text().startswith(f"INFO: Slurm job {training['JobId']} on {GPU_NODE}\n")


def test_two_tracks_were_separated_at_the_same_time(remote: Run, slurm: Cluster) -> None:
    one, other = slurm.jobs_of("separate")
    assert max(one["StartTime"], other["StartTime"]) < min(one["EndTime"], other["EndTime"])


def test_a_training_asks_for_a_gpu_by_itself_if_slurm_offers_one(slurm: Cluster, config: dict[str, Any], tmp_path: Path) -> None:
    before = slurm.jobs().keys()
    outcome = run_on(slurm, tmp_path / "run", config | {"device": "auto"}, "--", "results/MDL1/checkpoint.safetensors")
    assert outcome.status == 0, outcome.text
    (training,) = (job for job in slurm.jobs_of("train") if job["JobId"] not in before)
    assert training["NodeList"] == GPU_NODE and training["TresPerJob"] == "gres:gpu:1"
