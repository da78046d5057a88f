"""Training on a GPU: replayed steps, saved states, kills. `benchmarks/gpu.py` runs these tests without conftest.py."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import tiny_recipe
from torch import Tensor
from trainings import EACH_STEP, NEVER, OUTPUTS, Killed, Tracks, killed_at, losses, sung, weights, write_prepared

from madsep.front_end.stft import Stft
from madsep.models.checkpoint import build_network, read_tensors
from madsep.training import loop
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.step import Step
from madsep.training.train import Options, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

HERE = Path(__file__).parent
CLOSE = 1e-3  # relative: sums on a GPU have no fixed order
IN_BF16 = {"precision": "bf16"}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Tracks:
    return write_prepared(tmp_path_factory.mktemp("prepared"), [sung(seed) for seed in range(3)])


def test_on_a_gpu_the_replayed_run_is_the_one_by_one_run(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, options = tiny_recipe(training={"n_epochs": 3}), Options("cuda", 1, NEVER)
    train(recipe, tracks, [], tmp_path / "replayed", options)
    monkeypatch.setattr(loop, "stepper", lambda recipe, state, sequences, device: Step(recipe, state, sequences))
    train(recipe, tracks, [], tmp_path / "single", options)
    assert losses(tmp_path / "replayed") == pytest.approx(losses(tmp_path / "single"), rel=CLOSE)


def test_on_a_gpu_a_state_is_that_of_its_moment(tracks: Tracks, tmp_path: Path) -> None:
    """Steps that follow at once, while the copy is on its way, do not change it."""
    recipe = tiny_recipe(training=IN_BF16)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(1))
    sequences = Sequences(tracks, recipe, Stft(recipe.front_end, "cuda"), augmented=False)
    state = TrainingState(network.cuda(), recipe)
    step, batches = Step(recipe, state, sequences), torch.arange(40).split(4)
    for _, spans in sequences.stream(batches[:2]):
        step(spans)
    torch.cuda.synchronize()
    expected = {f"network/{name}": tensor.cpu().clone() for name, tensor in network.state_dict().items()}
    torch.cuda._sleep(200_000_000)  # cycles; the copy waits behind them
    snapshot = state.snapshot("training")
    for _, spans in sequences.stream(batches[2:]):
        step(spans)
    snapshot.write(tmp_path / "state.safetensors")
    found = read_tensors(tmp_path / "state.safetensors")[0]
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert any(not torch.equal(expected[f"network/{name}"], tensor.cpu()) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("n_saves", [1, 5, 14])
def test_on_a_gpu_a_stopped_run_resumes(tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_saves: int) -> None:
    recipe = tiny_recipe(training={"n_epochs": 2})
    train(recipe, tracks, [], tmp_path / "whole", Options("cuda", 1, NEVER))
    with monkeypatch.context() as patched:
        killed_at(patched, TrainingState, "snapshot", n_saves)
        with pytest.raises(Killed):
            train(recipe, tracks, [], tmp_path / "stopped", Options("cuda", 1, EACH_STEP))
    train(recipe, tracks, [], tmp_path / "stopped", Options("cuda", 1, EACH_STEP))
    check_equal(tmp_path / "stopped", tmp_path / "whole")


def test_on_a_gpu_killed_processes_leave_what_the_next_ones_need(tracks: Tracks, tmp_path: Path) -> None:
    """Five kills by SIGKILL, two of them of one training."""
    seed = random.randrange(10**9)
    program = [sys.executable, str(HERE / "killing.py"), str(tracks[0].file.parent), str(tmp_path), str(seed), "cuda", "4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"seed {seed}: {ended.stderr}"
    for number in range(4):
        check_equal(tmp_path / f"killed{number}", tmp_path / "whole")
        assert sorted(path.name for path in (tmp_path / f"killed{number}").iterdir()) == OUTPUTS


def check_equal(one: Path, other: Path) -> None:
    """Two finished trainings have the same losses and weights."""
    assert losses(one) == pytest.approx(losses(other), rel=CLOSE)
    found, expected = weights(one), weights(other)
    assert norm([found[name] - expected[name] for name in expected]) < 10 * CLOSE * norm(list(expected.values()))


def norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.norm() for tensor in tensors]).norm())
