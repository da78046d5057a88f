"""DeepConvSep: shapes, tied weights, masks that sum to one, the published slip, and the published cost against plain formulas."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.models import cha
from madsep.models.checkpoint import build_network
from madsep.systems.families.cha import ChaLossSettings, ChaSettings
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

SIZES = Sizes(n_bins=11, n_frames=8, n_context=0, n_sources=4)
ALPHA, BETA, BETA_VOC = 0.001, 0.01, 0.03
WEIGHTS = ChaLossSettings(alpha=ALPHA, beta=BETA, beta_voc=BETA_VOC)


def settings(**changes: object) -> ChaSettings:
    values = {
        "n_vertical_filters": 5,
        "n_horizontal_filters": 3,
        "n_horizontal_frames": 4,
        "n_hidden": 6,
        "mask_floor": 5e-9,
        "legacy_bug": False,
    }
    return ChaSettings.parse(values | changes, "test")


def network(sizes: Sizes = SIZES, **changes: object) -> cha.Cha:
    built = cha.Cha(settings(**changes), sizes)
    built.initialise(torch.Generator().manual_seed(3))
    return built


def with_random_biases(built: cha.Cha) -> cha.Cha:
    generator = torch.Generator().manual_seed(4)
    for name, parameter in built.named_parameters():
        if "bias" in name:
            torch.nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return built


def magnitudes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("legacy_bug", "n_source_layers"), [(False, 4), (True, 3)])
def test_parameters_at_the_published_sizes(legacy_bug: bool, n_source_layers: int) -> None:
    """In the published code 100 more: a second bias of each filter, which adds to the first."""
    with torch.device("meta"):
        built = build_network(load_recipe("CHA", {"CHA": {"network": {"legacy_bug": legacy_bug}}}))
    vertical, horizontal = 50 * 513 + 50, 50 * 50 * 15 + 50
    hidden, source = 128 * 800 + 128, 800 * 128 + 800
    assert sum(parameter.numel() for parameter in built.parameters()) == vertical + horizontal + hidden + n_source_layers * source + 4


@pytest.mark.parametrize(
    ("n", "t", "vertical", "horizontal", "taps", "hidden"), [(11, 8, 5, 3, 4, 6), (6, 4, 2, 7, 4, 1), (33, 30, 1, 2, 1, 9)]
)
def test_parameters_are_those_of_the_layers(n: int, t: int, vertical: int, horizontal: int, taps: int, hidden: int) -> None:
    """Biases of the filters, the layers and the four outputs; the decoders' transposed convolutions have no weights of their own."""
    sizes = {"n_vertical_filters": vertical, "n_horizontal_filters": horizontal, "n_horizontal_frames": taps, "n_hidden": hidden}
    built = network(Sizes(n, t, 0, 4), **sizes)
    encoded = horizontal * (t - taps + 1)
    filters = vertical * n + vertical + horizontal * vertical * taps + horizontal
    layers = encoded * hidden + hidden + 4 * (hidden * encoded + encoded)
    assert sum(parameter.numel() for parameter in built.parameters()) == filters + layers + 4


def test_layers_at_the_published_sizes() -> None:
    built = build_network(load_recipe("CHA", {}))
    built.initialise(torch.Generator().manual_seed(1))
    shapes = {}
    for name in ("vertical", "horizontal", "hidden", "sources.0", "sources.3"):
        built.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: shapes.update({name: tuple(output.shape)}))
    output = built(torch.rand(2, 30, 513))
    assert shapes == {"vertical": (2, 30, 50), "horizontal": (2, 50, 16), "hidden": (2, 128), "sources.0": (2, 800), "sources.3": (2, 800)}
    assert [tuple(tensor.shape) for tensor in output] == [(2, 4, 30, 513)] * 3


def test_the_recipe_holds_the_published_constants() -> None:
    recipe = load_recipe("CHA", {})
    assert recipe.loss == WEIGHTS
    assert (recipe.segments.n_frames, recipe.segments.step, recipe.training.batch_size) == (30, 5, 32)
    assert (recipe.training.optimiser, recipe.training.learning_rate, recipe.training.gradient_norm_clip) == ("adadelta", 1.0, None)
    assert (recipe.front_end.window, recipe.front_end.periodic, recipe.front_end.gain) == ("blackman_harris", False, 0.3)


