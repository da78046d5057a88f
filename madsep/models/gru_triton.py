"""The recurrent unit on a GPU. Kernels compute frame after frame; products that need no earlier state cover all frames at once.

Products have bfloat16 factors and float32 sums. States, gates and gradients of states are float32. The two directions of an encoder run
at the same time. Nothing synchronises with the host, so that the whole run can be captured as a CUDA graph.
"""

from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from madsep.models.dense import column_sums, padded, product, rounded_up
from madsep.models.gru_backward_kernels import backward_frame
from madsep.models.gru_forward_kernels import forward_frame, lower
from madsep.models.recurrence import Residual, needs_gradients

LARGEST_INDEX = 2**31 - 1  # kernels use 32-bit offsets
TILE = 32  # rows and columns of a matrix that one program rounds


class Blocks(NamedTuple):
    """Block sizes of a frame's kernel: units and factors per program, slices of factors that its warps share, and stages of its loads."""

    units: int
    factors: int
    slices: int
    warps: int
    stages: int


# keyed by sequences per program; the fastest of those tried on an H200. With few sequences, latency limits a frame.
FORWARD = {16: Blocks(16, 128, 2, 2, 3), 32: Blocks(16, 64, 4, 4, 3), 64: Blocks(64, 64, 1, 8, 3)}
BACKWARD = {16: Blocks(16, 128, 2, 2, 4), 32: Blocks(16, 64, 4, 4, 4), 64: Blocks(32, 64, 1, 4, 4)}
OVERLAP_FROM = (9, 0)  # lowest compute capability at which a kernel may start before the previous one has ended


class Layout(NamedTuple):
    """Numbers of frames, sequences, inputs, units and directions, and whether gradients are needed."""

    n_frames: int  # that each direction reads
    n_unread: int  # that are left at each direction's end
    n_rows: int
    n_inputs: int
    n_hidden: int
    n_directions: int
    keep: bool

    @property
    def hidden(self) -> int:
        """The length of rows in low precision: the number of units, rounded up."""
        return rounded_up(self.n_hidden)

    @property
    def states(self) -> tuple[int, int, int, int]:
        """The shape of states."""
        return self.n_frames, self.n_rows, self.n_directions, self.n_hidden


def fits(inputs: Tensor, n_hidden: int, n_directions: int) -> bool:
    """Whether 32-bit offsets reach everything that the kernels read and store for inputs (B, T, F)."""
    n_sequences, n_frames, _ = inputs.shape
    kept = 5 * n_frames * n_sequences * n_directions * rounded_up(n_hidden)
    read = n_sequences * inputs.stride(0) + n_frames * inputs.stride(1)
    return max(kept, read) <= LARGEST_INDEX


def states(inputs: Tensor, weights: list[list[Tensor]], residual: Residual, n_unread: int = 0, low: torch.dtype = torch.bfloat16) -> Tensor:
    """Return the states (B, T - n_unread, D, H) of one or two directions for inputs (B, T, F). The second reads the last frame first.

    Each direction stops `n_unread` frames before its end. `weights` holds the parameters of `torch.nn.GRU` for each direction, and the
    equations are the same. Frame t of the second direction's states has read frames T - 1 ... T - 1 - t. `residual` says whether inputs
    (then F = H) are added within the recurrence or to the returned states. Factors of products are rounded to `low`.
    """
    tensors = [tensor for of_one in weights for tensor in of_one]
    keep = needs_gradients(inputs, *tensors)
    found: Tensor = _Recurrence.apply(inputs.transpose(0, 1), (residual, n_unread, low, keep), *tensors)  # type: ignore[no-untyped-call]
    return found.transpose(0, 1)


