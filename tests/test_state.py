"""Runs that are killed, at any moment, and go on as if they never had been."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_recipe
from trainings import EACH_STEP, HELD_OUT, NEVER, OUTPUTS, Killed, killed_at, run, same_bytes, sequences_of, sung, write_prepared

from madsep.core.errors import InputError
from madsep.models import checkpoint
from madsep.models.checkpoint import build_network, read_tensors
from madsep.systems.families import FAMILIES
from madsep.systems.recipe import Recipe
from madsep.training.state import Trainer
from madsep.training.step import Step

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


SELECTED = {**HELD_OUT, "n_epochs": 3, "learning_rate": 3e-3, "plateau": {"factor": 0.5, "patience": 0, "first_epoch": 1}}
RUNS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "plain": ({"n_epochs": 3}, ()),
    "best epoch, falling rate": (SELECTED, ("Artist - 2",)),
}


@pytest.fixture(scope="module")
def whole_runs(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs that were never killed, and saved their state at each epoch's end only."""
    return {
        name: run(tiny_recipe(training=training), manifest, tmp_path_factory.mktemp("whole"), held_out=held_out)
        for name, (training, held_out) in RUNS.items()
    }


def test_two_runs_are_equal_byte_by_byte(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path) -> None:
    training, held_out = RUNS["best epoch, falling rate"]
    again = run(tiny_recipe(training=training), manifest, tmp_path / "again", EACH_STEP, held_out)
    assert same_bytes(again, whole_runs["best epoch, falling rate"])
    other = run(tiny_recipe(training=training | {"seed": 219}), manifest, tmp_path / "other", held_out=held_out)
    assert not same_bytes(other, whole_runs["best epoch, falling rate"])


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("n_steps", [0, 5, 8, 12, 13, 23])
def test_a_killed_run_goes_on_as_if_it_never_had_been(
    whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, name: str, n_steps: int, save_every_s: float
) -> None:
    training, held_out = RUNS[name]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, manifest, tmp_path, save_every_s, held_out)
    n_epoch = 12 if name == "plain" else 8
    n_saved = n_steps if save_every_s == EACH_STEP else n_steps // n_epoch * n_epoch
    state = tmp_path / "state.safetensors"
    assert (read_tensors(state)[1]["position"]["step"] if state.exists() else 0) == n_saved
    assert same_bytes(run(recipe, manifest, tmp_path, save_every_s, held_out), whole_runs[name])


@pytest.mark.parametrize("n_writes", [0, 1, 6, 39])
def test_a_run_killed_while_it_saves_goes_on(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, n_writes: int) -> None:
    """Write 40 is that of the weights: the last state is there, and nothing is left to train."""
    training, held_out = RUNS["plain"]
    recipe = tiny_recipe(training=training)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, checkpoint, "save_file", n_writes)
        run(recipe, manifest, tmp_path, EACH_STEP, held_out)


