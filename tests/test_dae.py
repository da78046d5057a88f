"""Denoising autoencoders on single frames: sizes, known truths, initial weights, that they learn, and their stacks of layers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny import tiny_checkpoint
from trainings import losses, run, sung, write_prepared

from madsep.core.errors import InputError
from madsep.models import dae
from madsep.models.checkpoint import build_network
from madsep.models.stack import Stack
from madsep.systems.families import FAMILIES
from madsep.systems.families.dae import DaeLossSettings, DaeSettings
from madsep.systems.recipe import Recipe, load_recipe
from madsep.systems.sizes import Sizes

NETWORKS = {"DAE": (1, False), "MSS-DAE": (3, False), "SF": (1, True)}
RECIPES = [*NETWORKS, *(f"{name}-mir1k" for name in NETWORKS)]
N_BINS = 7


def network(n_encoder_layers: int = 1, skip_filter: bool = False, n_bins: int = N_BINS) -> dae.Dae:
    built = dae.Dae(DaeSettings(n_encoder_layers=n_encoder_layers, skip_filter=skip_filter), Sizes(n_bins, 1, 0, 1))
    built.initialise(torch.Generator().manual_seed(1))
    return built.eval()


def constant(weight: torch.Tensor, bias: float, n_encoder_layers: int = 1, skip_filter: bool = False) -> dae.Dae:
    """A network all of whose layers have the same matrix and, in all units, the same bias."""
    built = network(n_encoder_layers, skip_filter, len(weight))
    with torch.no_grad():
        for layer in built.layers:
            layer.weight.copy_(weight)
            layer.bias.fill_(bias)
    return built


def magnitudes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def by_hand(stack: Stack) -> np.ndarray:
    """What the layers make of the inputs, in float64: (T, N)."""
    frames = stack.inputs.double().numpy()
    for weight, bias in stack.layers:
        frames = np.maximum(frames @ weight.double().numpy().T + bias.double().numpy(), 0)
    return frames


@pytest.mark.parametrize("name", RECIPES)
def test_layers_are_square_and_as_many_as_published(name: str) -> None:
    """An encoder of one layer or three and a decoder of one, each of N (N + 1) parameters."""
    recipe = load_recipe(name, {})
    n_encoder_layers, skip_filter = NETWORKS[name.removesuffix("-mir1k")]
    n_bins = 513 if name.endswith("-mir1k") else 2049
    with torch.device("meta"):
        built = build_network(recipe)
        estimate = built.estimate(torch.rand(5, 1, n_bins), recipe.separation)
    assert [tuple(layer.weight.shape) for layer in built.layers] == [(n_bins, n_bins)] * (n_encoder_layers + 1)
    assert sum(parameter.numel() for parameter in built.parameters()) == (n_encoder_layers + 1) * n_bins * (n_bins + 1)
    assert estimate.shape == (5, 1, 1, n_bins)
    assert built.settings.skip_filter == skip_filter
    assert recipe.segments.n_frames == 1 and recipe.training.batch_size >= 128


@pytest.mark.parametrize("name", NETWORKS)
def test_recipes_for_mir1k_differ_in_front_end_clip_and_training_alone(name: str) -> None:
    here, there = load_recipe(name, {}), load_recipe(f"{name}-mir1k", {})
    for section in ("family", "sources", "segments", "network", "loss", "separation"):
        assert getattr(here, section) == getattr(there, section)
    assert there.front_end == load_recipe("MDL1-mir1k", {}).front_end and there.target == load_recipe("MDL1-mir1k", {}).target
    assert here.front_end == load_recipe("MDL1", {}).front_end and here.target == load_recipe("MDL1", {}).target


@pytest.mark.parametrize("name", ["MSS-DAE", "SF"])
def test_the_three_systems_differ_in_their_networks_alone(name: str) -> None:
    for suffix in ("", "-mir1k"):
        first, other = (load_recipe(of + suffix, {}).training_half() for of in ("DAE", name))
        assert {key for key in first if first[key] != other[key]} == {"network"}


@pytest.mark.parametrize("n_encoder_layers", [1, 3])
def test_identity_layers_give_the_mixture_and_with_a_skip_filter_its_square(n_encoder_layers: int) -> None:
    mixture = magnitudes(4, 1, N_BINS)
    torch.testing.assert_close(constant(torch.eye(N_BINS), 0, n_encoder_layers)(mixture).voice, mixture)
    torch.testing.assert_close(constant(torch.eye(N_BINS), 0, n_encoder_layers, True)(mixture).voice, mixture.square())


def test_each_layer_has_a_relu_and_a_bias() -> None:
    """With weights -1 on the diagonal and bias 2 a unit x becomes max(2 - x, 0), and then 2 - max(2 - x, 0)."""
    mixture = torch.tensor([[[0.5, 2.0, 3.0, 5.0]]])
    expected = torch.tensor([[[0.5, 2.0, 2.0, 2.0]]])
    torch.testing.assert_close(constant(-torch.eye(4), 2.0)(mixture).voice, expected)
    torch.testing.assert_close(constant(-torch.eye(4), 2.0, skip_filter=True)(mixture).voice, expected * mixture)
    assert (constant(-torch.eye(4), 0.0, n_encoder_layers=3)(mixture).voice == 0).all()


def test_a_skip_filter_without_weights_passes_its_biases_share_of_the_mixture() -> None:
    mixture = magnitudes(4, 1, N_BINS)
    output = constant(torch.zeros(N_BINS, N_BINS), 0.3, skip_filter=True)(mixture)
    torch.testing.assert_close(output.decoded, torch.full_like(mixture, 0.3))
    torch.testing.assert_close(output.voice, 0.3 * mixture)


def test_a_skip_filters_estimate_is_a_mask_times_the_mixture_and_silent_where_that_is() -> None:
    built, mixture = network(skip_filter=True), magnitudes(6, 1, N_BINS)
    mixture[2, 0, 3] = 0
    output = built(mixture)
    torch.testing.assert_close(output.voice, output.decoded * mixture)
    assert output.decoded.min() >= 0 and output.decoded.std() > 0.1 and output.voice[2, 0, 3] == 0
    assert network()(torch.zeros(1, 1, N_BINS)).voice.max() > 0  # the biases alone


@pytest.mark.parametrize(("n_encoder_layers", "skip_filter"), NETWORKS.values())
def test_frames_do_not_see_each_other(n_encoder_layers: int, skip_filter: bool) -> None:
    built, mixture = network(n_encoder_layers, skip_filter), magnitudes(3, 4, N_BINS)
    alone = torch.stack([built(frame[None, None]).voice[0, 0] for frame in mixture.flatten(0, 1)])
    torch.testing.assert_close(built(mixture).voice.flatten(0, 1), alone)
    assert built.sequences_independent


@pytest.mark.parametrize("skip_filter", [False, True])
def test_initial_weights(skip_filter: bool) -> None:
    """Glorot normal matrices; biases uniform within 1 / sqrt(N), PyTorch's default, or zero with a skip filter."""
    n_bins = 400
    for layer in network(3, skip_filter, n_bins).layers:
        weight, bias = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        assert_allclose(weight.std(), n_bins**-0.5, rtol=0.02)
        assert_allclose((weight**4).mean(), 3 / n_bins**2, rtol=0.05)  # a normal distribution's, not a uniform one's
        assert_allclose(np.abs(bias).max(), 0 if skip_filter else n_bins**-0.5, rtol=0.02)
        assert_allclose(bias.std(), 0 if skip_filter else (3 * n_bins) ** -0.5, rtol=0.1)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    one, same, other = network(), network(), network()
    other.initialise(torch.Generator().manual_seed(2))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, same.state_dict()[name]) and not torch.equal(tensor, other.state_dict()[name])


