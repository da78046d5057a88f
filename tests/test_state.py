"""Trainings that are killed at any moment and resume as if they had never been."""

import json
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_recipe
from trainings import EACH_STEP, HELD_OUT, NEVER, OUTPUTS, Killed, Tracks, killed_at, run, same_bytes, sequences_of

from madsep.core.errors import InputError
from madsep.core.temporary import TEMPORARY
from madsep.models import checkpoint
from madsep.models.checkpoint import build_network, read_tensors, write_tensors
from madsep.systems.families import FAMILIES
from madsep.systems.recipe import Recipe
from madsep.training.state import Position, TrainingState
from madsep.training.step import Step

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


SELECTED = {**HELD_OUT, "n_epochs": 3, "learning_rate": 3e-3, "plateau": {"factor": 0.5, "patience": 0, "first_epoch": 1}}
RUNS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "plain": ({"n_epochs": 3}, ()),
    "best epoch, falling rate": (SELECTED, ("Artist - 2",)),
}


@pytest.fixture(scope="module")
def whole_runs(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that were never killed, and saved their state at each epoch's end only."""
    return {
        name: run(tiny_recipe(training=training), tracks, tmp_path_factory.mktemp("whole"), held_out=held_out)
        for name, (training, held_out) in RUNS.items()
    }


def test_two_runs_are_equal_byte_by_byte(whole_runs: Mapping[str, Path], tracks: Tracks, tmp_path: Path) -> None:
    training, held_out = RUNS["best epoch, falling rate"]
    again = run(tiny_recipe(training=training), tracks, tmp_path / "again", EACH_STEP, held_out)
    assert same_bytes(again, whole_runs["best epoch, falling rate"])
    other = run(tiny_recipe(training=training | {"seed": 219}), tracks, tmp_path / "other", held_out=held_out)
    assert not same_bytes(other, whole_runs["best epoch, falling rate"])


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("n_steps", [0, 5, 8, 12, 13, 23])
def test_a_killed_run_goes_on_as_if_it_had_never_been(
    whole_runs: Mapping[str, Path], tracks: Tracks, tmp_path: Path, name: str, n_steps: int, save_every_s: float
) -> None:
    training, held_out = RUNS[name]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, tracks, tmp_path, save_every_s, held_out)
    n_epoch = 12 if name == "plain" else 8
    n_saved = n_steps if save_every_s == EACH_STEP else n_steps // n_epoch * n_epoch
    state = tmp_path / "state.safetensors"
    assert (read_tensors(state)[1]["position"]["step"] if state.exists() else 0) == n_saved
    assert same_bytes(run(recipe, tracks, tmp_path, save_every_s, held_out), whole_runs[name])


@pytest.mark.parametrize("n_writes", [0, 1, 6, 39])
def test_a_run_killed_while_it_saves_resumes(whole_runs: Mapping[str, Path], tracks: Tracks, tmp_path: Path, n_writes: int) -> None:
    """Write 40 is that of the weights: the last state is there, and nothing is left to train."""
    training, held_out = RUNS["plain"]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, checkpoint, "save", n_writes)
        run(recipe, tracks, tmp_path, EACH_STEP, held_out)
    assert same_bytes(run(recipe, tracks, tmp_path, EACH_STEP, held_out), whole_runs["plain"])


def test_processes_killed_at_any_moment_leave_what_the_next_ones_need(tracks: Tracks, tmp_path: Path) -> None:
    """Ten kills by SIGKILL, two of them of one training, each just before a drawn operation on the training's files."""
    here, seed = Path(__file__).parent, random.randrange(10**9)
    program = [sys.executable, here / "killing.py", tracks[0].file.parent, tmp_path, str(seed), "cpu", "9"]
    environment = {"PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(program, cwd=here.parent, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    kills = json.loads(ended.stdout)
    assert sorted(map(len, kills.values())) == [*8 * [1], 2]
    for name, numbers in kills.items():
        assert same_bytes(tmp_path / name, tmp_path / "whole"), f"killed before operations {numbers}, seed {seed}"
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == OUTPUTS


def new_state(recipe: Recipe, seed: int = 1) -> TrainingState:
    """The state of an initialised network."""
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(seed))
    return TrainingState(network, recipe)


