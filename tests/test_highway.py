"""The highway network: its layer against the formula, its sizes, its start near identity, and that it learns."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from madsep.core.errors import InputError
from madsep.models import highway
from madsep.models.checkpoint import build_network
from madsep.systems.families.highway import HighwayLossSettings, HighwaySettings
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

N_BINS, N_FRAMES = 9, 6


def network(n_layers: int = 5, transform_bias: float = -2.0) -> highway.Highway:
    settings = HighwaySettings(n_layers=n_layers, transform_bias=transform_bias)
    built = highway.Highway(settings, Sizes(N_BINS, N_FRAMES, 0, 1))
    built.initialise(torch.Generator().manual_seed(1))
    return built


def magnitudes(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_a_layer_is_its_formula() -> None:
    layer = highway.HighwayLayer(N_BINS, -2.0).double()
    nn.init.normal_(layer.plain.bias, generator=torch.Generator().manual_seed(2))
    inputs = magnitudes(3, 4, N_BINS).double() - 0.3
    weight, bias = layer.plain.weight.detach().numpy(), layer.plain.bias.detach().numpy()
    gate_weight, gate_bias = layer.gate.weight.detach().numpy(), layer.gate.bias.detach().numpy()
    expected = np.zeros((4, N_BINS))
    for row, x in enumerate(inputs.numpy()):
        for unit in range(N_BINS):
            gate = 1 / (1 + math.exp(-(sum(gate_weight[unit, k] * x[k] for k in range(N_BINS)) + gate_bias[unit])))
            transformed = max(0.0, sum(weight[unit, k] * x[k] for k in range(N_BINS)) + bias[unit])
            expected[row, unit] = transformed * gate + x[unit] * (1 - gate)
    assert_allclose(layer(inputs).detach().numpy(), expected, rtol=1e-12)


def test_layers_follow_one_another() -> None:
    built, mixture = network(n_layers=3), magnitudes(3, 2, N_FRAMES, N_BINS)
    first, second, third = built.layers
    torch.testing.assert_close(built(mixture).voice, third(second(first(mixture))))
    assert not torch.allclose(built(mixture).voice, second(first(mixture)))


def test_the_recipe_is_the_published_network() -> None:
    """Five layers of two matrices 2049 x 2049 with biases: 5 * 2 * (2049 * 2049 + 2049) = 42,004,500 parameters."""
    recipe = load_recipe("MIM-HW", {})
    with torch.device("meta"):
        built = build_network(recipe)
        estimate = built.estimate(torch.rand(2, 40, 2049), recipe.separation)
    assert sum(parameter.numel() for parameter in built.parameters()) == 42_004_500
    shapes = {tuple(parameter.shape) for parameter in built.parameters()}
    assert shapes == {(2049, 2049), (2049,)} and len(list(built.parameters())) == 20
    assert estimate.shape == (2, 1, 40, 2049)


@pytest.mark.parametrize(("n_layers", "n_bins"), [(1, 4), (3, 9), (5, 33)])
def test_parameters_are_those_of_the_layers(n_layers: int, n_bins: int) -> None:
    settings = HighwaySettings(n_layers=n_layers, transform_bias=-2.0)
    built = highway.Highway(settings, Sizes(n_bins, N_FRAMES, 0, 1))
    assert sum(parameter.numel() for parameter in built.parameters()) == n_layers * 2 * (n_bins * n_bins + n_bins)


def test_the_transform_bias_is_that_of_the_settings_and_other_biases_are_zero() -> None:
    for layer in network(transform_bias=-2.0).layers:
        assert (layer.gate.bias == -2).all() and (layer.plain.bias == 0).all()
        assert_allclose(layer.gate(torch.zeros(N_BINS)).sigmoid().detach(), 0.119203, rtol=1e-5)


def test_matrices_are_glorot_normal() -> None:
    layer = highway.HighwayLayer(200, -2.0)
    layer.initialise(torch.Generator().manual_seed(1), nn.init.xavier_normal_)
    for weight in (layer.plain.weight, layer.gate.weight):
        assert_allclose(weight.std().item(), (2 / 400) ** 0.5, rtol=0.02)
        assert_allclose((weight.double() ** 4).mean().item(), 3 * (2 / 400) ** 2, rtol=0.1)  # a normal distribution's, not a uniform one's


def test_a_very_negative_transform_bias_begins_at_the_mixture() -> None:
    mixture = magnitudes(3, 2, N_FRAMES, N_BINS)
    torch.testing.assert_close(network(transform_bias=-40.0)(mixture).voice, mixture)
    distances = [(network(transform_bias=bias)(mixture).voice - mixture).norm().item() for bias in (-4.0, -2.0, 0.0)]
    assert 0 < distances[0] < distances[1] < distances[2]


def test_frames_do_not_see_each_other() -> None:
    built, mixture = network(), magnitudes(3, 2, N_FRAMES, N_BINS)
    changed = mixture.clone()
    changed[:, 2] += 1
    before, after = built(mixture).voice, built(changed).voice
    kept = [0, 1, 3, 4, 5]
    torch.testing.assert_close(after[:, kept], before[:, kept])
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_estimates_are_non_negative() -> None:
    assert (network(transform_bias=1.0)(3 * magnitudes(3, 4, N_FRAMES, N_BINS)).voice >= 0).all()


def test_context_is_refused() -> None:
    with pytest.raises(InputError, match=r"segments.n_context is 2; expected 0"):
        highway.Highway(HighwaySettings(n_layers=1, transform_bias=0), Sizes(N_BINS, N_FRAMES, 2, 1))


def test_under_bfloat16_products_the_output_stays_single_precision() -> None:
    built, mixture = network(), magnitudes(3, 2, N_FRAMES, N_BINS)
    with torch.autocast("cpu", torch.bfloat16):
        low = built(mixture).voice
    exact = built(mixture).voice
    assert low.dtype == torch.float32 and not torch.equal(low, exact)
    assert (low - exact).norm() <= 0.02 * exact.norm()


def test_under_bfloat16_products_gates_are_not_rounded() -> None:
    """With matrices of zero, a gate at its bias of -2 passes exactly 1 - sigmoid(-2)."""
    layer, inputs = highway.HighwayLayer(N_BINS, -2.0), magnitudes(3, 4, N_BINS)
    layer.initialise(torch.Generator().manual_seed(1), nn.init.xavier_normal_)
    for matrix in (layer.plain.weight, layer.gate.weight):
        nn.init.zeros_(matrix)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(inputs), 0.8807970779778823 * inputs)


def test_the_objective_is_the_divergence_of_the_estimate() -> None:
    built, mixture, target = network(), magnitudes(3, 2, N_FRAMES, N_BINS), magnitudes(4, 2, 1, N_FRAMES, N_BINS)
    loss = built.objective(built.terms(built(mixture), target, HighwayLossSettings()), HighwayLossSettings())
    y, estimate = target[:, 0].double().numpy(), built(mixture).voice.detach().double().numpy()
    expected = (y * (np.log(y + 1e-6) - np.log(estimate + 1e-6)) + estimate - y).sum(-1).mean()
    assert_allclose(loss.total.item(), expected, rtol=1e-5)
    assert loss.kl.item() == loss.total.item()


def test_steps_of_adam_lower_the_objective() -> None:
    built, mixture = network(), magnitudes(3, 8, N_FRAMES, N_BINS)
    target = (mixture * torch.linspace(0.1, 0.9, N_BINS))[:, None]
    optimiser = torch.optim.Adam(built.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        optimiser.zero_grad()
        loss = built.objective(built.terms(built(mixture), target, HighwayLossSettings()), HighwayLossSettings())
        loss.total.backward()
        optimiser.step()
        losses.append(loss.total.item())
    assert losses[-1] < 0.5 * losses[0]
