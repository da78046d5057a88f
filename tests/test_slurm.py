"""Which jobs in a queue are a workflow's, and which nodes have GPUs; squeue and sinfo are made for the test."""

from pathlib import Path

import pytest

from madsep.core.errors import InputError
from madsep.workflow.slurm import jobs_in_queue, offers_gpus


def fake(name: str, folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell script be the only program there is."""
    command = folder / name
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_jobs_are_those_of_a_snakemake_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "4|rule_train_wildcards_MDL1|/data/a run | of mine",
        "5|rule_results|/data/a run | of mine",
        "6|rule_results|/data/another",
        "7|(null)|/data/a run | of mine",
    ]
    fake("squeue", tmp_path, "\n".join(f"echo '{line}'" for line in lines), monkeypatch)
    assert jobs_in_queue(Path("/data/a run | of mine")) == ["4", "5"]
    assert jobs_in_queue(Path("/data")) == []


def test_a_slurm_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("squeue", tmp_path, "echo 'Unable to contact slurm controller' >&2; exit 1", monkeypatch)
    with pytest.raises(InputError, match=r"^squeue failed: Unable to contact slurm controller\n"):
        jobs_in_queue(tmp_path)


def test_without_slurm_there_are_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jobs_in_queue(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "offered"),
    [
        ("echo '(null)'; echo gpu:a100:4", True),
        ("echo license:2,gpu:1", True),
        ("echo '(null)'; echo license:gpu", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", True),  # not known: a job that wants one will wait for it
    ],
)
def test_gpus_are_those_of_any_node(script: str, offered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("sinfo", tmp_path, script, monkeypatch)
    assert offers_gpus() is offered


def test_another_cluster_may_have_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert offers_gpus()
