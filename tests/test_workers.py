"""Processes that work on items: the death of one costs one item, and none outlives its parent."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from madsep.core.errors import DiskFull, InputError
from madsep.core.logs import log
from madsep.core.workers import WorkerDefect, in_workers

ROOT = Path(__file__).resolve().parents[1]

PARENT = """
import sys
from madsep.core.logs import job_log
from madsep.core.workers import in_workers
import test_workers
if __name__ == "__main__":
    with job_log(prefix="madsep: "):
        for item, fault in in_workers(test_workers.sleep_long, sys.argv[1:], 2):
            print(item, fault, flush=True)
"""


def work(item: str) -> None:
    if item.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[item])
    if item.startswith("exit"):
        os._exit(int(item[4:]))
    if item == "wrong":
        raise InputError("wrong.wav: is empty.")
    if item == "forbidden":
        raise PermissionError(errno.EACCES, "Permission denied", "/data/a.wav")
    if item == "full":
        raise DiskFull("/results/a.json")
    if item == "defect":
        raise ZeroDivisionError("by nobody")
    if item == "talks":
        log.info("says %s", "%d")


def sleep_long(item: str) -> None:
    Path(item).write_text(str(os.getpid()))
    time.sleep(60)


def faults(items: list[str], n_workers: int = 2) -> dict[str, str]:
    return dict(in_workers(work, items, n_workers))


@pytest.mark.parametrize("n_workers", [1, 3])
def test_deaths_cost_one_item_each(n_workers: int) -> None:
    items = ["a", "SIGKILL", "b", "exit0", "SIGSEGV", "exit7", "wrong", "forbidden", "c"]
    found = faults(items, n_workers)
    assert found == {
        **dict.fromkeys(("a", "b", "c"), ""),
        "SIGKILL": "its process was killed, probably out of memory; use fewer --jobs and run the same command again.",
        "SIGSEGV": "its process ended by SIGSEGV before the work was done; run the same command again.",
        "exit0": "its process ended with status 0 before the work was done; run the same command again.",
        "exit7": "its process ended with status 7 before the work was done; run the same command again.",
        "wrong": "wrong.wav: is empty.",
        "forbidden": "/data/a.wav: no permission to read or write it.",
    }


def test_nothing_to_do() -> None:
    assert faults([]) == {}


def test_a_full_disk_and_a_defect_end_the_work() -> None:
    with pytest.raises(DiskFull, match=r"/results/a\.json: the disk is full"):
        faults(["full", "a"], 1)
    with pytest.raises(WorkerDefect, match=r"(?s)Traceback.*ZeroDivisionError: by nobody"):
        faults(["a", "defect", "b"])
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


def test_what_workers_log_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "madsep"):
        assert faults(["talks"]) == {"talks": ""}
    assert caplog.messages == ["says %d"]


def wait_for(condition) -> bool:  # type: ignore[no-untyped-def]
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP"])
def test_workers_end_with_their_parent_at_once(name: str, tmp_path: Path) -> None:
    items = [tmp_path / number for number in ("1", "2", "3")]
    program = tmp_path / "program.py"
    program.write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, str(program), *map(str, items)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert wait_for(lambda: sum(item.exists() and item.read_text() != "" for item in items) == 2)
    children = psutil.Process(process.pid).children(recursive=True)
    started = time.monotonic()
    if name == "SIGINT":  # as a terminal does it: to the workers, too
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.Signals[name])
    printed, said = process.communicate(timeout=20)
    assert wait_for(lambda: not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children))
    assert time.monotonic() - started < 5
    assert (printed, "Traceback" in said) == ("", False)
    if name == "SIGINT":
        assert (process.returncode, said) == (130, "madsep: ERROR: interrupted; nothing half-written is left\n")


def test_ctrl_c_while_workers_import_shows_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "slow_jobs.py").write_text("import time\ntime.sleep(1)\ndef work(item): time.sleep(60)\n")
    program = tmp_path / "program.py"
    program.write_text(PARENT.replace("import test_workers", "import slow_jobs").replace("test_workers.sleep_long", "slow_jobs.work"))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    command = [sys.executable, str(program), "a", "b"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert wait_for(lambda: len(psutil.Process(process.pid).children()) >= 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=20) == ("", "madsep: ERROR: interrupted; nothing half-written is left\n")
    assert process.returncode == 130
