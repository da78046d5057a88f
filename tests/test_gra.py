"""The ensemble of masks: its members, their costs against plain formulas, and the frames that they read."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.models import gra
from madsep.models.checkpoint import build_network
from madsep.systems.families.gra import GraFamily, GraLossSettings, GraSettings
from madsep.systems.recipe import load_recipe
from madsep.systems.sizes import Sizes

MEMBERS = ("binary", "soft", "sources", "discriminative")
N_BINS = 9


def settings(**changes: object) -> GraSettings:
    values = {"members": MEMBERS, "n_hidden": 7, "n_hidden_layers": 3, "estimate_gain": 1.0}
    return GraSettings.parse(values | changes, "test")


def loss_settings(**changes: float) -> GraLossSettings:
    return GraLossSettings.parse({"discriminative": 0.05, "mask_l1": 0.0, "mask_l2": 0.0} | changes, "test")


def network(n_bins: int = N_BINS, seed: int = 1, **changes: object) -> gra.Gra:
    built = gra.Gra(settings(**changes), Sizes(n_bins, n_frames=4, n_context=0, n_sources=2))
    built.initialise(torch.Generator().manual_seed(seed))
    return built


def with_masks(built: gra.Gra, **values: float) -> gra.Gra:
    """Make each named member's mask the same everywhere."""
    for member, value in values.items():
        last = built.networks[member][-1]
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, np.log(value / (1 - value)))
    return built


def magnitudes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("name", "n_members"), [("GRA", 4), ("GRA2", 1), ("GRA3", 1)])
def test_parameters_of_the_recipes(name: str, n_members: int) -> None:
    """Four layers of 1025 x 1025 weights and 1025 biases a member."""
    with torch.device("meta"):
        built = build_network(load_recipe(name, {}))
    assert sum(parameter.numel() for parameter in built.parameters()) == n_members * 4 * (1025 * 1025 + 1025)


@pytest.mark.parametrize(
    ("members", "n", "n_hidden", "n_layers"), [(("soft",), 9, 7, 1), (("binary", "sources"), 5, 3, 2), (MEMBERS, 4, 6, 4)]
)
def test_parameters_are_those_of_the_layers(members: tuple[str, ...], n: int, n_hidden: int, n_layers: int) -> None:
    """From the bins to the first hidden layer, from each hidden layer to the next, and back to the bins; of every member."""
    built = network(n_bins=n, members=members, n_hidden=n_hidden, n_hidden_layers=n_layers)
    layers = (n * n_hidden + n_hidden) + (n_layers - 1) * (n_hidden * n_hidden + n_hidden) + (n_hidden * n + n)
    assert sum(parameter.numel() for parameter in built.parameters()) == len(members) * layers


@pytest.mark.parametrize(("name", "members"), [("GRA", MEMBERS), ("GRA2", ("binary",)), ("GRA3", ("sources",))])
def test_members_of_the_recipes(name: str, members: tuple[str, ...]) -> None:
    recipe = load_recipe(name, {})
    assert recipe.network.members == members  # type: ignore[attr-defined]
    assert recipe.segments.n_frames * recipe.training.batch_size == 100
    weights = recipe.loss.model_dump()
    assert (weights["mask_l1"], weights["mask_l2"]) == ((1e-4, 1e-4) if name == "GRA3" else (0.0, 0.0))
    assert weights["discriminative"] == (0.05 if "discriminative" in members else 0)


@pytest.mark.parametrize(
    ("members", "said", "unsaid"),
    [
        (MEMBERS, ["Ensemble", "a binary mask; a soft mask; the sources", "discriminative", "thresholded at 0.5", "averaged"], []),
        (["soft", "sources"], ["Ensemble", "a soft mask; the sources that", "averaged"], ["binary", "thresholded", "discriminative"]),
        (
            ["binary"],
            ["Feed-forward network that predicts", "trained for a binary mask.", "thresholded at 0.5"],
            ["Ensemble", "averaged", "soft"],
        ),
        (["sources"], ["Feed-forward network that predicts", "trained for the sources"], ["Ensemble", "averaged", "thresholded", "binary"]),
    ],
)
def test_the_method_tells_of_the_members_that_there_are(members: list[str], said: list[str], unsaid: list[str]) -> None:
    text = GraFamily().method_of(settings(members=members))
    assert all(words in text for words in said) and not any(words in text for words in unsaid)


def test_layers_of_a_member() -> None:
    shapes = [tuple(layer.weight.shape) for layer in network(n_hidden=7).networks["soft"] if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(7, N_BINS), (7, 7), (7, 7), (N_BINS, 7)]