def kill(recipe: Recipe, tracks: Tracks, folder: Path, n_steps: int = 17) -> Path:
    """A folder whose run was killed; the states of the last two steps."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, tracks, folder, EACH_STEP)
    return folder


def flip_a_bit(content: bytes, seed: int) -> bytes:
    bit = random.Random(seed).randrange(8 * len(content))
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


@pytest.fixture(scope="module")
def killed(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training killed in its second epoch; not to be changed."""
    return kill(tiny_recipe(training=RUNS["plain"][0]), tracks, tmp_path_factory.mktemp("killed"))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[:-100],
    "empty": lambda content: b"",
    "zeros": lambda content: b"\0" * len(content),
    "a bit": lambda content: flip_a_bit(content, 1),
    "another bit": lambda content: flip_a_bit(content, 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_state_the_one_before_is_used_and_that_is_said(
    whole_runs: Mapping[str, Path], tracks: Tracks, killed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    state = folder / "state.safetensors"
    state.write_bytes(DAMAGES[damage](state.read_bytes()))
    caplog.set_level("INFO", "madsep")
    run(tiny_recipe(training=RUNS["plain"][0]), tracks, folder)
    assert any(
        line.startswith(f"{state}: ") and "It is ignored. Training resumes from the previous saved state" in line
        for line in caplog.messages
    )
    assert any("training resumes from" in line and "state.previous.safetensors: epoch 2, step 16" in line for line in caplog.messages)
    assert same_bytes(folder, whole_runs["plain"])


Values = dict[str, Any]
CRAFTED: dict[str, Callable[[Values, dict[str, torch.Tensor]], object]] = {
    "no position": lambda values, _: values.pop("position"),
    "a newer version's key": lambda values, _: values.update(compiler="x"),
    "a newer version's position": lambda values, _: values["position"].update(batch=3),
    "an older version's identity": lambda values, _: values.update(identity={"settings": {}}),
    "a position of text": lambda values, _: values["position"].update(step="many"),
    "a negative epoch": lambda values, _: values["position"].update(epoch=-1),
    "an epoch too many": lambda values, _: values["position"].update(epoch=2),
    "rows of other columns": lambda values, _: values["position"].update(epoch=2, history=[{"loss": 1.0}, {"kl": 1.0}]),
    "other sums": lambda values, _: values["position"].update(sums={"kl": 1.0}),
    "no rates": lambda values, _: values.update(rates=[]),
    "a schedule": lambda values, _: values.update(schedule={"best": 1.0}),
    "huge numbers": lambda values, _: values.update(n_steps=10**400),
    "a missing tensor": lambda _, tensors: tensors.pop("network/mask.weight"),
    "a missing moment": lambda _, tensors: tensors.pop("exp_avg/mask.weight"),
    "a tensor too many": lambda _, tensors: tensors.update({"network/x": torch.ones(1)}),
    "another shape": lambda _, tensors: tensors.update({"network/mask.weight": torch.ones(1)}),
    "another type": lambda _, tensors: tensors.update({"network/mask.bias": tensors["network/mask.bias"].double()}),
    "another group": lambda _, tensors: tensors.update({"square_avg/mask.bias": torch.zeros_like(tensors["network/mask.bias"])}),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_state_that_does_not_fit_is_left_out(killed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """And nothing of it reaches the network."""
    path = tmp_path / "state.safetensors"
    tensors, metadata = read_tensors(killed / path.name)
    identity = metadata["identity"]
    CRAFTED[name](metadata, tensors)
    write_tensors(path, tensors, metadata)
    state = new_state(tiny_recipe(training=RUNS["plain"][0]))
    before = {name: tensor.clone() for name, tensor in state.network.state_dict().items()}
    assert not state.resume(path, identity)
    assert not path.exists() and any(str(path) in line and "It is ignored" in line for line in caplog.messages)
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.network.state_dict().items())
    assert not state.optimiser.state and state.position == Position()


# --- Adadelta

ADADELTA = {"n_epochs": 2, "optimiser": "adadelta", "learning_rate": 1.0}


@pytest.fixture(scope="module")
def whole_adadelta(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_recipe(training=ADADELTA), tracks, tmp_path_factory.mktemp("adadelta"))


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
@pytest.mark.parametrize("n_steps", [5, 12, 17])
def test_a_killed_run_with_adadelta_goes_on_as_if_it_had_never_been(
    whole_adadelta: Path, tracks: Tracks, tmp_path: Path, n_steps: int, save_every_s: float
) -> None:
    recipe = tiny_recipe(training=ADADELTA)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, tracks, tmp_path, save_every_s)
    if save_every_s == EACH_STEP:
        tensors, metadata = read_tensors(tmp_path / "state.safetensors")
        assert metadata["n_steps"] == metadata["position"]["step"] == n_steps
        assert {name.partition("/")[0] for name in tensors} == {"network", "square_avg", "acc_delta"}
    assert same_bytes(run(recipe, tracks, tmp_path, save_every_s), whole_adadelta)


def adadelta_step(tracks: Tracks, learning_rate: float = 1.0) -> tuple[Step, torch.Tensor]:
    """A step of an initialised network, and the spans of four sequences."""
    recipe = tiny_recipe(training=ADADELTA | {"learning_rate": learning_rate, "gradient_norm_clip": None})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(1))
    sequences = sequences_of(tracks, recipe)
    ((_, spans),) = sequences.stream([torch.tensor([3, 4, 5, 6])])
    return Step(recipe, TrainingState(network, recipe), sequences), spans


def test_adadelta_is_zeilers(tracks: Tracks) -> None:
    """His algorithm 1 with rho = 0.95 and epsilon = 1e-6, the change multiplied with the learning rate, over three steps."""
    step, spans = adadelta_step(tracks, 0.5)
    parameters = list(step.state.network.parameters())
    expected = [parameter.detach().clone() for parameter in parameters]
    squares, changes = ([torch.zeros_like(parameter) for parameter in expected] for _ in range(2))
    for _ in range(3):
        step(spans)
        for number, parameter in enumerate(parameters):
            assert parameter.grad is not None
            squares[number] = 0.95 * squares[number] + 0.05 * parameter.grad**2
            change = -((changes[number] + 1e-6) / (squares[number] + 1e-6)).sqrt() * parameter.grad
            changes[number] = 0.95 * changes[number] + 0.05 * change**2
            expected[number] = expected[number] + 0.5 * change
            torch.testing.assert_close(parameter.detach(), expected[number], rtol=1e-5, atol=1e-7)


def test_after_a_step_of_adadelta_that_is_not_finite_nothing_changes(tracks: Tracks) -> None:
    step, good = adadelta_step(tracks)
    optimiser = step.state.optimiser

    def values() -> list[torch.Tensor]:
        moments = [moment for state in optimiser.state.values() for moment in state.values()]
        return [tensor.detach().clone() for tensor in (*step.state.network.parameters(), *moments)]

    step(good)
    before = values()
    step(torch.full_like(good, torch.nan))
    step(good)
    assert step.state.tally.read()[:2] == (True, 1)
    after = values()
    assert len(before) == len(after) == 4 * len(list(step.state.network.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("changes", [{"learning_rate": 0.5}, {"n_epochs": 4}, {"optimiser": "adadelta"}])
def test_a_state_of_another_recipe_is_refused(tracks: Tracks, killed: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    before = (folder / "state.safetensors").read_bytes()
    with pytest.raises(InputError) as error:
        run(tiny_recipe(training=RUNS["plain"][0] | changes), tracks, folder)
    told = r"state\.safetensors: belongs to training [0-9a-f]{8}, but this is training [0-9a-f]{8}; remove \S+ to start again\."
    assert re.search(f"{told}$", str(error.value))
    assert (folder / "state.safetensors").read_bytes() == before


def test_a_state_of_other_data_is_refused(tracks: Tracks, killed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(killed, tmp_path / "run"))
    with pytest.raises(InputError, match="belongs to training"):
        run(tiny_recipe(training=RUNS["plain"][0]), tracks[:2], folder)


def test_separation_may_change_while_training_is_interrupted(whole_runs: Mapping[str, Path], tracks: Tracks, tmp_path: Path) -> None:
    training = {"n_epochs": 3}
    kill(tiny_recipe(training=training), tracks, tmp_path)
    run(tiny_recipe(training=training, separation={"griffin_lim_iterations": 9}), tracks, tmp_path)
    assert same_bytes(tmp_path, whole_runs["plain"])


def test_saving_and_resuming_keep_the_whole_state(tmp_path: Path) -> None:
    recipe = tiny_recipe(training=SELECTED)

    one, other, path = new_state(recipe, 1), new_state(recipe, 2), tmp_path / "state.safetensors"
    for value in (2.0, 1.0, 3.0):
        one.optimiser.zero_grad()
        sum(parameter.square().sum() for parameter in one.network.parameters()).backward()
        one.optimiser.step()
        one.keep_best(value)
        assert one.schedule is not None
        one.schedule.step(value)
    one.position.step, one.position.sums, one.position.history = (
        7,
        dict.fromkeys(FAMILIES["mad"].losses, 0.1 + 0.2),
        [{"loss": 1 / 3, "validation_loss": None}],
    )
    one.position.epoch = 1
    one.save(path, "abc")
    assert other.resume(path, "abc")
    assert other.position == one.position and other.position.best == 1.0
    for left, right in ((one.network.state_dict(), other.network.state_dict()), (one.best_weights, other.best_weights)):
        assert left.keys() == right.keys() and all(torch.equal(tensor, right[name]) for name, tensor in left.items())
    assert not torch.equal(one.best_weights["mask.weight"], one.network.state_dict()["mask.weight"])
    left, right = one.optimiser.state_dict(), other.optimiser.state_dict()
    assert left["param_groups"] == right["param_groups"] and left["param_groups"][0]["lr"] == 1.5e-3
    for number, moments in left["state"].items():
        assert all(torch.equal(value, right["state"][number][key]) for key, value in moments.items())
    assert one.schedule is not None and other.schedule is not None
    assert one.schedule.state_dict() == other.schedule.state_dict()


def test_a_finished_run_leaves_nothing_that_a_killed_one_had_half_written(tracks: Tracks, tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    half_written = tmp_path / f"{TEMPORARY}{socket.gethostname()}.{ended.pid}.abcdef"
    half_written.write_bytes(b"half")
    run(tiny_recipe(), tracks, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_there_is_nothing_to_resume_at_first(tmp_path: Path) -> None:
    assert not new_state(tiny_recipe()).resume(tmp_path / "state.safetensors", "abc")
