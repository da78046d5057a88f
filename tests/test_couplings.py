"""The neural couplings algorithm against automatic differentiation and against stacks whose mapping is known."""

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.couplings.algorithm import WINDOW, Fit, loss_and_gradient, neural_couplings, student, untrained_couplings
from madsep.couplings.composition import Layer, compose, with_bias
from madsep.couplings.measures import diagonal_energy_share, relative_fit
from madsep.couplings.options import Options, Orientation
from madsep.models.stack import Stack

DOUBLE = torch.float64


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Matrices as small as these are faster without a pool of threads."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


def options(orientation: Orientation = "module", seed: int = 0, n_iterations: int = 30, learning_rate: float = 1e-3) -> Options:
    return Options(orientation, seed, double=True, frames_at_once=10_000, n_iterations=n_iterations, learning_rate=learning_rate)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def outputs_of(layers: Sequence[Layer], inputs: Tensor) -> Tensor:
    for weight, bias in layers:
        inputs = torch.relu(inputs @ weight.T + bias)
    return inputs


def random_stack(widths: Sequence[int], seed: int, n_frames: int = 40) -> Stack:
    sizes = list(enumerate(pairwise(widths), start=100 * seed))
    layers = [(random(n_out, n_in, seed=i) / n_in**0.5, 0.3 * random(n_out, seed=-1 - i)) for i, (n_in, n_out) in sizes]
    inputs = random(n_frames, widths[0], seed=seed).abs()
    return Stack(layers, inputs, outputs_of(layers, inputs))


