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
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=root, capture_output=True, text=True, errors="replace", check=False
    )


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


def test_a_defect_of_a_command_without_a_log_keeps_its_traceback_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ended = run("with job_log(prefix='madsep: '):\n    [][3]", "a b")
    (kept,) = tmp_path.iterdir()
    reason = "this is a fault of madsep (IndexError: list index out of range)"
    assert ended.stderr == f"madsep: ERROR: {reason}; please report it with {kept}, which says what happened.\n"
    assert ended.returncode == 2
    command, versions, _, *traceback = kept.read_text().splitlines()
    assert command == "-c 'a b'" and versions.startswith("madsep ") and "Python 3" in versions
    assert traceback[0].startswith("Traceback") and traceback[-1] == "IndexError: list index out of range"


MUTE = """
class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")
with job_log(*sys.argv[1:]):
    raise Mute
"""


def test_an_exception_that_cannot_be_shown_is_survived(tmp_path: Path) -> None:
    ended = run(MUTE)
    assert ended.returncode == 2 and ended.stderr.startswith("ERROR: this is a fault of madsep (Mute: Mute); please")
    assert len(ended.stderr.splitlines()) == 1
    ended = run(MUTE, str(tmp_path / "job.log"))
    assert (ended.returncode, ended.stderr) == (2, f"ERROR: unexpected failure; the traceback is in {tmp_path / 'job.log'}\n")


def test_a_traceback_that_cannot_be_kept_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = "import tempfile, errno\ndef refuse(**_): raise OSError(errno.EROFS, 'Read-only file system')\ntempfile.mkstemp = refuse\n"
    ended = run(f"{failing}with job_log():\n    [][3]")
    assert ended.returncode == 2
    assert ended.stderr.endswith("list index out of range); its traceback could not be written ([Errno 30] Read-only file system).\n")


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        ("PermissionError(13, 'Permission denied', '/data/a.wav')", "/data/a.wav: no permission to read or write it."),
        ("OSError(36, 'File name too long', '/data/aaa')", "/data/aaa: the name is too long for this disk; choose a shorter one."),
        ("OSError(5, 'Input/output error', '/data/b')", "/data/b: the disk failed to read or write it (input/output error)."),
        ("OSError(40, 'Too many levels', '/data/c')", "/data/c: is a link that leads back to itself."),
        ("OSError(28, 'No space left on device', '/data/d')", "/data/d: the disk is full; nothing was written. Free"),
        ("MemoryError()", "Not enough memory; close other programs"),
    ],
)
def test_what_the_machine_forbids_is_no_defect(raised: str, line: str) -> None:
    ended = run(f"with job_log():\n    raise {raised}")
    assert ended.returncode == 1 and ended.stderr.startswith(f"ERROR: {line}") and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_names_that_the_terminal_cannot_show_do_not_end_the_work(encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", f"{encoding}:strict")
    names = r"'\u2764 \u0141\u00f3d\u017a \udce9.wav'"
    ended = run(f"with job_log(*sys.argv[1:]):\n    print({names})\n    log.info({names})", str(tmp_path / "job.log"))
    assert ended.returncode == 0 and "Error" not in ended.stderr
    assert ".wav" in ended.stdout and ".wav" in ended.stderr
    assert r"\udce9.wav" in (tmp_path / "job.log").read_text()


@pytest.mark.parametrize("place", ["file/job.log", "folder"])
def test_a_log_that_cannot_be_written_is_a_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    ended = run("with job_log(sys.argv[1]):\n    print('reached')", str(tmp_path / place))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"ERROR: {tmp_path / place}: the log cannot be written (") and len(ended.stderr.splitlines()) == 1


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
