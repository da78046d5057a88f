"""Which jobs in a queue are a workflow's; the queue is that of a squeue made for the test."""

from pathlib import Path

import pytest

from madsep.errors import InputError
from madsep.slurm import jobs_in_queue


def fake_squeue(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a shell script be the only program there is."""
    command = folder / "squeue"
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
    fake_squeue(tmp_path, "\n".join(f"echo '{line}'" for line in lines), monkeypatch)
    assert jobs_in_queue(Path("/data/a run | of mine")) == ["4", "5"]
    assert jobs_in_queue(Path("/data")) == []


def test_a_slurm_that_does_not_answer_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_squeue(tmp_path, "echo 'Unable to contact slurm controller' >&2; exit 1", monkeypatch)
    with pytest.raises(InputError, match=r"^squeue failed: Unable to contact slurm controller\n"):
        jobs_in_queue(tmp_path)


def test_without_slurm_there_are_no_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert jobs_in_queue(tmp_path) == []
