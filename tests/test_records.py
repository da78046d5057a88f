"""What a run writes beside its weights while it trains, and what a full disk does to it."""

import errno
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_recipe
from trainings import EACH_STEP, HELD_OUT, NEVER, OUTPUTS, Tracks, history, losses, run, same_bytes

from madsep.core.errors import DiskFull, InputError
from madsep.models import checkpoint
from madsep.training import records
from madsep.training.records import FIRST, LAST, RunFiles
from madsep.training.sequences import Sequences
from madsep.training.step import Step
from madsep.training.writer import WRITER

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


@pytest.fixture(scope="module")
def whole(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with room on the disk."""
    return run(tiny_recipe(), tracks, tmp_path_factory.mktemp("whole"))


class Disk:
    """Is full for the writes `full_from` ... `full_to` of safetensors files, counted from 1."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full_from: int, full_to: int) -> None:
        self.n_writes, self.full = 0, range(full_from, full_to + 1)
        self.save = checkpoint.save
        monkeypatch.setattr(checkpoint, "save", self.write)

    def write(self, tensors: Any, metadata: dict[str, str]) -> bytes:
        self.n_writes += 1
        if self.n_writes in self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.save(tensors, metadata)


def states(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("state*")}


# --- history and events


def events_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name -> (epoch, value)s that TensorBoard shows, whose order of files from the same second is that of their names."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {name: sorted((event.step, event.value) for event in events.Scalars(name)) for name in events.Tags()["scalars"]}


def test_tensorboard_shows_the_history_and_the_wait_for_data(tracks: Tracks, tmp_path: Path) -> None:
    folder = run(tiny_recipe(training={**HELD_OUT}), tracks, tmp_path, held_out=("Artist - 2",))
    shown = events_of(folder)
    assert all(0 <= share < 1 for _, share in shown.pop("data_wait"))
    assert sorted(shown) == sorted([*FIRST[2:], "kl_denoised", "kl_masked", "latent", *LAST])
    for name, points in shown.items():
        assert [epoch for epoch, _ in points] == [1, 2]
        assert [value for _, value in points] == pytest.approx(losses(folder, name), rel=1e-6)


def test_training_without_tensorboard_says_so_once(
    tracks: Tracks, tmp_path: Path, without: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="madsep")
    without("tensorboard")
    folder = run(tiny_recipe(training={"n_epochs": 2}), tracks, tmp_path)
    (line,) = (message for message in caplog.messages if "TensorBoard" in message)
    assert line.startswith("writing TensorBoard events needs TensorBoard, which is not installed: pip install 'madsep[tensorboard]'; ")
    assert len(history(folder)) == 2 and not (folder / "tensorboard").exists()


def test_the_history_so_far_is_there_while_a_run_trains(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    end_epoch = RunFiles.end_epoch

    def spy(self: RunFiles, *arguments: Any, **options: Any) -> None:
        end_epoch(self, *arguments, **options)
        self.wait()
        assert not (tmp_path / "records").exists()
        seen.append([row["epoch"] for row in history(tmp_path)])

    monkeypatch.setattr(RunFiles, "end_epoch", spy)
    run(tiny_recipe(), tracks, tmp_path)
    assert seen == [["1"], ["1", "2"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_the_wait_for_data_is_said(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Sequences, "wait_s", 1e9)
    caplog.set_level("INFO", "madsep")
    run(tiny_recipe(), tracks, tmp_path)
    (line,) = (line for line in caplog.messages if "epoch 1: loss" in line)
    said = re.search(r"; waited 1000000000.0 s for data, (\d+)\.\d% of the time$", line)
    assert said and int(said[1]) / 100 > 1e9 / 60  # of an epoch that took less than a minute


def test_a_training_has_one_writer_of_events(whole: Path) -> None:
    assert len([*(whole / "tensorboard").iterdir()]) == 1


def test_without_tensorboard_one_line_says_so(
    whole: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("madsep.core.extras.is_installed", lambda package: package != "tensorboard")
    caplog.set_level("INFO", "madsep")
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path), whole)
    assert [line for line in caplog.messages if "tensorboard" in line.lower()] == [
        "writing TensorBoard events needs TensorBoard, which is not installed: pip install 'madsep[tensorboard]'; "
        "history.csv holds the same figures"
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [name for name in OUTPUTS if name != "tensorboard"]


# --- writing while training


def test_steps_go_on_while_a_state_is_written(whole: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first epoch's state is only written once three steps of the second have been taken, which leave it as it is."""
    taken, save, step = threading.Semaphore(0), checkpoint.save, Step.__call__

    def late(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        assert threading.current_thread().name.startswith(WRITER)
        before = {name: tensor.clone() for name, tensor in tensors.items()}
        for _ in range(15):
            assert taken.acquire(timeout=60)
        assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())
        monkeypatch.setattr(checkpoint, "save", save)
        return save(tensors, metadata)

    def counted(*arguments: Any) -> None:
        step(*arguments)
        taken.release()

    monkeypatch.setattr(checkpoint, "save", late)
    monkeypatch.setattr(Step, "__call__", counted)
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path, NEVER), whole)


@pytest.mark.parametrize(("save_every_s", "n_saved"), [(NEVER, 1), (EACH_STEP, 52)])
def test_states_that_are_not_due_are_left_out_if_writing_takes_too_long(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_every_s: float, n_saved: int
) -> None:
    """The last one is saved, and with it the whole history and all events."""
    monkeypatch.setattr(records, "FREE_S", -1.0)
    monkeypatch.setattr(records, "MAY_TAKE", 0.0)
    disk = Disk(monkeypatch, 0, -1)
    run(tiny_recipe(training={"n_epochs": 4}), tracks, tmp_path, save_every_s)
    assert disk.n_writes == n_saved + 1  # and the weights
    assert [row["epoch"] for row in history(tmp_path)] == ["1", "2", "3", "4"]
    assert [epoch for epoch, _ in events_of(tmp_path)["loss"]] == [1, 2, 3, 4]


def test_an_error_of_the_writing_thread_ends_the_training(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> bytes:
        raise RuntimeError("broken")

    monkeypatch.setattr(checkpoint, "save", broken)
    with pytest.raises(RuntimeError, match="broken"):
        run(tiny_recipe(), tracks, tmp_path, NEVER)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(WRITER)]


# --- a full disk


def test_training_goes_on_while_the_disk_is_full(
    whole: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Disk(monkeypatch, 3, 7)
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path, EACH_STEP), whole)
    said = [line for line in caplog.messages if "the disk is full" in line]
    assert said == 5 * [
        f"{tmp_path}/state.next.safetensors: the disk is full, so it was not written. Training continues, and the next save tries again."
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_while_the_disk_is_full_both_states_stay(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, bytes]] = []
    save = RunFiles.save

    def spy(self: RunFiles, *arguments: Any) -> None:
        save(self, *arguments)
        self.wait()
        seen.append(states(tmp_path))

    monkeypatch.setattr(RunFiles, "save", spy)
    Disk(monkeypatch, 3, 7)
    run(tiny_recipe(), tracks, tmp_path, EACH_STEP)
    assert [len(state) for state in seen[:3]] == [1, 2, 2]
    assert all(state == seen[1] for state in seen[2:7])
    assert seen[7] != seen[1] and seen[7]["state.previous.safetensors"] == seen[1]["state.safetensors"]


def test_weights_that_cannot_be_written_end_the_run_and_leave_only_its_end_to_do(
    whole: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(InputError, match=r"weights\.safetensors: the disk is full"):
        Disk(patch, 3, 3)  # after a state at each epoch's end
        run(tiny_recipe(), tracks, tmp_path, NEVER)
    assert sorted(states(tmp_path)) == ["state.previous.safetensors", "state.safetensors"]
    monkeypatch.setattr("madsep.training.step.Step.__call__", lambda step, spans: pytest.fail("a step was taken"))
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path, NEVER), whole)


def test_history_and_events_are_written_once_there_is_room_again(
    whole: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_text, n_writes = records.write_text, 0

    def full_at_first(path: Path, text: str) -> None:
        nonlocal n_writes
        n_writes += 1
        if n_writes == 1:
            raise DiskFull(path)
        write_text(path, text)

    from torch.utils.tensorboard import SummaryWriter

    def full(*arguments: object, **options: object) -> SummaryWriter:
        monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", SummaryWriter)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(records, "write_text", full_at_first)
    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter", full)
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path), whole)
    said = [line.partition(": ")[0] for line in caplog.messages if "the disk is full" in line]
    assert said == [str(tmp_path / "history.csv"), str(tmp_path / "tensorboard")]
    assert [epoch for epoch, _ in events_of(tmp_path)["loss"]] == [1, 2]


def test_a_folder_that_may_not_be_written_ends_the_run(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(checkpoint, "save", forbidden)
    with pytest.raises(InputError, match="no permission to write there"):
        run(tiny_recipe(), tracks, tmp_path)