def reference(built: cha.Cha, mixture: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the network computes for one sequence (T, N) before its masks, written out: loops, and no layer of any library."""
    w = {name: parameter.detach().numpy() for name, parameter in built.named_parameters()}
    vertical, horizontal = w["vertical.weight"], w["horizontal.weight"]  # (filters, N), (filters, vertical filters, frames)
    n_filters, n_channels, n_taps = horizontal.shape
    per_frame = mixture @ vertical.T + w["vertical.bias"]
    n_steps = len(mixture) - n_taps + 1
    encoded = np.zeros((n_filters, n_steps))
    for f in range(n_filters):
        for t in range(n_steps):
            encoded[f, t] = np.sum(horizontal[f].T * per_frame[t : t + n_taps]) + w["horizontal.bias"][f]
    hidden = np.maximum(w["hidden.weight"] @ encoded.ravel() + w["hidden.bias"], 0)
    decoded = np.zeros((4, *mixture.shape))
    for source in range(4):
        of_source = np.maximum(w[f"sources.{source}.weight"] @ hidden + w[f"sources.{source}.bias"], 0).reshape(n_filters, n_steps)
        frames = np.zeros((len(mixture), n_channels))
        for f in range(n_filters):
            for t in range(n_steps):
                for tap in range(n_taps):
                    frames[t + tap] += of_source[f, t] * horizontal[f, :, tap]
        decoded[source] = np.maximum(frames @ vertical + w["output_bias"][source, 0, 0], 0)
    return decoded


def test_the_network_is_the_one_written_out() -> None:
    built, mixture = with_random_biases(network().double()), magnitudes(3, 8, 11)
    decoded = np.stack([reference(built, sequence) for sequence in mixture.numpy()])
    assert (decoded > 0).mean() > 0.2
    output = built(mixture)
    assert_allclose(output.decoded.detach(), decoded, atol=1e-12)
    masks = (decoded + 5e-9) / (decoded + 5e-9).sum(1, keepdims=True)
    assert_allclose(output.estimates.detach(), masks * mixture.numpy()[:, None], atol=1e-10)


def test_decoding_is_the_adjoint_of_encoding_with_the_same_weights() -> None:
    """The published decoder is made of derivatives of the encoder's layers, so that it follows whenever the encoder changes."""
    built, of_sources = network().double(), magnitudes(2, 4, 3, 5)
    for _ in range(2):
        for source in range(4):
            mixture = magnitudes(2, 8, 11).requires_grad_()
            encoded = built.horizontal(built.vertical(mixture).transpose(1, 2))
            adjoint = torch.autograd.grad(encoded, mixture, of_sources[:, source])[0]
            torch.testing.assert_close(built._decode(of_sources)[:, source], adjoint)
        with torch.no_grad():
            built.vertical.weight.mul_(-2).add_(0.1)
            built.horizontal.weight.mul_(0.5).sub_(0.2)


@pytest.mark.parametrize("sizes", [SIZES, Sizes(33, 30, 0, 4), Sizes(6, 4, 0, 4)])
@pytest.mark.parametrize("legacy_bug", [False, True])
def test_masks_sum_to_one_and_estimates_to_the_mixture(sizes: Sizes, legacy_bug: bool) -> None:
    built, mixture = network(sizes, legacy_bug=legacy_bug), magnitudes(5, sizes.n_frames, sizes.n_bins).float()
    output = built(mixture)
    assert output.masks.shape == (5, 4, *mixture.shape[1:]) and (output.masks >= 0).all()
    assert_allclose(output.masks.sum(1).detach(), 1, rtol=1e-6)
    torch.testing.assert_close(output.estimates.sum(1), mixture)


def test_estimates_sum_to_the_mixture_also_when_products_are_rounded() -> None:
    mixture = magnitudes(5, 8, 11).float()
    with torch.autocast("cpu", torch.bfloat16):
        output = network()(mixture)
    assert output.decoded.dtype == torch.float32
    torch.testing.assert_close(output.estimates.sum(1), mixture)


def test_where_no_source_is_decoded_each_gets_a_quarter() -> None:
    built = network()
    torch.nn.init.constant_(built.output_bias, -1e6)
    output = built(torch.ones(2, 8, 11))
    assert not output.decoded.any()
    assert_allclose(output.estimates.detach(), 0.25)


def test_the_published_slip_decodes_other_from_the_layer_of_the_bass() -> None:
    mixture = magnitudes(3, 8, 11)
    slipped, right = network(legacy_bug=True).double()(mixture).decoded, network().double()(mixture).decoded
    assert slipped.any() and torch.equal(slipped[:, cha.OTHER], slipped[:, cha.BASS])
    assert not torch.equal(slipped[:, cha.OTHER], slipped[:, cha.DRUMS])
    assert not torch.equal(right[:, cha.OTHER], right[:, cha.BASS])


def test_with_the_slip_bass_and_other_differ_by_their_biases_alone() -> None:
    built = network(legacy_bug=True).double()
    built.output_bias.data.copy_(torch.tensor([3.0, 3.0, 3.0, 4.5]).reshape(4, 1, 1))
    decoded = built(magnitudes(3, 8, 11)).decoded
    assert decoded.min() > 0  # above the ReLU
    assert_allclose((decoded[:, cha.OTHER] - decoded[:, cha.BASS]).detach(), 1.5)


def test_matrices_are_drawn_glorot_uniform_and_biases_zero() -> None:
    """Lasagne: sqrt(6 / ((inputs + filters) * places of a filter)); the vertical filters read one channel and have 200 places."""
    built = network(Sizes(200, 30, 0, 4), n_vertical_filters=40)
    layers = {
        built.vertical: np.sqrt(6 / ((1 + 40) * 200)),
        built.horizontal: np.sqrt(6 / ((40 + 3) * 4)),
        built.hidden: np.sqrt(6 / (81 + 6)),
        built.sources[2]: np.sqrt(6 / (6 + 81)),
    }
    for layer, limit in layers.items():
        assert 0.98 * limit < layer.weight.abs().max() <= limit
        assert_allclose(layer.weight.std().item(), limit / np.sqrt(3), rtol=0.06)
    assert not any(parameter.any() for name, parameter in built.named_parameters() if "bias" in name)


def squared(estimate: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float(np.sum((estimate - target) ** 2))


def output_of(estimates: torch.Tensor) -> cha.ChaOutput:
    return cha.ChaOutput(estimates, estimates, estimates)


def test_the_cost_is_the_published_sum_over_a_batch_of_32() -> None:
    estimates, targets = magnitudes(32, 4, 8, 11), magnitudes(32, 4, 8, 11, seed=1)
    loss = network().objective(cha.Cha.terms(output_of(estimates), targets, WEIGHTS), WEIGHTS)
    (voc, drums, bass, _), (t_voc, t_drums, t_bass, t_other) = estimates.numpy().swapaxes(0, 1), targets.numpy().swapaxes(0, 1)
    error = squared(voc, t_voc) + squared(drums, t_drums) + squared(bass, t_bass)
    cross = squared(voc, t_drums) + squared(voc, t_bass) + squared(drums, t_voc)
    cross += squared(drums, t_bass) + squared(bass, t_voc) + squared(bass, t_drums)
    other, other_vocals = squared(bass, t_other) + squared(drums, t_other), squared(voc, t_other)
    assert_allclose(list(loss[1:]), [error, cross, other, other_vocals])
    assert_allclose(loss.total, abs(error - ALPHA * cross - BETA * other - BETA_VOC * other_vocals))


def test_terms_are_means_over_the_sequences() -> None:
    estimates, targets = magnitudes(6, 4, 8, 11), magnitudes(6, 4, 8, 11, seed=1)
    whole = torch.stack(tuple(cha.Cha.terms(output_of(estimates), targets, WEIGHTS)))
    each = [torch.stack(tuple(cha.Cha.terms(output_of(estimates[n : n + 1]), targets[n : n + 1], WEIGHTS))) for n in range(6)]
    torch.testing.assert_close(whole, torch.stack(each).mean(0))


def test_the_objective_is_an_absolute_value() -> None:
    terms = cha.ChaTerms(*torch.tensor([1.0, 1000.0, 200.0, 100.0]))
    assert_allclose(network().objective(terms, WEIGHTS).total, 1 + 2 + 3 - 1)


def test_estimates_do_not_depend_on_the_batch() -> None:
    built, mixture, separation = network().double(), magnitudes(5, 8, 11), load_recipe("CHA", {}).separation
    estimates = built.estimate(mixture, separation)
    assert built.sequences_independent and estimates.shape == (5, 4, 8, 11)
    torch.testing.assert_close(estimates, torch.cat([built.estimate(sequence[None], separation) for sequence in mixture]))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (Sizes(11, 8, 2, 4), "segments.n_context is 2; expected 0"),
        (Sizes(11, 8, 0, 2), "trains with 2 sources; family cha expects 4 \\(vocals, drums, bass, other\\)"),
        (Sizes(11, 3, 0, 4), "n_horizontal_frames is 4; expected at most the 3 frames"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: Sizes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        cha.Cha(settings(), sizes)


@pytest.mark.parametrize("legacy_bug", [False, True])
def test_training_lowers_the_objective(legacy_bug: bool) -> None:
    targets = magnitudes(8, 4, 8, 11).float() * torch.tensor([1.0, 0.3, 0.3, 0.1]).reshape(4, 1, 1)
    mixture, built = targets.sum(1), network(legacy_bug=legacy_bug)
    optimiser = torch.optim.Adadelta(built.parameters(), lr=1.0, rho=0.95, eps=1e-6)
    totals = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = built.objective(cha.Cha.terms(built(mixture), targets, WEIGHTS), WEIGHTS)
        loss.total.backward()
        optimiser.step()
        totals.append(loss.total.item())
    assert totals[-1] < 0.8 * totals[0]
