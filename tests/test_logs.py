"""How a job ends: what a user can mend as a line, a defect with its traceback in the job's log."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from madsep.core.errors import InputError
from madsep.core.logs import job_log, log


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys\nfrom madsep.core.errors import InputError\nfrom madsep.core.logs import job_log, log\n{code}"
    root = Path(__file__).resolve().parents[1]
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=root, capture_output=True, text=True, check=False)


def test_an_input_error_ends_a_command_as_one_line_and_status_1() -> None:
    ended = run("with job_log(prefix='madsep: '):\n    raise InputError('song.wav: is empty.')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "madsep: ERROR: song.wav: is empty.\n")


def test_work_that_was_stopped_ends_as_one_line_and_status_75() -> None:
    ended = run("from madsep.core.errors import Stopped\nwith job_log():\n    raise Stopped('training stopped by SIGTERM')")
    assert (ended.returncode, ended.stderr) == (75, "ERROR: training stopped by SIGTERM\n")


def test_a_defect_ends_a_job_with_status_2_and_its_traceback_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "logs/train/MDL1.log"
    ended = run("with job_log(sys.argv[1]):\n    [][3]", str(path))
    assert ended.returncode == 2
    assert ended.stderr == f"ERROR: unexpected failure; the traceback is in {path}\n"
    text = path.read_text()
    assert "Traceback (most recent call last)" in text and "IndexError: list index out of range" in text


def test_a_defect_of_a_command_without_a_log_shows_its_traceback() -> None:
    ended = run("with job_log():\n    [][3]")
    assert ended.returncode not in (0, 2) and "IndexError: list index out of range" in ended.stderr


def test_an_input_error_stands_in_the_jobs_log_without_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    path.write_text("of the run before")
    with pytest.raises(SystemExit) as ended, job_log(str(path)):
        raise InputError("song.wav: is empty.")
    assert ended.value.code == 1
    assert path.read_text() == "ERROR: song.wav: is empty.\n"


def test_lines_and_warnings_go_to_stderr_and_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "job.log"
    with job_log(str(path)):
        log.info("12 tracks")
        warnings.warn("a library's warning", stacklevel=1)
    text = path.read_text()
    assert text.startswith("INFO: 12 tracks\n") and "UserWarning: a library's warning" in text
    assert capsys.readouterr().err == text


def test_the_log_of_a_job_of_slurm_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURMD_NODENAME", "node2")
    path = tmp_path / "job.log"
    with job_log(str(path)):
        log.info("12 tracks")
    assert path.read_text() == "INFO: Slurm job 12 on node2\nINFO: 12 tracks\nINFO: finished\n"


def test_a_log_ends_with_its_job(tmp_path: Path) -> None:
    path = tmp_path / "job.log"
    with job_log(str(path)):
        pass
    log.error("later")
    with pytest.warns(UserWarning, match="later"):
        warnings.warn("later", stacklevel=1)
    assert path.read_text() == "INFO: finished\n" and not log.handlers


def test_leaving_the_command_line_is_no_defect(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended, job_log(str(tmp_path / "job.log")):
        sys.exit(3)
    assert ended.value.code == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full, which is always full")
def test_a_full_disk_cuts_the_log_short_but_not_what_the_job_says() -> None:
    ended = run("with job_log('/dev/full'):\n    log.info('12 tracks')\n    raise InputError('the disk is full.')")
    assert (ended.returncode, ended.stderr) == (1, "INFO: 12 tracks\nERROR: the disk is full.\n")