def test_context_is_refused() -> None:
    with pytest.raises(InputError, match=r"segments.n_context is 2; expected 0"):
        dae.Dae(DaeSettings(n_encoder_layers=1, skip_filter=False), Sizes(N_BINS, 5, 2, 1))


def test_the_objective_is_the_divergence_of_the_estimate() -> None:
    built, mixture, target = network(skip_filter=True), magnitudes(6, 1, N_BINS), magnitudes(6, 1, 1, N_BINS, seed=4)
    loss = built.objective(built.terms(built(mixture), target, DaeLossSettings()), DaeLossSettings())
    y, estimate = target[:, 0].double().numpy(), built(mixture).voice.detach().double().numpy()
    expected = (y * (np.log(y + 1e-6) - np.log(estimate + 1e-6)) + estimate - y).sum(-1).mean()
    assert_allclose(loss.total.item(), expected, rtol=1e-5)
    assert loss.kl.item() == loss.total.item()


@pytest.mark.parametrize("skip_filter", [False, True])
def test_under_bfloat16_products_the_product_with_the_mixture_is_exact(skip_filter: bool) -> None:
    built, mixture = network(skip_filter=skip_filter), magnitudes(6, 1, N_BINS)
    with torch.autocast("cpu", torch.bfloat16):
        low = built(mixture)
    assert low.voice.dtype == torch.float32
    assert torch.equal(low.voice, low.decoded * mixture if skip_filter else low.decoded)
    torch.testing.assert_close(low.voice, built(mixture).voice, atol=0.02, rtol=0.02)


