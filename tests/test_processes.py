"""Programs that are started: what they give, and that none outlives its work or madsep."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from madsep.core import processes
from madsep.core.errors import InputError
from madsep.core.ffmpeg import AudioStream, decode_blocks, probe
from madsep.core.processes import Stalled, program

ROOT = Path(__file__).resolve().parents[1]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(process: int) -> bool:
    """Whether a process ends within five seconds."""
    for _ in range(50):
        if not is_running(process):
            return True
        time.sleep(0.1)
    return False


def test_blocks_are_whole_but_for_the_last() -> None:
    with program([sys.executable, "-c", "import sys; sys.stdout.write('x' * 25); print('why', file=sys.stderr)"]) as running:
        assert [len(block) for block in running.blocks(10)] == [10, 10, 5]
        assert running.status == 0
    assert running.complaint == "why"


def test_a_program_that_gives_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "STALL_S", 0.2)
    with pytest.raises(Stalled), program(["sleep", "60"]) as running:
        list(running.blocks(10))
    assert ended(running.process.pid)
    with pytest.raises(Stalled), program(["sh", "-c", "exec >&-; sleep 60"]) as running:
        assert list(running.blocks(10)) == []
        running.status  # noqa: B018
    assert ended(running.process.pid)


def test_the_programs_that_a_program_starts_end_with_it() -> None:
    with program(["sh", "-c", "sleep 60 & echo $!; wait"]) as running:
        child = int(os.read(running.process.stdout.fileno(), 20))  # type: ignore[union-attr]
        assert is_running(child)
    assert ended(child) and ended(running.process.pid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_program_ends_with_madsep(number: signal.Signals) -> None:
    code = "from madsep.core.processes import program\nwith program(['sleep', '60']) as p:\n  print(p.process.pid, flush=True)\n  p.status"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)  # until it has asked to be ended
    assert is_running(child)
    parent.send_signal(number)
    parent.wait(10)
    parent.stdout.close()
    assert ended(child)


def test_an_ffmpeg_that_hangs_ends_as_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ffmpeg", "ffprobe"):
        (tmp_path / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(processes, "STALL_S", 0.2)
    with pytest.raises(InputError, match=r"^a\.mp3: ffmpeg gave no audio for a minute and was stopped"):
        probe("a.mp3")
    with pytest.raises(InputError, match=r"^a\.mp3: ffmpeg gave no audio"):
        list(decode_blocks("a.mp3", AudioStream(44_100, 2, None), 100))
