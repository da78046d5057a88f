"""The loop: one step against Adam by hand, an epoch's row against its sequences, and steps that are not finite."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import SIZES, tiny_recipe
from torch.optim.lr_scheduler import ReduceLROnPlateau
from trainings import EACH_STEP, NEVER, OUTPUTS, Tracks, features_of, history, losses, run, sequences_of, sung, weights, write_prepared

from madsep.core.errors import InputError
from madsep.models.checkpoint import build_network, load_checkpoint, read_tensors, write_checkpoint
from madsep.models.losses import generalised_kl
from madsep.systems.recipe import Recipe, load_recipe
from madsep.training.loop import Loop
from madsep.training.records import RunFiles
from madsep.training.sequences import Sequences
from madsep.training.state import TrainingState
from madsep.training.stop import Stop

COLUMNS = ["epoch", "step", "loss", "kl_denoised", "kl_masked", "latent", "learning_rate", "validation_loss", "validation_sdr"]

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


def test_every_sequence_comes_once_an_epoch_in_an_order_of_the_seed(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[int]] = []
    stream = Sequences.stream

    def spy(self: Sequences, batches: list[torch.Tensor]) -> Any:
        drawn.extend(batch.tolist() for batch in batches)
        return stream(self, batches)

    monkeypatch.setattr(Sequences, "stream", spy)
    orders = []
    for seed in (1, 1, 2):
        drawn.clear()
        run(tiny_recipe(training={"seed": seed}), tracks, tmp_path / f"run{len(orders)}")
        assert [len(numbers) for numbers in drawn] == 2 * ([4] * 11 + [1])
        orders.append([list(chain(*drawn[:12])), list(chain(*drawn[12:]))])
    for order in orders:
        assert sorted(order[0]) == sorted(order[1]) == list(range(45))
        assert order[0] != order[1]
    assert orders[0] == orders[1] != orders[2]


def test_the_loss_falls_and_everything_is_written(tracks: Tracks, tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 4})
    folder = run(recipe, tracks, tmp_path)
    assert losses(folder)[-1] < 0.6 * losses(folder)[0]
    rows = history(folder)
    assert list(rows[0]) == COLUMNS
    assert [(row["epoch"], row["step"], row["learning_rate"], row["validation_loss"]) for row in rows] == [
        (str(epoch), str(12 * epoch), "0.001", "") for epoch in range(1, 5)
    ]
    metadata = read_tensors(folder / "weights.safetensors")[1]
    assert metadata["trained"] == recipe.training_half()
    assert metadata["provenance"]["device"] == "cpu" and metadata["provenance"]["versions"]["torch"] == torch.__version__
    assert sorted(path.name for path in folder.iterdir()) == OUTPUTS
    write_checkpoint(folder, recipe, tmp_path / "system" / "checkpoint.safetensors")
    loaded = load_checkpoint(tmp_path / "system" / "checkpoint.safetensors", torch.device("cpu"))
    assert all(torch.equal(tensor, weights(folder)[name]) for name, tensor in loaded.network.state_dict().items())


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "MDL1-branch": ("MDL1-branch", {"network": SIZES["network"], "training": {"gradient_norm_clip": 1.5}}),
    "GRU-NRI": ("GRU-NRI", {}),
    "GRU-RIS-s": ("GRU-RIS-s", {}),
    "recurrent residual": ("MDL1", {"network": {**SIZES["network"], "encoder_residual": "recurrent"}}),
    "realigned": ("MDL1", {"network": {**SIZES["network"], "realign_backward": True}}),
    "mixture added, narrow": ("MDL1", {"network": {**SIZES["network"], "decoder_residual": "mix_output", "decoder_width": 1}}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns(tracks: Tracks, tmp_path: Path, variant: str) -> None:
    name, changes = VARIANTS[variant]
    recipe = load_recipe(name, {"MDL1": SIZES, name: {**(SIZES if name == "MDL1" else {}), **changes}})
    folder = run(recipe, tracks, tmp_path, held_out=("Artist - 2",))
    assert losses(folder)[-1] < 0.9 * losses(folder)[0]


def initialised(recipe: Recipe) -> Any:
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(recipe.training.seed))
    return network


def test_an_epochs_row_is_the_mean_over_its_sequences(tracks: Tracks, tmp_path: Path) -> None:
    """With a learning rate of nearly zero the network stays as it began; its losses over all sequences at once are the row's."""
    recipe = tiny_recipe(training={"learning_rate": 1e-30, "n_epochs": 1, "validation": True})
    folder = run(recipe, tracks, tmp_path, held_out=("Artist - 1",))
    network = initialised(recipe)
    for numbers, columns in (([0, 2], ("kl_denoised", "kl_masked")), ([1], ("validation_loss", None))):
        sequences = sequences_of(tracks, recipe, *numbers)
        mixture, target = features_of(sequences, torch.arange(len(sequences)), recipe)
        with torch.no_grad():
            output = network(mixture)
        for column, estimate in zip(columns, (output.denoised, output.masked), strict=True):
            if column:
                assert losses(folder, column)[0] == pytest.approx(generalised_kl(target[:, 0], estimate).item(), rel=1e-5)


