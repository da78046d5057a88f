"""The local Jacobian against closed forms."""

import pytest
import torch
from torch import Tensor

from madsep.core.errors import InputError
from madsep.couplings.jacobian import local_jacobian
from madsep.models.gru import Gru

DOUBLE = torch.float64


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def relu_layers(n_bins: int, n_layers: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    return [(random(n_bins, n_bins, seed=seed + n), random(n_bins, seed=seed - n - 1)) for n in range(n_layers)]


def masked_product(layers: list[tuple[Tensor, Tensor]], frame: Tensor) -> tuple[Tensor, Tensor]:
    """The last layer's output for one frame, and M_L W_L ... M_1 W_1."""
    product = torch.eye(len(frame), dtype=DOUBLE)
    for weight, bias in layers:
        frame = weight @ frame + bias
        product = torch.diag((frame > 0).double()) @ weight @ product
        frame = frame.clamp_min(0)
    return frame, product


@pytest.mark.parametrize("skip_filter", [False, True])
@pytest.mark.parametrize(("n_bins", "n_layers", "seed"), [(5, 2, 0), (9, 2, 1), (6, 4, 2)])
def test_layers_on_single_frames_have_a_closed_form(n_bins: int, n_layers: int, seed: int, skip_filter: bool) -> None:
    layers, mixture = relu_layers(n_bins, n_layers, seed), random(3, 4, n_bins, seed=seed).abs()

    def estimate(frames: Tensor) -> Tensor:
        decoded = frames
        for weight, bias in layers:
            decoded = torch.relu(decoded @ weight.T + bias)
        return decoded * frames if skip_filter else decoded

    positions = [0, 2]
    truths = []
    for frame in mixture[:, positions].flatten(0, 1):
        decoded, product = masked_product(layers, frame)
        truths.append(torch.diag(decoded) + torch.diag(frame) @ product if skip_filter else product)
    truth = torch.stack(truths)
    found = local_jacobian(estimate, mixture, positions)
    assert truth.abs().max() > 0.1
    torch.testing.assert_close(found.within, truth.mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.within_magnitude, truth.abs().mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.within_energy, truth.square().mean(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(found.across, truth.square().sum((1, 2)).mean()[None])
    assert found.beyond == 0


@pytest.mark.parametrize(("n_context", "seed"), [(1, 0), (3, 1)])
def test_a_filter_over_frames_is_found_at_its_lags(n_context: int, seed: int) -> None:
    """y_t = sum over lags of K_lag x_{t + lag}, plus a tenth of the sequence's mean in every frame."""
    n_bins, n_frames = 4, 4 + 2 * n_context
    kernels = random(2 * n_context + 1, n_bins, n_bins, seed=seed)
    mixture = random(2, n_frames, n_bins, seed=seed).abs()

    def estimate(frames: Tensor) -> Tensor:
        n_estimated = n_frames - 2 * n_context
        filtered = sum(frames[:, lag : lag + n_estimated] @ kernel.T for lag, kernel in enumerate(kernels))
        return filtered + 0.1 * frames.mean(1, keepdim=True)  # type: ignore[return-value]

    spread = 0.1 / n_frames * torch.eye(n_bins, dtype=DOUBLE)
    found = local_jacobian(estimate, mixture, [1, 3], lags=[-1, 0, n_context])
    torch.testing.assert_close(found.within, kernels[n_context] + spread)
    torch.testing.assert_close(found.across, (kernels + spread).square().sum((1, 2)))
    assert found.beyond == pytest.approx(3 * float(spread.square().sum()))
    assert list(found.magnitude_at) == [-1, 0, n_context]
    torch.testing.assert_close(found.magnitude_at[-1], (kernels[n_context - 1] + spread).abs())
    torch.testing.assert_close(found.magnitude_at[0], found.within_magnitude)
    torch.testing.assert_close(found.magnitude_at[n_context], (kernels[-1] + spread).abs())


def test_a_recurrent_network_has_the_jacobian_of_finite_differences() -> None:
    """In evaluation, without gradients of its weights, as trained networks are used."""
    network = Gru(3, 3).double().eval().requires_grad_(False)
    mixture = random(2, 6, 3, seed=5).abs()

    def estimate(frames: Tensor) -> Tensor:
        return network(frames)[:, 2:-2] * frames[:, 2:-2]

    with torch.no_grad():  # the caller's; the Jacobian turns gradients on for itself
        found = local_jacobian(estimate, mixture, [1], lags=[-1, 1])
    truth = torch.zeros(3, 3, 3, 2, dtype=DOUBLE)  # lag -1, 0, 1; output; input; sequence
    for lag in (-1, 0, 1):
        for input_bin in range(3):
            step = torch.zeros_like(mixture)
            step[:, 3 + lag, input_bin] = 1e-6
            truth[lag + 1, :, input_bin] = ((estimate(mixture + step) - estimate(mixture - step))[:, 1] / 2e-6).T
    torch.testing.assert_close(found.within, truth[1].mean(-1), rtol=0, atol=1e-8)
    torch.testing.assert_close(found.magnitude_at[-1], truth[0].abs().mean(-1), rtol=0, atol=1e-8)
    torch.testing.assert_close(found.across[1:4], truth.square().sum((1, 2)).mean(-1), rtol=0, atol=1e-8)
    assert found.magnitude_at[1].count_nonzero() == 0, "a later frame changes nothing"
    assert found.magnitude_at[-1].abs().max() > 1e-3
    assert found.beyond > 0


def test_the_mixture_is_not_changed_and_sequences_may_come_in_parts() -> None:
    layers, mixture = relu_layers(4, 2, 3), random(4, 3, 4, seed=3).abs()
    before = mixture.clone()

    def estimate(frames: Tensor) -> Tensor:
        return torch.relu(frames @ layers[0][0].T + layers[0][1])

    whole, halves = local_jacobian(estimate, mixture, [1]), [local_jacobian(estimate, half, [1]) for half in mixture.split(2)]
    torch.testing.assert_close(whole.within_energy, (halves[0].within_energy + halves[1].within_energy) / 2)
    assert torch.equal(mixture, before)
    assert not mixture.requires_grad


def test_what_is_not_there_is_refused() -> None:
    mixture = torch.ones(1, 5, 2)
    with pytest.raises(InputError, match=r"expected \(B, T, N\) and \(B, T - 2L, N\)"):
        local_jacobian(lambda frames: frames[:, 1:], mixture, [0])
    with pytest.raises(InputError, match=r"expected \(B, T, N\) and \(B, T - 2L, N\)"):
        local_jacobian(lambda frames: frames[:, None], mixture, [0])
    for positions in ([], [3], [-1]):
        with pytest.raises(InputError, match="each from 0 to 2, the estimated frames"):
            local_jacobian(lambda frames: frames[:, 1:-1], mixture, positions)
    with pytest.raises(InputError, match="each between -1 and 1"):
        local_jacobian(lambda frames: frames[:, 1:-1], mixture, [0], lags=[2])
