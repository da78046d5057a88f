"""Callables that do to their process whatever they like: each ends as one line with its track, and the others are separated."""

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from prepared_tracks import write_prepared_track

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.data.prepared import PreparedTrack
from madsep.separation.estimates import separate_external
from madsep.separation.external import External, external_targets
from madsep.separation.worker import Worker

TWO = ("vocals", "accompaniment")
NAMES = ("A {song}", "B", "C")
# what a separator does with its second track, and the line that follows its name
LEAVING = {
    "os._exit(0)": "ended its process with exit status 0 instead of returning; the fault is in the separator.",
    "os._exit(3)": "ended its process with exit status 3 instead of returning; the fault is in the separator.",
    "os.kill(os.getpid(), 9)": "was killed, probably because memory ran out. Give it more memory, or run fewer jobs at once.",
    "os.kill(os.getpid(), 15)": "ended its process by the signal SIGTERM; the fault is in the separator.",
    "os.abort()": "ended its process by the signal SIGABRT; the fault is in the separator.",
    "os.closerange(3, 99)": "closed the files of its process; a separator may close only what it has opened.",
    "os.fork() and os._exit(1) or time.sleep(60)": "ended its process with exit status 1 instead of returning; the fault is in the",
}
RAISING = {
    "sys.exit(0)": "failed: SystemExit: 0",
    "raise BaseException('at the disco')": "failed: BaseException: at the disco",
    "raise KeyboardInterrupt": "failed: KeyboardInterrupt:",
    "raise GeneratorExit": "failed: GeneratorExit:",
    "raise Mute": "failed: Mute: (its message cannot be shown: ZeroDivisionError)",
    "return Odd()": "failed: ZeroDivisionError: division by zero",
}
HARMLESS = (
    "os.chdir('/')",
    "sys.stdout.close(); sys.stderr.close()",
    "os.close(1); os.close(2)",
    "sys.path.clear(); sys.modules.pop('leaves')",
    "threading.Thread(target=time.sleep, args=(600,)).start()",
    "signal.signal(15, signal.SIG_IGN); subprocess.Popen(['sleep', '600'])",
    "atexit.register(os._exit, 9)",
    "print('words', flush=True); os.write(1, bytes(range(256)))",
)
CODE = """
import atexit, os, signal, subprocess, sys, threading, time

class Mute(Exception):
    def __str__(self):
        return str(1 / 0)

class Odd(dict):
    def __iter__(self):
        1 / 0

def f(audio, rate):
    if len(audio) == 301:
        {action}
    return {{"vocals": audio / 2}}
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; nothing that a test starts outlives it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield tmp_path
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert left == []


@pytest.fixture
def tracks(here: Path) -> list[PreparedTrack]:
    """Three tracks of 300, 301 and 302 samples."""
    rng = np.random.default_rng(0)
    found = []
    for number, name in enumerate(NAMES):
        vocals, accompaniment = rng.integers(-999, 999, (2, 1, 300 + number)) / 32768
        signals = {"mixture": vocals + accompaniment, "vocals": vocals, "accompaniment": accompaniment}
        found.append(write_prepared_track(here / "prepared", name, signals))
    return found


def separate(here: Path, action: str, tracks: list[PreparedTrack]) -> Stage:
    (here / "leaves.py").write_text(CODE.format(action=action))
    separate_external(External(separator="leaves:f", origin="config"), TWO, tracks, here / "estimates", "job")
    return Stage(here / "estimates")


@pytest.mark.parametrize(("action", "fault"), [*LEAVING.items(), *RAISING.items()])
def test_one_track_that_ends_its_process_is_named_and_the_others_are_separated(
    here: Path, tracks: list[PreparedTrack], action: str, fault: str
) -> None:
    start = "the callable " if action in LEAVING else ""
    with pytest.raises(InputError, match="^" + re.escape(f"separator leaves:f, B: {start}{fault}")) as raised:
        separate(here, action, tracks)
    assert "\n" not in str(raised.value)
    stage = Stage(here / "estimates")
    assert [stage.checked(track.slug).facts["name"] for track in (tracks[0], tracks[2])] == ["A {song}", "C"]
    assert not (here / "estimates/jobs").exists()
    assert list(here.rglob(".madsep-tmp.*")) == []


@pytest.mark.parametrize("action", HARMLESS)
def test_what_a_callable_does_to_its_process_the_job_does_not_notice(here: Path, tracks: list[PreparedTrack], action: str) -> None:
    started = time.monotonic()
    stage = separate(here, action, tracks)
    assert [stage.checked(track.slug).facts["name"] for track in tracks] == list(NAMES)
    assert Path.cwd() == here and not sys.stdout.closed
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("action", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_an_import_that_ends_the_process_is_a_fault_of_the_plan(here: Path, action: str) -> None:
    (here / "gone.py").write_text(f"import os\n{action}\n")
    with pytest.raises(InputError, match=r"^separator gone:f: importing its module (ended its process with exit status 0|was killed)"):
        external_targets(External(separator="gone:f", origin="config"), NAMES)


def test_an_import_that_raises_what_has_no_message(here: Path) -> None:
    (here / "mute.py").write_text("class Mute(BaseException):\n    def __str__(self):\n        raise self\nraise Mute\n")
    with pytest.raises(InputError, match=r"^separator mute:f: importing mute failed: Mute: \(its message cannot be shown: Mute\)$"):
        external_targets(External(separator="mute:f", origin="config"), NAMES)


PARENT = """
import sys
import numpy as np
from pathlib import Path
from madsep.separation.worker import Worker
with Worker("sleeps:f") as worker:
    worker.separate(np.zeros((1, 9), np.float32), 44100, "here", Path.cwd())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_callables_process_ends_with_the_job(here: Path, number: int) -> None:
    (here / "sleeps.py").write_text(
        "import os, subprocess, time\ndef f(audio, rate):\n    child = subprocess.Popen(['sleep', '600'])\n"
        "    open('pids.part', 'w').write(f'{os.getpid()} {child.pid}')\n    os.rename('pids.part', 'pids')\n    time.sleep(600)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=environment, stderr=subprocess.DEVNULL)
    wait_until((here / "pids").exists)
    pids = list(map(int, (here / "pids").read_text().split()))
    parent.send_signal(number)
    assert parent.wait(10) != 0
    wait_until(lambda: not any(map(is_running, pids)))


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_until(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_signal_of_many_samples_goes_both_ways(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    (here / "halves.py").write_text("def f(audio, rate):\n    return {'vocals': audio / 2}\n")
    mixture = np.random.default_rng(0).standard_normal((2, 3_000_000)).astype(np.float32)
    with caplog.at_level(logging.INFO), Worker("halves:f") as worker:
        found = worker.separate(mixture, 44_100, "here", here)
    np.testing.assert_array_equal(found["vocals"], mixture / 2)
