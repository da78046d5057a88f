"""The lines that end a failed run, from the logs of its jobs."""

import os
from pathlib import Path

import pytest

from madsep.core.logs import FINISHED
from madsep.workflow.messages import LOGS, SLURM_LOGS, faults

NO_MESSAGE = "the job ended without a message (killed, or out of memory?); last line:"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / LOGS / "train").mkdir(parents=True)
    return tmp_path


def write(name: str, text: str, at_s: float = 100) -> Path:
    path = LOGS / name
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at_s, at_s))
    return path


def test_a_jobs_own_line_is_repeated_and_what_finished_is_not() -> None:
    write("a.log", "INFO: reading\nERROR: song.wav: is damaged\nwith a second line\n")
    write("train/b.log", f"INFO: reading\n{FINISHED}\n")
    write("old.log", "ERROR: of an earlier run\n", at_s=1)
    assert faults(50, []) == ["ERROR: song.wav: is damaged\nwith a second line"]


def test_a_job_that_died_without_a_message_is_named_with_its_last_line() -> None:
    logs = write("a.log", "INFO: step 7\n"), write("empty.log", "")
    assert faults(50, []) == [f"ERROR: {logs[0]}: {NO_MESSAGE} INFO: step 7", f"ERROR: {logs[1]}: {NO_MESSAGE} none"]


def test_a_job_that_died_before_it_had_a_log_is_found_in_snakemakes(here: Path) -> None:
    snakemake = here / "snakemake.log"
    snakemake.write_text(
        "Error in rule score:\n    jobid: 3\n    log: results/logs/score/a.log (check log file(s) for error details)\n"
        "    log: results/logs/a.log (check log file(s) for error details)\n"
    )
    write("a.log", "ERROR: said there\n")
    assert faults(50, [str(snakemake), str(here / "gone.log")]) == [
        "ERROR: said there",
        "ERROR: results/logs/score/a.log: the job ended before it wrote this log (killed, or out of memory?)",
    ]


def test_slurms_reason_stands_for_a_jobs() -> None:
    write("a.log", "INFO: Slurm job 17 on node1\nINFO: step 7\n")
    (SLURM_LOGS / "rule_train").mkdir(parents=True)
    (SLURM_LOGS / "rule_train/17.log").write_text("slurmstepd-node1: error: *** JOB 17 CANCELLED DUE TO TIME LIMIT ***\n")
    assert faults(50, []) == [f"ERROR: {LOGS / 'a.log'}: Slurm ended the job: *** JOB 17 CANCELLED DUE TO TIME LIMIT ***"]


def test_a_run_without_any_log_says_where_to_look() -> None:
    assert faults(50, []) == ["ERROR: no log of a job names a cause; see Snakemake's own lines above."]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_log_that_may_not_be_read_is_named() -> None:
    write("a.log", "INFO: step 7\n").chmod(0)
    assert faults(50, []) == [f"ERROR: {LOGS / 'a.log'}: permission denied."]


def test_a_pipe_among_the_logs_is_named_and_not_waited_for() -> None:
    os.mkfifo(LOGS / "a.log")
    assert len(lines := faults(50, [])) == 1 and "a.log: " in lines[0]