def test_a_member_is_plain_matrix_arithmetic() -> None:
    built, mixture = network(members=["soft"]).double(), magnitudes(2, 4, N_BINS)
    state = {key: value.numpy() for key, value in built.networks["soft"].state_dict().items()}
    x = mixture.numpy()
    for layer in (0, 2, 4):
        x = np.maximum(x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"], 0)
    expected = 1 / (1 + np.exp(-(x @ state["6.weight"].T + state["6.bias"])))
    assert_allclose(built(mixture).masks["soft"].detach(), expected, rtol=1e-12)


@pytest.mark.parametrize(("binary", "thresholded"), [(0.4, 0.0), (0.5, 0.0), (0.51, 1.0), (0.9, 1.0)])
def test_masks_are_averaged_and_the_binary_one_thresholded(binary: float, thresholded: float) -> None:
    built = with_masks(network(), binary=binary, soft=0.3, sources=0.2, discriminative=0.7)
    output = built(magnitudes(2, 4, N_BINS).float())
    assert_allclose(output.mask.detach(), (thresholded + 0.3 + 0.2 + 0.7) / 4, rtol=1e-6)
    assert_allclose(output.masks["binary"].detach(), binary, rtol=1e-6)


def test_the_binary_network_alone_gives_a_binary_mask_and_a_gradient() -> None:
    built = network(members=["binary"])
    output = built(magnitudes(5, 4, N_BINS).float())
    assert set(output.mask.unique().tolist()) == {0.0, 1.0}
    built.objective(gra.Gra.terms(output, magnitudes(5, 2, 4, N_BINS).float(), loss_settings()), loss_settings()).total.backward()
    assert built.networks["binary"][0].weight.grad.abs().sum() > 0


def test_the_estimate_is_the_mixture_through_the_mask_times_the_gain() -> None:
    mixture, separation = magnitudes(3, 4, N_BINS).float(), load_recipe("GRA", {}).separation
    estimate = with_masks(network(members=["soft"], estimate_gain=2.5), soft=0.3).estimate(mixture, separation)
    assert estimate.shape == (3, 1, 4, N_BINS)
    assert_allclose(estimate[:, 0].detach(), 2.5 * 0.3 * mixture, rtol=1e-6)


def test_each_frame_is_estimated_from_itself() -> None:
    built, mixture = network().double(), magnitudes(3, 4, N_BINS)
    assert built.sequences_independent
    alone = torch.stack([built(frame[None, None]).mask[0, 0] for frame in mixture.flatten(0, 1)])
    torch.testing.assert_close(built(mixture).mask.flatten(0, 1), alone)


def test_masks_keep_the_precision_of_the_mixture_when_products_do_not() -> None:
    built, mixture = network(), magnitudes(3, 4, N_BINS).float()
    with torch.autocast("cpu", torch.bfloat16):
        output = built(mixture)
    assert {output.mask.dtype, *(mask.dtype for mask in output.masks.values())} == {torch.float32}
    torch.testing.assert_close(output.masks["soft"], built(mixture).masks["soft"], atol=0.02, rtol=0.02)


def frobenius(error: NDArray[np.float64]) -> float:
    """|error|^2 of every frame, averaged over the frames."""
    return float(np.mean([np.sum(frame**2) for sequence in error for frame in sequence]))


def test_costs_are_the_formulas() -> None:
    mixture, vocals, background = (magnitudes(3, 4, N_BINS, seed=seed).numpy() for seed in (1, 2, 3))
    masks = {member: magnitudes(3, 4, N_BINS, seed=seed).numpy() for seed, member in enumerate(MEMBERS, start=10)}
    mean = magnitudes(3, 4, N_BINS, seed=20).numpy()
    tensors = {member: torch.from_numpy(mask) for member, mask in masks.items()}
    output = gra.GraOutput(torch.from_numpy(mixture), tensors, torch.from_numpy(mean))
    terms = gra.Gra.terms(output, torch.from_numpy(np.stack([vocals, background], 1)), loss_settings())
    c3, c4 = masks["sources"], masks["discriminative"]
    assert_allclose(terms.ensemble, frobenius(mean * mixture - vocals) + frobenius((1 - mean) * mixture - background))
    assert_allclose(terms.binary, frobenius(masks["binary"] - (vocals > background)))
    assert_allclose(terms.soft, frobenius(masks["soft"] - vocals / (vocals + background)))
    assert_allclose(terms.sources, frobenius(c3 * mixture - vocals) + frobenius((1 - c3) * mixture - background))
    assert_allclose(terms.discriminative, frobenius(c4 * mixture - vocals) + frobenius((1 - c4) * mixture - background))
    assert_allclose(terms.confusion, frobenius(c4 * mixture - background) + frobenius((1 - c4) * mixture - vocals))
    assert_allclose(terms.mask_l1, sum(mask.sum() for mask in masks.values()) / 12)
    assert_allclose(terms.mask_l2, sum((mask**2).sum() for mask in masks.values()) / 12)


def test_the_objective_weighs_the_terms() -> None:
    terms = gra.GraTerms(*torch.tensor([100.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]))
    loss = network().objective(terms, loss_settings(discriminative=0.25, mask_l1=0.5, mask_l2=2.0))
    assert loss.total == 1 + 2 + 4 + 8 - 0.25 * 16 + 0.5 * 32 + 2 * 64
    assert loss._fields[1:] == gra.GraTerms._fields[:6] and list(loss[1:]) == list(terms[:6])


def test_silent_sources_give_finite_costs() -> None:
    silence = torch.zeros(2, 4, N_BINS)
    built = network()
    terms = gra.Gra.terms(built(silence), torch.zeros(2, 2, 4, N_BINS), loss_settings())
    assert_allclose(terms.soft.item(), frobenius(built(silence).masks["soft"].detach().double().numpy()), rtol=1e-5)
    assert torch.stack(tuple(terms)).isfinite().all()


@pytest.mark.parametrize("member", MEMBERS)
def test_members_are_trained_as_if_alone(member: str) -> None:
    mixture, targets = magnitudes(3, 4, N_BINS), magnitudes(3, 2, 4, N_BINS, seed=5)
    together, alone = network().double(), network(members=[member]).double()
    alone.networks[member].load_state_dict(together.networks[member].state_dict())
    for built in (together, alone):
        built.objective(gra.Gra.terms(built(mixture), targets, loss_settings()), loss_settings(mask_l1=0.1)).total.backward()
    for one, other in zip(together.networks[member].parameters(), alone.networks[member].parameters(), strict=True):
        assert one.grad is not None and one.grad.abs().max() > 0
        torch.testing.assert_close(one.grad, other.grad)


def test_frames_are_standardised_before_the_networks() -> None:
    mixture, (mean, deviation) = magnitudes(3, 4, N_BINS), magnitudes(2, N_BINS, seed=5) + 0.1
    plain, standardised = network().double(), network().double()
    standardised.standardise(mean, deviation)
    expected = plain((mixture - mean) / deviation).mask
    torch.testing.assert_close(standardised(mixture).mask, expected)
    assert not torch.equal(expected, plain(mixture).mask)


def test_bins_that_hardly_vary_are_not_blown_up() -> None:
    built = network(n_bins=4)
    built.standardise(torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([2.0, 0.1, 1e-9, 0.0]))
    assert_allclose(built.input_deviation, [2.0, 0.1, 2e-4, 2e-4], rtol=1e-6)
    assert built(torch.ones(1, 1, 4)).mask.isfinite().all()


@pytest.mark.parametrize("deviation", [0.0, float("nan")])
def test_mixtures_that_never_vary_are_refused(deviation: float) -> None:
    with pytest.raises(InputError, match="do not vary in any bin"):
        network().standardise(torch.zeros(N_BINS), torch.full((N_BINS,), deviation))


def test_statistics_are_kept_with_the_weights() -> None:
    built, again = network(), network(seed=2)
    built.standardise(torch.rand(N_BINS), torch.rand(N_BINS) + 0.1)
    again.load_state_dict(built.state_dict(), strict=True)
    assert torch.equal(built.input_mean, again.input_mean) and torch.equal(built.input_deviation, again.input_deviation)
    assert {"input_mean", "input_deviation"} <= built.state_dict().keys()


@pytest.mark.parametrize(
    ("changes", "sizes", "message"),
    [
        ({"members": ["soft", "soft"]}, Sizes(N_BINS, 4, 0, 2), "members are soft, soft; expected each at most once"),
        ({}, Sizes(N_BINS, 4, 1, 2), "segments.n_context is 1; expected 0"),
        ({}, Sizes(N_BINS, 4, 0, 1), "trains with 1 sources; family gra expects 2 \\(vocals, background\\)"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], sizes: Sizes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        gra.Gra(settings(**changes), sizes)


@pytest.mark.parametrize("members", [[], ["bilinear"]])
def test_an_ensemble_of_nothing_known_is_refused(members: list[str]) -> None:
    with pytest.raises(InputError, match="members"):
        settings(members=members)


def test_training_lowers_the_cost_of_every_member() -> None:
    vocals, background = magnitudes(2, 8, 4, N_BINS).float()
    mixture, targets = vocals + background, torch.stack([vocals, background], 1)
    built = network(n_hidden=32)
    built.standardise(mixture.mean((0, 1)), mixture.std((0, 1)))
    optimiser = torch.optim.Adam(built.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        losses.append(built.objective(gra.Gra.terms(built(mixture), targets, loss_settings()), loss_settings(mask_l1=1e-4, mask_l2=1e-4)))
        losses[-1].total.backward()
        optimiser.step()
    for field in ("total", *MEMBERS):
        assert getattr(losses[-1], field) < 0.8 * getattr(losses[0], field), field
