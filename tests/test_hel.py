"""HEL1's network: its size, its masks, and that it learns."""

import numpy as np
import pytest
import torch
from scipy.signal import stft

from madsep.core.errors import InputError
from madsep.front_end.stft import Stft
from madsep.models.hel import EPSILON, Hel, HelOutput
from madsep.models.masks import ratio_masks
from madsep.systems.families.hel import HelLossSettings, HelSettings
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

TRAINING_S = 6.3 * 3600  # MUSDB18's 100 training tracks


def network(n_layers: int = 2, n_hidden: int = 5, n_bins: int = 7, n_context: int = 0) -> Hel:
    built = Hel(HelSettings(n_layers=n_layers, n_hidden=n_hidden), Sizes(n_bins, 4 + 2 * n_context, n_context, 4))
    built.initialise(torch.Generator().manual_seed(1))
    return built.eval()


def magnitudes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n_layers", "n_hidden", "n_bins", "count"), [(5, 129, 129, 570_180), (3, 256, 513, 1_908_996), (1, 3, 5, 170)])
def test_parameter_counts(n_layers: int, n_hidden: int, n_bins: int, count: int) -> None:
    """By hand: the last, 3 gates of 3 units with 5 inputs, 3 states and 2 biases, 90; 4 heads of 5 bins with 3 inputs and a bias, 80."""
    with torch.device("meta"):
        built = Hel(HelSettings(n_layers=n_layers, n_hidden=n_hidden), Sizes(n_bins, 4, 0, 4))
    assert sum(parameter.numel() for parameter in built.parameters()) == count


@pytest.mark.parametrize("n_context", [0, 1])
def test_masks_sum_to_one_and_estimates_to_the_mixture(n_context: int) -> None:
    mixture = magnitudes(3, 4 + 2 * n_context, 7)
    output = network(n_context=n_context)(mixture)
    assert output.masks.shape == output.estimates.shape == (3, 4, 4, 7)
    torch.testing.assert_close(output.masks.sum(1), torch.ones(3, 4, 7))
    torch.testing.assert_close(output.estimates.sum(1), mixture[:, n_context : n_context + 4])
    assert output.masks.min() >= 0 and output.masks.std() > 0.1


def test_network_is_stacked_grus_dense_layers_and_ratios() -> None:
    """Against PyTorch's own stack of GRUs, and the base code's y_i / sum_j y_j."""
    built, mixture = network(n_layers=3), magnitudes(2, 4, 7)
    stack = torch.nn.GRU(7, 5, num_layers=3, batch_first=True)
    stack.load_state_dict(
        {f"{name[:-1]}{depth}": tensor for depth, layer in enumerate(built.layers) for name, tensor in layer.state_dict().items()}
    )
    states = stack(mixture)[0]
    activations = torch.stack([(states @ head.weight.T + head.bias).clamp(min=0) for head in built.heads], 1)
    assert activations.sum(1).min() > 0 and (activations == 0).any()
    torch.testing.assert_close(built(mixture).masks, activations / activations.sum(1, keepdim=True))


def test_sources_share_equally_where_no_head_is_active() -> None:
    activations = magnitudes(2, 4, 3, 5)
    activations[:, :, 1] = 0
    masks = ratio_masks(activations, EPSILON / 4)
    torch.testing.assert_close(masks[:, :, 1], torch.full((2, 4, 5), 0.25))
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 3, 5))


def test_sequences_do_not_know_of_each_other_nor_frames_of_later_ones() -> None:
    built, mixture = network(), magnitudes(3, 4, 7)
    whole = built(mixture).estimates
    torch.testing.assert_close(built(mixture[1:2]).estimates, whole[1:2])
    torch.testing.assert_close(built(mixture[:, :2]).estimates, whole[:, :, :2])
    assert built.sequences_independent


def test_loss_is_the_mean_over_bins_of_the_sources_squared_errors() -> None:
    estimates, targets = magnitudes(2, 4, 3, 5), magnitudes(2, 4, 3, 5, seed=1)
    (squared_error,) = Hel.terms(HelOutput(estimates, estimates), targets, HelLossSettings())
    expected = sum(np.square((estimates[:, s] - targets[:, s]).numpy()) for s in range(4)).mean()
    assert squared_error.item() == pytest.approx(expected)
    with pytest.raises(InputError, match=r"target has shape \(2, 1, 3, 5\) but the estimate has \(2, 4, 3, 5\)"):
        Hel.terms(HelOutput(estimates, estimates), targets[:, :1], HelLossSettings())


def test_optimiser_steps_lower_the_objective() -> None:
    """The sources lie in bins of their own, so that the masks have something to learn: far below equal shares within 60 steps."""
    built = network(n_hidden=16, n_bins=12).train()
    targets = magnitudes(32, 4, 4, 12) * torch.eye(4).repeat_interleave(3, 1)[:, None]
    mixture = targets.sum(1)
    equal = (targets - mixture[:, None] / 4).square().sum(1).mean()
    optimiser = torch.optim.Adam(built.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = built.objective(Hel.terms(built(mixture), targets, HelLossSettings()), HelLossSettings())
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.2 * min(losses[0], equal)


def test_masks_stay_exact_where_products_are_bfloat16() -> None:
    mixture = magnitudes(3, 4, 7)
    with torch.autocast("cpu", torch.bfloat16):
        output = network()(mixture)
    assert output.estimates.dtype == torch.float32
    torch.testing.assert_close(output.estimates.sum(1), mixture)


@pytest.mark.parametrize("name", ["HEL1", "HEL1-base"])
def test_a_step_is_30_s_of_audio_and_there_are_enough_steps(name: str) -> None:
    recipe = load_recipe(name, {})
    step_s = recipe.training.batch_size * recipe.segments.step * recipe.front_end.hop_length / recipe.front_end.sample_rate_hz
    assert step_s == pytest.approx(30, rel=0.01)
    assert recipe.training.n_epochs * (TRAINING_S // step_s) >= 20_000
    assert recipe.sources == ("vocals", "drums", "bass", "other")
    built = network(recipe.network.n_layers, recipe.network.n_hidden, recipe.front_end.n_bins)
    estimates = built.estimate(magnitudes(2, 4, recipe.front_end.n_bins), recipe.separation)
    assert estimates.shape == (2, 4, 4, recipe.front_end.n_bins)


def test_front_ends_are_scipys_and_librosas() -> None:
    """Magnitudes of scipy.signal.stft's defaults, and of librosa's convention: Hann, periodic, centred, not scaled."""
    samples = np.random.default_rng(0).standard_normal(6000).astype(np.float32)
    recipe = load_recipe("HEL1", {})
    expected = np.abs(stft(samples)[2]).T
    found = Stft(recipe.front_end).analyse(torch.from_numpy(np.pad(samples, (128, 256)))).abs().numpy()
    np.testing.assert_allclose(found[: len(expected) - 1], expected[:-1], atol=1e-6)
    window = torch.hann_window(1024)
    centred = torch.stft(torch.from_numpy(samples), 1024, 256, window=window, pad_mode="constant", return_complex=True).abs().T
    found = Stft(load_recipe("HEL1-base", {}).front_end).analyse(torch.from_numpy(np.pad(samples, 512))).abs().numpy()
    np.testing.assert_allclose(found, centred.numpy(), rtol=1e-4, atol=1e-4)