class _Recurrence(torch.autograd.Function):
    """The states (T - n_unread, B, D, H) as a differentiable function of inputs (T, B, F)."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, how: tuple[Residual, int, torch.dtype, bool], *weights: Tensor) -> Tensor:
        residual, n_unread, low, keep = how
        by_name = [weights[i::4] for i in range(4)]  # per direction: weight_ih, weight_hh, bias_ih, bias_hh
        n_frames, n_rows, n_inputs = inputs.shape
        layout = Layout(n_frames - n_unread, n_unread, n_rows, n_inputs, by_name[1][0].shape[1], len(by_name[0]), keep)
        frames, low_ih = _read(padded(inputs, low), layout), _low_inputs(by_name[0], layout, low)
        low_hh, low_hh_t = _low_recurrent(by_name[1], layout, low)
        projected = frames @ low_ih.transpose(1, 2)
        found = torch.empty(layout.states, device=inputs.device)
        low_states = found.new_empty(layout.n_directions, layout.n_frames, layout.n_rows, layout.hidden, dtype=low)
        slopes = found.new_empty(5, *layout.states) if layout.keep else found
        outputs = torch.empty_like(found) if residual == "output" else found
        biases = [torch.stack(of_one) if len(of_one) > 1 else of_one[0] for of_one in by_name[2:]]
        _forward((found, low_states, slopes, low_hh, projected, *biases), inputs, outputs, layout, residual)
        if keep:
            ctx.save_for_backward(frames, low_ih, low_hh_t, low_states, slopes)
            ctx.layout, ctx.residual = layout, residual
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames, low_ih, low_hh_t, low_states, slopes = ctx.saved_tensors
        layout: Layout = ctx.layout
        gradient = gradient if gradient.stride(3) == 1 else gradient.contiguous()
        totals = slopes.new_empty(layout.states)
        sums = frames.new_empty(*low_states.shape[:3], 4 * layout.hidden)
        _backward((sums, totals, low_hh_t, slopes, gradient), layout)
        of_weights, of_inputs = [], None
        for d in range(layout.n_directions):
            of_weights += _of_weights(sums[d], frames[d], low_states[d], layout, reversed_order=d == 1)
        if ctx.needs_input_grad[0]:
            added = {"none": None, "recurrent": totals, "output": gradient}[ctx.residual]
            of_inputs = _of_inputs(sums, low_ih, added, layout)
        return (of_inputs, None, *of_weights)


def _read(frames: Tensor, layout: Layout) -> Tensor:
    """Return views of the frames that each direction reads: (T B, F) -> (D, (T - n_unread) B, F)."""
    n_read, n_unread = layout.n_frames * layout.n_rows, layout.n_unread * layout.n_rows
    row = frames.shape[1]
    return frames.as_strided((layout.n_directions, n_read, row), (n_unread * row, row, 1))


def _low_inputs(weights: tuple[Tensor, ...], layout: Layout, low: torch.dtype) -> Tensor:
    """Return the input matrices (D, 3 hidden, F), rounded to `low` and padded."""
    if layout.hidden == layout.n_hidden and layout.n_inputs == rounded_up(layout.n_inputs):
        low_ih = weights[0].new_empty(len(weights), 3 * layout.hidden, layout.n_inputs, dtype=low)
    else:
        low_ih = weights[0].new_zeros(len(weights), 3 * layout.hidden, rounded_up(layout.n_inputs), dtype=low)
    for to, weight in zip(low_ih.unflatten(1, (3, -1)), weights, strict=True):
        to[:, : layout.n_hidden, : layout.n_inputs] = weight.unflatten(0, (3, -1))
    return low_ih


def _low_recurrent(weights: tuple[Tensor, ...], layout: Layout, low: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return the recurrent matrices as the kernels read them: (D, 3, H, hidden) forward and (D, H, 3, hidden) backward."""
    low_hh = weights[0].new_empty(len(weights), 3, layout.n_hidden, layout.hidden, dtype=low)
    low_hh_t = weights[0].new_empty(len(weights), layout.n_hidden, 3, layout.hidden, dtype=low) if layout.keep else low_hh
    n_tiles = triton.cdiv(layout.hidden, TILE)
    for d, weight in enumerate(weights):
        lower[(n_tiles, n_tiles, 3)](weight, low_hh, low_hh_t, d, layout.n_hidden, layout.hidden, layout.keep, TILE)
    return low_hh, low_hh_t


