"""What a quiet run shows of Snakemake's events."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from madsep.workflow.lines import SNAKEMAKE_LOG, JobLines, Running, Started

LOGGER = logging.getLogger(SNAKEMAKE_LOG)


@pytest.fixture
def theirs() -> Iterator[list[str]]:
    """What Snakemake's own handler shows."""
    shown: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(handler)
    yield shown
    for added in list(LOGGER.handlers):
        LOGGER.removeHandler(added)


@pytest.fixture
def called(theirs: list[str]) -> Iterator[list[str]]:
    """A list that grows when nothing is to be done; the lines are attached."""
    found: list[str] = []
    lines = JobLines(on_nothing=lambda: found.append("nothing"))
    lines.attach()
    yield found
    lines.close()


def start(number: int, rule: str, log: Path, **wildcards: str) -> None:
    LOGGER.info("", extra={"event": "job_info", "jobid": number, "rule_name": rule, "wildcards": wildcards, "log": [str(log)]})


def begin(**jobs: int) -> None:
    LOGGER.info("Job stats: ...", extra={"event": "run_info", "stats": jobs | {"total": sum(jobs.values())}})


def test_one_line_per_finished_job(called: list[str], theirs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "score.log"
    log.write_text("INFO: scored A\nWARNING: A is silent\nINFO: finished\n")
    LOGGER.info("Building DAG of jobs...")
    for _ in range(2):  # as a dry run does
        begin(score=2, all=1)
    start(1, "score", log, system="MDL1", job="a [bold]b[/bold]")
    start(2, "score", tmp_path / "absent.log", system="IRM1", job="a")
    for number in (2, 1, 0, 7):
        LOGGER.info("Finished", extra={"event": "job_finished", "job_id": number})
    assert theirs == [] and called == []
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["2 jobs: 2 score", "1 of 2: score IRM1 a, 0 s", "2 of 2: score MDL1 a [bold]b[/bold], 0 s", "  WARNING: A is silent"]


def test_failures_are_named_once_and_snakemakes_own_errors_stay(
    called: list[str], theirs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(train=1)
    start(1, "train", tmp_path / "train.log", training="MDL1-0a")
    for _ in range(2):  # at once, and at the end
        LOGGER.error("Error in rule train", extra={"event": "job_error", "jobid": 1})
    LOGGER.error("Error in group", extra={"event": "group_error"})
    LOGGER.warning("a warning")
    LOGGER.error("LockException")
    assert theirs == ["a warning", "LockException"]
    assert capsys.readouterr().err.splitlines() == ["1 job: 1 train", f"failed: train MDL1-0a, see {tmp_path}/train.log"]


def test_a_run_with_nothing_to_do_says_so(called: list[str], theirs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    LOGGER.info("Nothing to be done (all requested files are present and up to date).")
    assert capsys.readouterr().err == "Nothing to be done (all requested files are present and up to date).\n"
    assert called == ["nothing"] and theirs == []


def test_the_bar_shows_the_last_line_of_the_oldest_job(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    running = {2: Started("score MIX a", [tmp_path / "absent.log"], 2.0)}
    lines = JobLines(on_nothing=lambda: None)
    task = lines.bar.tasks[0]
    column = Running(running)
    assert column.render(task).plain == "score MIX a"
    log.write_text("x" * 1000 + "\nINFO: training MDL1: 3 of 100, 12 min left; loss 3.1\n")
    running[1] = Started("train MDL1-0a", [log], 1.0)
    assert column.render(task).plain == "train MDL1-0a and 1 more: training MDL1: 3 of 100, 12 min left; loss 3.1"
    running.clear()
    assert column.render(task).plain == ""
