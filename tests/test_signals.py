"""Commands that are told to end: at once, with a word, and without leftovers."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from tiny import tiny_checkpoint
from wavs import save_checkpoint

from madsep.core.signals import SIGNALS, Interrupted, interruptible, postponed

ROOT = Path(__file__).resolve().parents[1]
WORDS = "madsep: ERROR: interrupted; nothing half-written is left"


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_raised_and_later_ones_are_not(number: signal.Signals) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    ended = []
    with pytest.raises(Interrupted) as raised, interruptible():
        try:
            signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))  # a shell's background job ignores Ctrl-C
            signal.raise_signal(number)
        finally:
            for other in SIGNALS:
                signal.raise_signal(other)
            ended.append(number)
    assert ended == [number] and raised.value.status == 128 + number and number.name in str(raised.value)
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_postponed_signal_is_raised_after_the_block_although_another_thread_receives_it(number: signal.Signals) -> None:
    other, done = threading.Event(), []
    thread = threading.Thread(target=other.wait)
    thread.start()  # which has nothing blocked
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Interrupted) as raised, interruptible():
        with postponed():
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            done.append("the block")
        done.append("what follows")
    other.set()
    thread.join()
    assert done == ["the block"] and raised.value.status == 128 + number
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_postponing_outside_of_the_main_thread_does_nothing_but_block_ctrl_c() -> None:
    found = []

    def ask() -> None:
        with postponed():
            found.append(signal.pthread_sigmask(signal.SIG_BLOCK, set()))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert found == [{signal.SIGINT}]


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_child_ends_by_the_signal_itself() -> None:
    with interruptible():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def command(*arguments: object) -> list[str]:
    # a shell's background job, as pytest may be one, ignores Ctrl-C
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from madsep.cli import main; main()"
    return [sys.executable, "-c", start, *map(str, arguments)]


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("seen", ["original.f32", "resampled.f32", "estimates.f32"])
def test_separate_leaves_nothing_when_it_is_interrupted(tmp_path: Path, number: signal.Signals, seen: str) -> None:
    checkpoint = save_checkpoint(tiny_checkpoint(separation={"griffin_lim_iterations": 3}), tmp_path / "checkpoint.safetensors")
    song, out = tmp_path / "song.flac", tmp_path / "deep/out"
    sf.write(song, np.random.default_rng(0).uniform(-0.5, 0.5, (90 * 48_000, 2)), 48_000)
    before = sorted(tmp_path.iterdir())
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command("separate", checkpoint, song, "-o", out, "--device", "cpu", "--threads", 1),
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    while process.poll() is None and not list(out.rglob(seen)):
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert told.splitlines()[-1] == WORDS and "Traceback" not in told
    assert process.returncode == 128 + number
    assert sorted(tmp_path.iterdir()) == before


def interrupted(arguments: list[object], until: Callable[[], object]) -> None:
    """Start a command, send Ctrl-C as soon as `until` holds, and check what it says."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True, env=environment) as process:
        while process.poll() is None and not until():
            time.sleep(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert told.splitlines()[-1] == WORDS and "Traceback" not in told
    assert process.returncode == 130


@pytest.mark.slow
def test_synth_leaves_nothing_when_it_is_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "musdb"
    interrupted(["synth", "-o", out, "--train", 20, "--test", 1, "--seconds", 5], lambda: list(out.rglob("*.wav")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_score_leaves_whole_files_alone_when_it_is_interrupted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("A", "B", "C"):
        for target in ("vocals", "accompaniment"):
            samples = rng.uniform(-0.5, 0.5, (60 * 44_100, 2))
            for root in ("references", "estimates"):
                (tmp_path / root / name).mkdir(parents=True, exist_ok=True)
                sf.write(tmp_path / root / name / f"{target}.wav", samples + 0.1 * rng.uniform(-0.5, 0.5, samples.shape), 44_100)
    out = tmp_path / "scores"
    interrupted(["score", tmp_path / "references", tmp_path / "estimates", "-o", out], lambda: list(out.glob("test/*.json")))
    for path in out.rglob("*"):
        assert path.is_dir() or isinstance(json.loads(path.read_text()), dict), path
    assert len(list(out.glob("test/*.json"))) < 3
