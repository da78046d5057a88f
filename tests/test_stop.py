"""Runs that are asked to stop: they finish the step, save, say so, and the same command resumes."""

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flow import run as run_workflow
from flow import tiny_config
from tiny import tiny_recipe
from torch import Tensor
from trainings import NEVER, OUTPUTS, Tracks, run, same_bytes

from madsep.core.errors import DiskFull, Stopped
from madsep.models.checkpoint import read_tensors
from madsep.training.snapshot import Snapshot
from madsep.training.step import Step
from madsep.training.stop import SIGNALS, Stop
from madsep.training.train import Options, train

pytestmark = pytest.mark.usefixtures("torch_settings_restored")

N_STEPS = 17  # the fifth of the second epoch


@pytest.fixture(scope="module")
def whole(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    return run(tiny_recipe(), tracks, tmp_path_factory.mktemp("whole"))


def at_step(monkeypatch: pytest.MonkeyPatch, n_steps: int, happens: Callable[[], Any]) -> None:
    """Let something happen within a run's step `n_steps`."""
    step, count = Step.__call__, 0

    def counted(self: Step, spans: Tensor) -> None:
        nonlocal count
        count += 1
        if count == n_steps:
            happens()
        step(self, spans)

    monkeypatch.setattr(Step, "__call__", counted)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_step_saves_and_the_same_command_goes_on(
    whole: Path, tracks: Tracks, tmp_path: Path, number: signal.Signals
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped) as stopped:
        at_step(patch, N_STEPS, lambda: signal.raise_signal(number))
        run(tiny_recipe(), tracks, tmp_path)
    assert str(stopped.value) == f"training stopped by {number.name} at epoch 2, step 17; the same command resumes from here."
    assert read_tensors(tmp_path / "state.safetensors")[1]["position"]["step"] == N_STEPS
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path), whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_a_second_signal_ends_at_once(tracks: Tracks, tmp_path: Path) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores Ctrl-C
    try:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            at_step(patch, N_STEPS, twice)
            run(tiny_recipe(), tracks, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert read_tensors(tmp_path / "state.safetensors")[1]["position"]["step"] == 12  # of the epoch's end


def test_a_signal_in_the_last_step_ends_the_run_as_ever(whole: Path, tracks: Tracks, tmp_path: Path) -> None:
    """That step is the epoch's last, too: the next run has nothing but its end to do."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped, match="at epoch 2, step 24"):
        at_step(patch, 24, lambda: signal.raise_signal(signal.SIGTERM))
        run(tiny_recipe(), tracks, tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, 1, lambda: pytest.fail("a step was taken"))
        assert same_bytes(run(tiny_recipe(), tracks, tmp_path), whole)


def test_max_minutes_stops_a_run_again_and_again(whole: Path, tracks: Tracks, tmp_path: Path) -> None:
    """One step a run."""
    for step in range(1, 25):
        with pytest.raises(Stopped, match=rf"stopped by max_minutes at epoch \d, step {step};"):
            train(tiny_recipe(), tracks, [], tmp_path, Options("cpu", 1, NEVER, 1e-9))
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path), whole)


def test_minutes_are_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stop, endless = Stop(2.0), Stop(None)
    now[0] = 219.9
    assert stop.reason is None
    now[0] = 220.0
    assert stop.reason == "max_minutes" and endless.reason is None


def test_a_stop_on_a_full_disk_says_where_the_next_run_goes_on(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Snapshot, path: Path) -> None:
        raise DiskFull(path)

    monkeypatch.setattr(Snapshot, "write", full)
    with pytest.raises(Stopped, match="at epoch 1, step 1; the same command resumes from the state saved before"):
        train(tiny_recipe(), tracks, [], tmp_path, Options("cpu", 1, NEVER, 1e-9))


@pytest.mark.slow
def test_a_workflow_keeps_the_state_of_a_stopped_training(musdb: Path, tmp_path: Path) -> None:
    config, checkpoint = tiny_config(musdb), "results/MDL1/checkpoint.safetensors"
    stopped = run_workflow(tmp_path, config | {"max_minutes": 1e-9}, checkpoint)
    assert stopped.status != 0 and "Traceback" not in stopped.text
    line = "ERROR: training stopped by max_minutes at epoch 1, step 1; the same command resumes from here."
    assert line in stopped.lines and re.search("non-zero exit (status|code) 75|exit status: 75|returned .*75", stopped.text)
    (folder,) = (tmp_path / "results/trainings").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["data.json", "state.safetensors", "train.lock", "training.json"]
    ended = run_workflow(tmp_path, config, checkpoint)
    assert ended.jobs == {"train": 1, "checkpoint": 1}
    assert "epoch 1, step 1" in (tmp_path / f"results/logs/train/{folder.name}.log").read_text()