def test_processes_killed_at_any_moment_leave_what_the_next_ones_need(manifest: Path, tmp_path: Path) -> None:
    """Ten moments, two of them in one run. A kill that came too late is repeated: that run only tells that there was nothing left to do."""
    here, seed = Path(__file__).parent, random.randrange(10**9)
    program = [sys.executable, here / "killing.py", manifest, tmp_path, str(seed)]
    environment = {"PYTHONPATH": f"{here}:{here.parent}", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(program, cwd=here.parent, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    moments = json.loads(ended.stdout)
    assert sorted(map(len, moments.values())) == [*8 * [1], 2]
    for name, seconds in moments.items():
        assert same_bytes(tmp_path / name, tmp_path / "whole"), f"killed {seconds} s after its start, seed {seed}"
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == OUTPUTS


def kill(recipe: Recipe, manifest: Path, folder: Path, n_steps: int = 17) -> Path:
    """A folder whose run was killed; the states of the last two steps."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, manifest, folder, EACH_STEP)
    return folder


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"", lambda content: b"\0" * len(content)])
def test_of_a_damaged_state_the_one_before_is_used_and_that_is_said(
    whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    recipe = tiny_recipe(training=RUNS["plain"][0])
    state = kill(recipe, manifest, tmp_path) / "state.safetensors"
    state.write_bytes(damage(state.read_bytes()))
    caplog.set_level("INFO", "madsep")
    run(recipe, manifest, tmp_path)
    assert any(str(state) in line and "damaged or truncated" in line and "the state saved before it" in line for line in caplog.messages)
    assert any("training continues from" in line and "state.previous.safetensors: epoch 2, step 16" in line for line in caplog.messages)
    assert same_bytes(tmp_path, whole_runs["plain"])


# --- Adadelta

ADADELTA = {"n_epochs": 2, "optimiser": "adadelta", "learning_rate": 1.0}


@pytest.fixture(scope="module")
def whole_adadelta(manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_recipe(training=ADADELTA), manifest, tmp_path_factory.mktemp("adadelta"))


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
@pytest.mark.parametrize("n_steps", [5, 12, 17])
def test_a_killed_run_with_adadelta_goes_on_as_if_it_never_had_been(
    whole_adadelta: Path, manifest: Path, tmp_path: Path, n_steps: int, save_every_s: float
) -> None:
    recipe = tiny_recipe(training=ADADELTA)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        run(recipe, manifest, tmp_path, save_every_s)
    if save_every_s == EACH_STEP:
        tensors, metadata = read_tensors(tmp_path / "state.safetensors")
        assert metadata["n_steps"] == metadata["position"]["step"] == n_steps
        assert {name.partition("/")[0] for name in tensors} == {"network", "square_avg", "acc_delta"}
    assert same_bytes(run(recipe, manifest, tmp_path, save_every_s), whole_adadelta)


def adadelta_step(manifest: Path, learning_rate: float = 1.0) -> tuple[Step, torch.Tensor]:
    """A step of an initialised network, and the spans of four sequences."""
    recipe = tiny_recipe(training=ADADELTA | {"learning_rate": learning_rate, "gradient_norm_clip": None})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(1))
    sequences = sequences_of(manifest, recipe)
    ((_, spans),) = sequences.stream([torch.tensor([3, 4, 5, 6])])
    return Step(recipe, Trainer(network, recipe), sequences), spans


def test_adadelta_is_zeilers(manifest: Path) -> None:
    """His algorithm 1 with rho = 0.95 and epsilon = 1e-6, the change multiplied with the learning rate, over three steps."""
    step, spans = adadelta_step(manifest, 0.5)
    parameters = list(step.trainer.network.parameters())
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


def test_after_a_step_of_adadelta_that_is_not_finite_nothing_changes(manifest: Path) -> None:
    step, good = adadelta_step(manifest)
    optimiser = step.trainer.optimiser

    def values() -> list[torch.Tensor]:
        moments = [moment for state in optimiser.state.values() for moment in state.values()]
        return [tensor.detach().clone() for tensor in (*step.trainer.network.parameters(), *moments)]

    step(good)
    before = values()
    step(torch.full_like(good, torch.nan))
    step(good)
    assert step.trainer.tally.read()[:2] == (True, 1)
    after = values()
    assert len(before) == len(after) == 4 * len(list(step.trainer.network.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"training": {"n_epochs": 3, "learning_rate": 0.5}}, "'settings.training.learning_rate' was 0.001, now 0.5"),
        ({"training": {"n_epochs": 4}}, "'settings.training.n_epochs' was 3, now 4"),
        ({"training": {"n_epochs": 3, "optimiser": "adadelta"}}, "'settings.training.optimiser' was 'adam', now 'adadelta'"),
        ({"training": {"n_epochs": 3}, "target": {"clip": 2.0}}, "'settings.target.clip' was 1.0, now 2.0"),
        ({"training": {"n_epochs": 3}, "loss": {"gate": None}}, "'settings.loss.gate' was {'denoiser': 0.25, 'masker': 1.5}, now None"),
        ({"training": {"n_epochs": 3}, "network": {"n_denoiser_hidden": 17}}, "'settings.network.n_denoiser_hidden' was 16, now 17"),
    ],
)
def test_a_state_of_other_settings_is_refused(manifest: Path, tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = kill(tiny_recipe(training={"n_epochs": 3}), manifest, tmp_path)
    before = (folder / "state.safetensors").read_bytes()
    with pytest.raises(InputError) as error:
        run(tiny_recipe(**changes), manifest, folder)
    assert f"state.safetensors: was saved with other settings: {told}. Restore that value to go on, or delete" in str(error.value)
    assert (folder / "state.safetensors").read_bytes() == before


def test_a_state_of_other_data_is_refused(manifest: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 3})
    folder = kill(recipe, manifest, tmp_path / "run")
    other = write_prepared(tmp_path / "other", [sung(seed) for seed in range(4)])
    with pytest.raises(InputError, match=r"was saved with other settings: 'data' was '[0-9a-f]{64}', now '[0-9a-f]{64}'"):
        run(recipe, other, folder)


def test_separation_may_change_while_training_is_interrupted(whole_runs: Mapping[str, Path], manifest: Path, tmp_path: Path) -> None:
    training = {"n_epochs": 3}
    kill(tiny_recipe(training=training), manifest, tmp_path)
    run(tiny_recipe(training=training, separation={"griffin_lim_iterations": 9}), manifest, tmp_path)
    assert same_bytes(tmp_path, whole_runs["plain"])


def test_saving_and_resuming_keep_the_whole_state(tmp_path: Path) -> None:
    recipe = tiny_recipe(training=SELECTED)

    def trainer(seed: int) -> Trainer:
        network = build_network(recipe)
        network.initialise(torch.Generator().manual_seed(seed))
        return Trainer(network, recipe)

    one, other, path = trainer(1), trainer(2), tmp_path / "state.safetensors"
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
    identity = {"settings": {"a": 1}, "data": "x"}
    one.save(path, identity)
    assert other.resume(path, identity)
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


def test_a_finished_run_leaves_nothing_that_a_killed_one_had_half_written(manifest: Path, tmp_path: Path) -> None:
    for name in (".state.a1b2c3.safetensors", ".state.next.a1b2c3.safetensors", ".weights.d4e5f6.safetensors", ".history.partial.g7h8.csv"):
        tmp_path.joinpath(name).write_bytes(b"half")  # ours, see madsep.core.files.atomic
    tmp_path.joinpath(".tmpA1b2C3").write_bytes(b"half")  # that of safetensors 0.8
    run(tiny_recipe(), manifest, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_there_is_nothing_to_resume_at_first(tmp_path: Path) -> None:
    recipe = tiny_recipe()
    assert not Trainer(build_network(recipe), recipe).resume(tmp_path / "state.safetensors", {})
