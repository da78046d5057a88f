"""The local Jacobian of a whole network: how its output magnitudes respond to small changes of its input magnitudes, frame by frame.

For a network of ReLU layers on single frames it is M_L W_L ... M_1 W_1, where M_l selects the units that are active in a frame.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from madsep.core.errors import InputError


class Jacobian(NamedTuple):
    """Averages over estimated frames of J (N, N) = d output magnitude (row) / d input magnitude (column).

    A lag is the position of the input frame relative to the estimated one: -1 is the frame before.
    """

    within: Tensor  # (N, N), mean of J for the same frame (lag 0)
    within_magnitude: Tensor  # (N, N), mean of |J|, entry by entry
    within_energy: Tensor  # (N, N), mean of J^2, entry by entry
    across: Tensor  # (2L + 1,), float64: mean over frames of the sum of J^2 over all entries, for lags -L ... L
    beyond: float  # the same sum for all input frames farther away, up to the ends of the sequences
    magnitude_at: dict[int, Tensor]  # mean of |J| (N, N) at the requested lags


def local_jacobian(estimate: Callable[[Tensor], Tensor], mixture: Tensor, positions: Sequence[int], lags: Sequence[int] = ()) -> Jacobian:
    """Return the Jacobian of `estimate`, averaged over `positions` of all sequences of mixture magnitudes (B, T, N).

    `estimate` maps the mixture to estimated magnitudes (B, T - 2L, N), whose frame 0 belongs to input frame L. Sequences must not affect
    each other's estimates. `positions` are indices of estimated frames. `lags`, between -L and L, are the lags of `magnitude_at`. The cost
    is one backward pass per output bin and position, and memory for (3 + number of lags) N^2 numbers besides the network's. Raises
    InputError for shapes that do not fit and for positions and lags that do not exist.
    """
    mixture = mixture.detach().requires_grad_()
    # in evaluation mode, PyTorch's own recurrent layers have a backward pass, but cuDNN's do not
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        estimated = estimate(mixture)
        n_context = _check(tuple(mixture.shape), tuple(estimated.shape), positions, lags)
        sums = _Sums(mixture, n_context, lags)
        for position in positions:
            for output_bin in range(mixture.shape[2]):
                (rows,) = torch.autograd.grad(estimated[:, position, output_bin].sum(), mixture, retain_graph=True)
                sums.add(rows, position, output_bin)
    return sums.averages(len(positions) * len(mixture))


class _Sums:
    """Sums over the frames seen so far."""

    def __init__(self, mixture: Tensor, n_context: int, lags: Sequence[int]) -> None:
        n_bins = mixture.shape[2]
        self.n_context = n_context
        self.signed, self.magnitude, self.energy = mixture.new_zeros(3, n_bins, n_bins)
        self.across = mixture.new_zeros(2 * n_context + 1, dtype=torch.float64)
        self.beyond = mixture.new_zeros((), dtype=torch.float64)
        self.magnitude_at = {lag: mixture.new_zeros(n_bins, n_bins) for lag in lags}

    def add(self, rows: Tensor, position: int, output_bin: int) -> None:
        """Add the gradients (B, T, N) of one output bin at one position."""
        frame = position + self.n_context
        same = rows[:, frame]
        self.signed[output_bin] += same.sum(0)
        self.magnitude[output_bin] += same.abs().sum(0)
        self.energy[output_bin] += same.square().sum(0)
        energy = rows.square().sum((0, 2), dtype=torch.float64)
        end = frame + self.n_context + 1
        self.across += energy[position:end]
        self.beyond += energy[:position].sum() + energy[end:].sum()
        for lag, magnitude in self.magnitude_at.items():
            magnitude[output_bin] += rows[:, frame + lag].abs().sum(0)

    def averages(self, n_frames: int) -> Jacobian:
        """Return the sums divided by the number of frames."""
        within = (self.signed / n_frames, self.magnitude / n_frames, self.energy / n_frames)
        at = {lag: magnitude / n_frames for lag, magnitude in self.magnitude_at.items()}
        return Jacobian(*within, self.across / n_frames, float(self.beyond / n_frames), at)


def _check(mixture: tuple[int, ...], estimated: tuple[int, ...], positions: Sequence[int], lags: Sequence[int]) -> int:
    """Return L, the number of context frames on either side. Raises InputError as `local_jacobian` says."""
    fits = len(mixture) == len(estimated) == 3 and (mixture[0], mixture[2]) == (estimated[0], estimated[2]) and 0 not in estimated
    if not fits or (n_more := mixture[1] - estimated[1]) < 0 or n_more % 2:
        raise InputError(f"mixture has shape {mixture} and its estimate {estimated}; expected (B, T, N) and (B, T - 2L, N).")
    n_context = n_more // 2
    if not positions or not all(0 <= position < estimated[1] for position in positions):
        raise InputError(
            f"positions are {list(positions)}; expected at least one, each from 0 to {estimated[1] - 1}, the estimated frames."
        )
    if not all(abs(lag) <= n_context for lag in lags):
        raise InputError(f"lags are {list(lags)}; expected each between {-n_context} and {n_context}, the frames of context.")
    return n_context