def test_the_first_step_is_adams_with_the_clipped_gradient(tracks: Tracks, tmp_path: Path) -> None:
    """After one step Adam has moved each weight by rate * g / (|g| + 1e-8), for the gradient scaled to the norm allowed."""
    changes = {"n_epochs": 1, "batch_size": 45, "gradient_norm_clip": 1e-6, "learning_rate": 0.01}
    recipe = tiny_recipe(training=changes)
    trained = weights(run(recipe, tracks, tmp_path))
    network = initialised(recipe)
    order = torch.randperm(45, generator=torch.Generator().manual_seed(recipe.training.seed * 1_000_003))
    mixture, target = features_of(sequences_of(tracks, recipe), order, recipe)
    network.objective(network.terms(network(mixture), target, recipe.loss), recipe.loss).total.backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in network.parameters()]).norm().item()
    assert norm > 1e-6
    for name, parameter in network.named_parameters():
        clipped = parameter.grad * (1e-6 / norm)
        expected = parameter.detach() - 0.01 * clipped / (clipped.abs() + 1e-8)
        torch.testing.assert_close(trained[name], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("first_epoch", "rates"), [(1, [1, 1, 0.5, 0.25]), (2, [1, 1, 1, 0.5])])
def test_the_rate_falls_on_a_plateau(tracks: Tracks, tmp_path: Path, first_epoch: int, rates: list[float]) -> None:
    """At so low a rate no epoch is better by 0.01 % than the first that is looked at."""
    plateau = {"factor": 0.5, "patience": 0, "first_epoch": first_epoch}
    recipe = tiny_recipe(training={"n_epochs": 4, "learning_rate": 1e-7, "plateau": plateau})
    assert [rate / 1e-7 for rate in losses(run(recipe, tracks, tmp_path), "learning_rate")] == pytest.approx(rates)


def test_the_plateau_of_the_branch_follows_the_loss_before_the_penalty(
    tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """main_KL.py keeps an epoch's loss_den + loss_mask before it adds the penalty, and gives the scheduler their mean from epoch 10 on."""
    followed: list[float] = []
    monkeypatch.setattr(ReduceLROnPlateau, "step", lambda self, value: followed.append(value))
    changes = {"n_epochs": 3, "plateau": {"factor": 0.8, "patience": 3, "first_epoch": 2}}
    recipe = load_recipe("MDL1-branch", {"MDL1": SIZES, "MDL1-branch": {"network": SIZES["network"], "training": changes}})
    assert recipe.loss.mask_l1 == 1e-4 and load_recipe("MDL1-branch", {}).training.plateau.first_epoch == 10
    folder = run(recipe, tracks, tmp_path)
    divergences = [sum(pair) for pair in zip(losses(folder, "kl_denoised"), losses(folder, "kl_masked"), strict=True)]
    assert followed == pytest.approx(divergences[1:], rel=1e-12)
    assert all(loss > divergence + 1e-3 for loss, divergence in zip(losses(folder), divergences, strict=True))


def test_the_rate_falls_along_half_a_cosine(tracks: Tracks, tmp_path: Path) -> None:
    recipe = tiny_recipe(training={"n_epochs": 5, "learning_rate": 9e-4, "final_learning_rate": 1e-4})
    rates = losses(run(recipe, tracks, tmp_path), "learning_rate")
    assert rates == pytest.approx([9e-4, 5e-4 + 4e-4 * 0.5**0.5, 5e-4, 5e-4 - 4e-4 * 0.5**0.5, 1e-4])


@pytest.mark.parametrize("save_every_s", [EACH_STEP, NEVER])
def test_a_loss_that_is_not_finite_names_its_tracks_and_keeps_the_last_good_state(tmp_path: Path, save_every_s: float) -> None:
    """Where the host looks at the epoch's end only, the steps after that one have changed nothing."""
    songs = [sung(seed) for seed in range(2)]
    songs[1][0][6000] = np.nan
    tracks = write_prepared(tmp_path / "prepared", songs)
    with pytest.raises(InputError) as error:
        run(tiny_recipe(training={"batch_size": 1}), tracks, tmp_path, save_every_s)
    assert "loss nan" in str(error.value) and "not finite" in str(error.value)
    assert "Tracks in this batch: Artist - 1. Try a lower training.learning_rate." in str(error.value)
    tensors, metadata = read_tensors(tmp_path / "state.safetensors")
    assert f"step {metadata['position']['step'] + 1}:" in str(error.value)
    assert metadata["n_steps"] == metadata["position"]["step"] < 29
    assert all(tensor.isfinite().all() for tensor in tensors.values())
    assert not (tmp_path / "weights.safetensors").exists()


def test_a_rate_that_blows_up_stops_the_run(tracks: Tracks, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"epoch 1, step \d+: loss (nan|inf), .*Artist - .*Try a lower training.learning_rate"):
        run(tiny_recipe(training={"learning_rate": 1e30}), tracks, tmp_path)


def test_something_can_be_done_after_each_epoch(tracks: Tracks, tmp_path: Path) -> None:
    """When its state is saved and its row is there."""
    torch.set_num_threads(1)
    recipe = tiny_recipe()
    state = TrainingState(initialised(recipe), recipe)
    sequences = sequences_of(tracks, recipe)
    nothing = Sequences([], recipe, sequences.stft, augmented=False)
    seen = []

    def after_epoch() -> None:
        seen.append((len(state.position.history), read_tensors(tmp_path / "state.safetensors")[1]["position"]["epoch"]))

    Loop(recipe, state, sequences, nothing).run(RunFiles(tmp_path, "abc", NEVER), Stop(None), after_epoch)
    assert seen == [(1, 1), (2, 2)]