def spectra(n_frames: int, n_bins: int, seed: int) -> Tensor:
    """Magnitudes like music's: few of N / 2 spectra at a time, which fall towards high frequencies."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.rand(n_bins // 2, n_bins, generator=generator) ** 6 * torch.linspace(0, -4, n_bins).exp()
    return torch.rand(n_frames, n_bins // 2, generator=generator) ** 4 @ basis


@functools.cache
def trained_stack(n_bins: int, n_layers: int, skip_filter: bool, seed: int) -> Stack:
    """An autoencoder trained for a while to separate two such sources."""
    generator = torch.Generator().manual_seed(seed)
    voice, background = spectra(6 * n_bins, n_bins, seed), spectra(6 * n_bins, n_bins, seed + 1000)
    mixture = voice + background
    weights = [nn.init.xavier_normal_(torch.empty(n_bins, n_bins), generator=generator).requires_grad_() for _ in range(n_layers)]
    layers = [(weight, torch.zeros(n_bins, requires_grad=True)) for weight in weights]
    optimiser = torch.optim.Adam([parameter for layer in layers for parameter in layer], lr=1e-3)
    for _ in range(200):
        decoded = outputs_of(layers, mixture)
        estimate = decoded * mixture if skip_filter else decoded
        optimiser.zero_grad()
        (estimate - voice).abs().mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Stack([(weight.detach(), bias.detach()) for weight, bias in layers], mixture, estimate.detach())


def dense_stack_of(mapping: Tensor, seed: int) -> Stack:
    """Two layers without a zero among their weights that together map x to `mapping` x: an orthogonal matrix, and what undoes it.

    The first one's biases keep all units positive, the second one's take them away again.
    """
    n_bins = len(mapping)
    inputs = torch.rand(5 * n_bins, n_bins, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE) ** 3
    turn, _ = torch.linalg.qr(random(n_bins, n_bins, seed=seed))
    bias = (inputs @ turn.T).min(0).values.neg().clamp_min(0) + 0.01
    back = mapping @ turn.T
    layers = [(turn, bias), (back, -back @ bias)]
    outputs = outputs_of(layers, inputs)
    torch.testing.assert_close(outputs, inputs @ mapping.T)
    return Stack(layers, inputs, outputs)


def by_the_formula(layers: Sequence[Layer], free: Sequence[Tensor], orientation: Orientation) -> Tensor:
    """C, entry by entry as it is written."""
    product = torch.eye(layers[0][0].shape[1], dtype=DOUBLE)
    for (weight, bias), matrix in zip(layers, free, strict=True):
        n_out, n_in = weight.shape
        ones = torch.ones(n_out, n_in, dtype=DOUBLE)
        biased = weight + (ones @ torch.diag(bias) if n_out == n_in else torch.diag(bias) @ ones)
        left, right = (biased, matrix) if orientation == "module" else (matrix, biased)
        gate = torch.einsum("ok,ik->oi", left, right)
        product = (torch.relu(gate) * weight) @ product
    return product


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("orientation", "widths"),
    [
        *(("module", widths) for widths in [(5, 5), (9, 9, 9), (7, 7, 7, 7, 7), (8, 4, 8), (6, 6, 11, 6)]),
        *(("toy", widths) for widths in [(5, 5), (9, 9, 9), (7, 7, 7, 7, 7)]),
    ],
)
def test_gradients_are_those_of_automatic_differentiation(orientation: Orientation, widths: tuple[int, ...], seed: int) -> None:
    stack = random_stack(widths, seed)
    free = [random(n_in, n_in, seed=seed + n).requires_grad_() for n, n_in in enumerate(widths[:-1])]
    expected = by_the_formula(stack.layers, free, orientation)
    error = (stack.inputs @ expected.T - stack.outputs).abs().sum()
    truths = torch.autograd.grad(error, free)
    with torch.no_grad():
        couplings, pullback = compose(stack.layers, free, orientation)
        loss, gradient = loss_and_gradient(couplings, iter([(stack.inputs, stack.outputs)]))
        gradients = pullback(gradient)
    torch.testing.assert_close(couplings, expected.detach(), rtol=0, atol=1e-9)
    assert loss == pytest.approx(error.item(), rel=1e-12)
    assert any(truth.abs().max() > 1e-3 for truth in truths)
    for found, truth in zip(gradients, truths, strict=True):
        torch.testing.assert_close(found, truth, rtol=0, atol=1e-9)


def test_the_bias_goes_along_the_inputs_of_square_layers_and_along_the_outputs_of_others() -> None:
    square, wide = with_bias(torch.zeros(2, 2), torch.tensor([1.0, 2.0])), with_bias(torch.zeros(2, 3), torch.tensor([1.0, 2.0]))
    assert square.tolist() == [[1, 2], [1, 2]]
    assert wide.tolist() == [[1, 1, 1], [2, 2, 2]]


@pytest.mark.parametrize("orientation", ["module", "toy"])
def test_the_fit_is_adam_over_the_free_matrices(orientation: Orientation) -> None:
    """The same by automatic differentiation, from the same first values."""
    stack, given = random_stack((8, 8, 8), 1), options(orientation, seed=4, n_iterations=12, learning_rate=1e-2)
    fit = neural_couplings(stack, given)
    generator = torch.Generator().manual_seed(4)
    free = [nn.init.xavier_normal_(torch.empty(8, 8), generator=generator).double().requires_grad_() for _ in range(2)]
    optimiser = torch.optim.Adam(free, lr=1e-2)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = (stack.inputs @ by_the_formula(stack.layers, free, orientation).T - stack.outputs).abs().sum()
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert fit.losses[:-1] == pytest.approx(losses, rel=1e-9)
    torch.testing.assert_close(fit.couplings, by_the_formula(stack.layers, free, orientation).detach(), rtol=0, atol=1e-9)


def test_the_last_loss_is_that_of_the_couplings() -> None:
    stack = random_stack((10, 10, 10), 2)
    for fit in (neural_couplings(stack, options()), student(stack, options())):
        assert len(fit.losses) == 31
        assert not fit.converged
        found = relative_fit(fit.couplings.numpy(), stack.inputs.numpy(), stack.outputs.numpy())
        assert fit.relative_losses[-1] == pytest.approx(found, rel=1e-9)


def test_untrained_couplings_are_gated_by_sums_of_rows() -> None:
    """By hand: S = row sums of W + 1 b^T in every column; a row whose sum is negative gives nothing."""
    weight, bias = torch.tensor([[1.0, 2.0], [3.0, -5.0]], dtype=DOUBLE), torch.tensor([0.5, 1.0], dtype=DOUBLE)
    stack = Stack([(weight, bias)], torch.ones(3, 2), torch.ones(3, 2))
    assert untrained_couplings(stack, options()).tolist() == [[4.5, 9.0], [0.0, 0.0]]
    assert untrained_couplings(stack, options("toy")).tolist() == [[4.5, 0.0], [13.5, 0.0]]


@pytest.mark.parametrize(("n_bins", "seed"), [(7, 0), (16, 1)])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_diagonal_layers_give_a_diagonal_and_permuting_ones_nothing_on_it(n_bins: int, seed: int, n_layers: int) -> None:
    """Whatever the gates are; a bin is lost where the first values close one of its L gates for good, as about 1 - 2^-L of them do."""
    gains = random(n_layers, n_bins, seed=seed).abs()
    inputs = random(2 * n_bins, n_bins, seed=seed).abs()
    diagonal = [(torch.diag(gain), torch.full((n_bins,), 0.1, dtype=DOUBLE)) for gain in gains]
    permuting = [(diagonal[0][0].roll(1, 0), diagonal[0][1]), *diagonal[1:]]
    for layers, share in ((diagonal, 1), (permuting, 0)):
        fit = neural_couplings(Stack(layers, inputs, outputs_of(layers, inputs)), options(seed=seed))
        assert fit.couplings.abs().sum() > 0
        assert diagonal_energy_share(fit.couplings.numpy()) == pytest.approx(share, rel=1e-12, abs=0)


@pytest.mark.parametrize(("n_bins", "seed"), [(20, 0), (33, 1)])
def test_a_diagonal_or_a_permutation_is_found_behind_dense_layers(n_bins: int, seed: int) -> None:
    """Nothing but the fit to the frames makes them more than half of the matrix."""
    gains = torch.diag(0.2 + torch.rand(n_bins, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE))
    permutation = torch.eye(n_bins, dtype=DOUBLE).roll(1 + seed, 0)
    given = options(seed=seed, n_iterations=300, learning_rate=1e-2)
    for mapping in (gains, permutation @ gains):
        stack = dense_stack_of(mapping, seed)
        diagonal = mapping is gains
        assert diagonal_energy_share(neural_couplings(stack, given._replace(n_iterations=0)).couplings.numpy()) < 0.5
        for fit, at_least in ((neural_couplings(stack, given), 0.85), (student(stack, given), 0.98)):
            share = diagonal_energy_share(fit.couplings.numpy())
            assert share > at_least if diagonal else share < 0.02
            undone = fit.couplings if diagonal else permutation.T @ fit.couplings
            assert diagonal_energy_share(undone.numpy()) > at_least


@pytest.mark.parametrize("orientation", ["module", "toy"])
@pytest.mark.parametrize("skip_filter", [False, True])
@pytest.mark.parametrize(("n_bins", "n_layers", "seed"), [(33, 2, 1), (48, 2, 0), (48, 4, 2)])
def test_the_optimised_fit_beats_both_baselines(n_bins: int, n_layers: int, seed: int, skip_filter: bool, orientation: Orientation) -> None:
    """On trained layers, and while no entry has moved by more than about one standard deviation of its Glorot first value, 1 / sqrt(N).

    Until then the student cannot have unlearned its noise, while a gate adds up N moves and needs only to choose among trained weights.
    With more iterations the student, a convex problem with no fewer parameters than any linear map, fits at least as well. Ones as P are
    not fitted at all.
    """
    stack = trained_stack(n_bins, n_layers, skip_filter, seed)
    given = options(orientation, seed, n_iterations=100, learning_rate=n_bins**-0.5 / 100)
    optimised, direct = neural_couplings(stack, given), student(stack, given)
    untrained = relative_fit(untrained_couplings(stack, given).numpy(), stack.inputs.double().numpy(), stack.outputs.double().numpy())
    assert optimised.relative_losses[-1] < 0.9 * min(direct.relative_losses[-1], untrained)
    assert optimised.relative_losses[-1] < 0.7 * optimised.relative_losses[0]


def test_the_seed_decides_and_the_precision_does_not() -> None:
    stack = random_stack((9, 9, 9), 3)
    for fitted in (neural_couplings, student):
        first, again, other = (fitted(stack, options(seed=seed)) for seed in (5, 5, 6))
        assert torch.equal(first.couplings, again.couplings)
        assert first.losses == again.losses
        assert not torch.allclose(first.couplings, other.couplings, atol=1e-3)
        single = fitted(stack, options(seed=5)._replace(double=False))
        assert single.couplings.dtype == torch.float32
        torch.testing.assert_close(single.couplings.double(), first.couplings, rtol=0, atol=1e-3)


@pytest.mark.parametrize("n_at_once", [1, 7, 40])
def test_blocks_of_frames_change_nothing(n_at_once: int) -> None:
    stack = random_stack((8, 8, 8), 4)
    for fitted in (neural_couplings, student):
        whole, parts = fitted(stack, options()), fitted(stack, options()._replace(frames_at_once=n_at_once))
        torch.testing.assert_close(parts.couplings, whole.couplings, rtol=0, atol=1e-9)
        assert parts.losses == pytest.approx(whole.losses, rel=1e-9)


def test_the_fit_ends_when_the_loss_is_flat() -> None:
    stack, given = random_stack((8, 8, 8), 5), options(n_iterations=400, learning_rate=1e-2)
    fits: list[Fit] = [neural_couplings(stack, given._replace(tolerance=tolerance)) for tolerance in (0.3, 0.05, 1e-12)]
    for fit, tolerance in zip(fits[:2], (0.3, 0.05), strict=True):
        assert fit.converged
        swings = [np.ptp(fit.losses[k : k + WINDOW + 1]) / max(fit.losses[k : k + WINDOW + 1]) for k in range(len(fit.losses) - WINDOW)]
        assert swings[-1] < tolerance <= min(swings[:-1], default=math.inf)
    assert WINDOW < len(fits[0].losses) <= len(fits[1].losses) < 401
    assert not fits[2].converged
    assert len(fits[2].losses) == 401


def test_progress_hears_of_every_iteration() -> None:
    heard: list[tuple[int, float]] = []
    fit = neural_couplings(random_stack((6, 6), 6), options(n_iterations=3), lambda n, loss: heard.append((n, loss)))
    assert heard == list(enumerate(fit.relative_losses))[1:]


def test_nothing_given_is_changed() -> None:
    stack = random_stack((6, 6, 6), 7)
    before = [tensor.clone() for layer in stack.layers for tensor in layer] + [stack.inputs.clone(), stack.outputs.clone()]
    neural_couplings(stack, options())
    student(stack, options())
    untrained_couplings(stack, options())
    after = [tensor for layer in stack.layers for tensor in layer] + [stack.inputs, stack.outputs]
    assert all(torch.equal(left, right) for left, right in zip(before, after, strict=True))


def test_what_does_not_fit_is_refused() -> None:
    stack = random_stack((6, 3, 6), 8)
    with pytest.raises(InputError, match="'toy' needs square layers"):
        neural_couplings(stack, options("toy"))
    with pytest.raises(InputError, match="map N bins to N bins"):
        student(stack._replace(layers=stack.layers[:1]), options())
    with pytest.raises(InputError, match="map N bins to N bins"):
        neural_couplings(stack._replace(layers=stack.layers[:1] * 2), options())
    with pytest.raises(InputError, match="map N bins to N bins"):
        untrained_couplings(stack._replace(layers=[]), options())
    with pytest.raises(InputError, match="frames >= 1"):
        neural_couplings(Stack(stack.layers, stack.inputs[:0], stack.outputs[:0]), options())
    with pytest.raises(InputError, match="frames >= 1"):
        neural_couplings(stack._replace(outputs=stack.outputs[:, :5]), options())
    with pytest.raises(InputError, match="zero in all frames"):
        neural_couplings(stack._replace(outputs=torch.zeros_like(stack.outputs)), options())
    with pytest.raises(InputError, match="loss is nan"):
        student(stack._replace(inputs=stack.inputs * math.nan), options())
