"""Print as JSON how far the GPU kernels deviate from PyTorch's operations. Run it with TRITON_INTERPRET=1, on a CPU in float32.

A deviation is the largest absolute difference, divided by the largest expected magnitude if that is above 1. This is a separate program
because Triton decides when it is imported whether it interprets kernels.
"""

import json
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from madsep.core.settings import Target
from madsep.models import gru_triton
from madsep.models.dense import _AlignedLinear, _Masking
from madsep.models.gru import Gru, recurrent_residual
from madsep.models.losses import _Divergence, generalised_kl
from madsep.models.recurrence import Residual, without_last
from madsep.training.tally import Tally, add_by_kernel
from madsep.training.targets import bounded, masked_features, training_target

# sequences, frames, inputs, units, directions
SIZES = ((1, 1, 1, 1, 1), (3, 7, 5, 4, 2), (17, 5, 24, 40, 1), (16, 3, 9, 260, 1), (40, 2, 9, 9, 2), (65, 2, 6, 70, 1))


def deviation(found: Tensor, expected: Tensor) -> float:
    if found.shape != expected.shape:
        return float("inf")
    return float((found - expected).detach().abs().max() / expected.detach().abs().max().clamp_min(1))


def with_gradients(outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Return the outputs, and the gradients of a weighted sum of them."""
    torch.manual_seed(7)
    total = sum((output * torch.randn(output.shape)).sum() for output in outputs)
    return [*outputs, *torch.autograd.grad(total, inputs)]


def largest(found: list[Tensor], expected: list[Tensor]) -> float:
    return max(map(deviation, found, expected))


def states_by_pytorch(gru: Gru, inputs: Tensor, residual: Residual) -> Tensor:
    if residual == "recurrent":
        return recurrent_residual(gru, inputs)
    states = nn.GRU.forward(gru, inputs)[0]
    return states + inputs if residual == "output" else states


def recurrence(size: tuple[int, ...], residual: Residual, n_unread: int = 0) -> float:
    n_sequences, n_frames, n_inputs, n_hidden, n_directions = size
    torch.manual_seed(n_frames)
    grus = [Gru(n_inputs, n_hidden) for _ in range(n_directions)]
    frames = torch.randn(n_frames, n_sequences, n_inputs, requires_grad=True)  # transposed in memory, as the states of a previous layer are
    inputs = frames.transpose(0, 1)

    def states() -> Tensor:
        return gru_triton.states(inputs, [list(gru.parameters()) for gru in grus], residual, n_unread, torch.float32)

    found = states()
    read = [without_last(in_order, n_unread) for in_order in (inputs, inputs.flip(1))]
    expected = torch.stack([states_by_pytorch(gru, given, residual) for gru, given in zip(grus, read, strict=False)], 2)
    wanted = [frames, *(parameter for gru in grus for parameter in gru.parameters())]
    with torch.no_grad():
        assert torch.equal(states(), found)
    return largest(with_gradients([found], wanted), with_gradients([expected], wanted))


def dense(n_inputs: int, n_outputs: int) -> float:
    torch.manual_seed(n_inputs)
    layer, inputs = nn.Linear(n_inputs, n_outputs), torch.randn(2, 3, n_inputs, requires_grad=True)
    wanted = [inputs, *layer.parameters()]
    found = with_gradients([_AlignedLinear.apply(inputs, layer.weight, layer.bias, torch.float32)], wanted)
    return largest(found, with_gradients([layer(inputs)], wanted))


def masking(n_inputs: int, n_outputs: int) -> float:
    torch.manual_seed(n_inputs)
    layer, inputs = nn.Linear(n_inputs, n_outputs), torch.randn(2, 3, n_inputs, requires_grad=True)
    magnitudes = torch.rand(2, 9, n_outputs, requires_grad=True)
    wanted, inner = [inputs, *layer.parameters(), magnitudes], magnitudes[:, 2:5]
    found = _Masking.apply(inputs, layer.weight, layer.bias, inner, torch.float32)
    mask = layer(inputs).relu()
    return largest(with_gradients(list(found), wanted), with_gradients([mask, mask * inner], wanted))


def divergence(n_bins: int) -> float:
    torch.manual_seed(n_bins)
    target, estimate = torch.rand(2, 3, n_bins), torch.rand(2, 3, n_bins, requires_grad=True)
    target[0, 0], target[:, :, 0] = 0, 1
    return largest(
        with_gradients([_Divergence.apply(target, estimate)], [estimate]), with_gradients([generalised_kl(target, estimate)], [estimate])
    )


def features(n_bins: int, clip: float | None) -> float:
    torch.manual_seed(n_bins)
    mixture, voice = torch.randn(2, 7, n_bins, dtype=torch.complex64), torch.randn(2, 3, n_bins, dtype=torch.complex64)
    mixture[0], voice[0, 0] = 0, 0
    settings, inner = Target(definition="irm_background", clip=clip, input_clip=clip), mixture[:, 2:5]
    target = training_target(inner.abs(), voice.abs(), (inner - voice).abs(), settings).unsqueeze(1)
    return largest(list(masked_features(mixture, voice, settings)), [bounded(mixture.abs(), clip), target])


def tally() -> float:
    """Return the deviation between both ways of tallying steps. The second loss, the third and the last norm are not finite."""
    norms = (1.0, 2.0, float("nan"), 3.0, float("inf"))
    by_kernel, by_pytorch = (Tally(("loss", "a", "b"), torch.device("cpu")) for _ in range(2))
    largest = 0.0
    for number, norm in enumerate(norms):
        losses = torch.tensor([1.0 + number, 0.1, 7.0 if number != 1 else float("nan")])
        add_by_kernel(by_kernel, losses, torch.tensor(norm), 3 + number)
        by_pytorch.add(losses, torch.tensor(norm), 3 + number)
        states = [torch.cat([one.ended[None], one.n_steps[None], one.last, one.sums]).nan_to_num(-1.0) for one in (by_kernel, by_pytorch)]
        largest = max(largest, deviation(*states))
    return largest


def not_finite() -> float:
    """Return 0 if NaN stays NaN through clips and masks, or else 1."""
    mixture = torch.full((1, 3, 5), torch.nan, dtype=torch.complex64)
    found = masked_features(mixture, mixture[:, 1:2], Target(definition="irm_background", clip=1.0, input_clip=1.0))
    layer = nn.Linear(4, 5)
    masked = _Masking.apply(torch.full((1, 1, 4), torch.nan), layer.weight, layer.bias, torch.ones(1, 1, 5), torch.float32)
    return float(not all(tensor.isnan().all() for tensor in (*found, *masked)))


def deviations() -> Iterator[tuple[str, float]]:
    for size in SIZES:
        yield f"recurrence {size}", recurrence(size, "none")
    for size in ((3, 7, 5, 5, 1), (17, 3, 40, 40, 2)):
        for residual in ("recurrent", "output"):
            yield f"recurrence {size} residual {residual}", recurrence(size, residual)
    for size, residual in (((3, 7, 5, 4, 2), "none"), ((2, 5, 9, 9, 2), "output"), ((4, 6, 8, 8, 1), "recurrent")):
        yield f"recurrence {size} residual {residual}, two frames unread", recurrence(size, residual, n_unread=2)
    for n_inputs, n_outputs in ((5, 7), (8, 16), (16, 9), (9, 1030)):
        yield f"dense {n_inputs} {n_outputs}", dense(n_inputs, n_outputs)
        yield f"masking {n_inputs} {n_outputs}", masking(n_inputs, n_outputs)
    for n_bins in (1, 1500):
        yield f"divergence {n_bins}", divergence(n_bins)
        yield f"features {n_bins}", features(n_bins, 1.0)
        yield f"features {n_bins} without clips", features(n_bins, None)
    yield "tally", tally()
    yield "not finite", not_finite()


if __name__ == "__main__":
    print(json.dumps(dict(deviations())))