def _forward(tensors: tuple[Tensor, ...], inputs: Tensor, outputs: Tensor, layout: Layout, residual: Residual) -> None:
    added = inputs if inputs.stride(2) == 1 else inputs.contiguous()
    grid, options = _launch(layout, FORWARD, outputs.device)
    sizes = (layout.n_frames, layout.n_unread, layout.n_rows, added.stride(0), added.stride(1))
    for t in range(layout.n_frames):
        forward_frame[grid](*tensors, added, outputs, t, *sizes, KEEP=layout.keep, RESIDUAL=residual, **options)


def _backward(tensors: tuple[Tensor, ...], layout: Layout) -> None:
    grid, options = _launch(layout, BACKWARD, tensors[0].device)
    for t in reversed(range(layout.n_frames)):
        backward_frame[grid](*tensors, t, layout.n_frames, layout.n_rows, *tensors[-1].stride()[:3], **options)


def _launch(layout: Layout, by_rows: dict[int, Blocks], device: torch.device) -> tuple[tuple[int, int, int], dict[str, Any]]:
    """Return the grid of a frame's kernel and its compile-time sizes and launch options."""
    rows = next((most for most in by_rows if layout.n_rows <= most), max(by_rows))
    blocks = by_rows[rows]
    grid = (triton.cdiv(layout.hidden, blocks.units), layout.n_directions, triton.cdiv(layout.n_rows, rows))
    overlaps = device.type == "cuda" and torch.cuda.get_device_capability(device) >= OVERLAP_FROM
    sizes = {"H": layout.n_hidden, "HP": layout.hidden, "D": layout.n_directions}
    cut = {"BM": rows, "BN": blocks.units, "BK": blocks.factors, "KS": blocks.slices, "OVERLAPS": overlaps}
    return grid, sizes | cut | {"launch_pdl": overlaps, "num_warps": blocks.warps, "num_stages": blocks.stages}


def _of_weights(sums: Tensor, frames: Tensor, low_states: Tensor, layout: Layout, reversed_order: bool) -> list[Tensor]:
    """Return the gradients of a direction's parameters from `sums` (T, B, 4 hidden), the inputs, and the states (T, B, hidden)."""
    size, n_hidden = layout.hidden, layout.n_hidden
    of_ih = product(sums.flatten(0, 1)[:, size:].t(), frames)
    after, before = (sums[:-1], low_states[1:]) if reversed_order else (sums[1:], low_states[:-1])
    of_gates, states_before = after.flatten(0, 1), before.flatten(0, 1)
    of_hh = of_ih.new_empty(3 * size, size)
    product(of_gates[:, size : 3 * size].t(), states_before, of_hh[: 2 * size])
    product(of_gates[:, :size].t(), states_before, of_hh[2 * size :])
    of_bias = column_sums(sums.flatten(0, 1)).unflatten(0, (4, -1))[:, :n_hidden]  # W_hn h + b_hn, reset, update, new
    of_bias_hh = torch.cat((of_bias[1:3], of_bias[:1]))
    matrices = [of.unflatten(0, (3, -1))[:, :n_hidden] for of in (of_ih[:, : layout.n_inputs], of_hh[:, :n_hidden])]
    return [*(of.reshape(3 * n_hidden, -1) for of in matrices), of_bias[1:].reshape(-1), of_bias_hh.reshape(-1)]


def _of_inputs(sums: Tensor, low_ih: Tensor, added: Tensor | None, layout: Layout) -> Tensor:
    """Return the gradient of the inputs (T, B, F). It includes `added` (T, B, D, H), which is in each direction's order."""
    total: Tensor | None = None
    for d, (of_sums, weight) in enumerate(zip(sums, low_ih, strict=True)):
        part = product(of_sums.flatten(0, 1)[:, layout.hidden :], weight)[:, : layout.n_inputs].unflatten(0, (layout.n_frames, -1))
        if added is not None:
            part = part + (added[:, :, d].flip(0) if d else added[:, :, d])
        if layout.n_unread:
            part = functional.pad(part, (0, 0, 0, 0, *((layout.n_unread, 0) if d else (0, layout.n_unread))))
        total = part if total is None else total + part
    assert total is not None
    return total