def tiny(name: str) -> Recipe:
    front_end = {"window_length": 257, "fft_length": 512, "hop_length": 96}
    training = {"n_epochs": 4, "batch_size": 16, "learning_rate": 1e-3, "validation": False, "selection": "last", "precision": "fp32"}
    return load_recipe(name, {"DAE": {"front_end": front_end, "training": training}})


@pytest.mark.usefixtures("torch_settings_restored")
@pytest.mark.parametrize("name", NETWORKS)
def test_training_lowers_the_loss(name: str, tmp_path: Path) -> None:
    manifest = write_prepared(tmp_path, [sung(1), sung(2)])
    found = losses(run(tiny(name), manifest, tmp_path / "out"))
    assert len(found) == 4 and np.isfinite(found).all() and found[-1] < 0.7 * found[0]


@pytest.mark.parametrize(("n_encoder_layers", "skip_filter"), NETWORKS.values())
def test_the_layers_of_a_stack_make_its_outputs_of_its_inputs(n_encoder_layers: int, skip_filter: bool) -> None:
    built, mixture = network(n_encoder_layers, skip_filter), magnitudes(5, 3, N_BINS)
    stack = built.stack(mixture)
    assert torch.equal(stack.inputs, mixture.reshape(15, N_BINS))
    assert len(stack.layers) == n_encoder_layers + 1
    decoded = by_hand(stack)
    assert_allclose(stack.outputs, decoded * stack.inputs.numpy() if skip_filter else decoded, rtol=1e-5, atol=1e-6)
    assert_allclose(stack.outputs.reshape(5, 3, N_BINS), built(mixture).voice.detach())
    assert not any(tensor.requires_grad for tensor in (*sum(stack.layers, ()), stack.inputs, stack.outputs))


def test_the_stack_of_a_masker_and_denoiser_is_its_denoiser() -> None:
    """Two layers of N -> floor(N / 2) -> N on the masked mixture, without the frames of context; the output is a mask of that."""
    checkpoint = tiny_checkpoint()
    n_bins, n_hidden = checkpoint.recipe.front_end.n_bins, checkpoint.recipe.network.n_denoiser_hidden
    mixture = magnitudes(3, 12, n_bins)
    stack = checkpoint.network.stack(mixture)
    output = checkpoint.network(mixture)
    assert stack.inputs.shape == stack.outputs.shape == (3 * 8, n_bins)
    assert [weight.shape for weight, _ in stack.layers] == [(n_hidden, n_bins), (n_bins, n_hidden)]
    assert_allclose(stack.inputs.reshape(3, 8, n_bins), (output.mask * mixture[:, 2:10]).detach(), rtol=1e-6)
    assert_allclose(stack.outputs, by_hand(stack) * stack.inputs.numpy(), rtol=1e-5, atol=1e-6)
    assert stack.outputs.max() > 0 and not stack.outputs.requires_grad


def test_families_of_dense_layers_on_single_frames_alone_have_a_stack() -> None:
    assert {name for name, family in FAMILIES.items() if family.has_stack} == {"dae", "mad"}
    assert not FAMILIES["dae"].masks
