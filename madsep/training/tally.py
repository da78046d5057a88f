"""Losses and counts that steps accumulate on the device, so that no step waits for the host."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from madsep.models.gpu import kernels_serve


class Found(NamedTuple):
    """A tally copied to the host."""

    ended: bool  # whether a step was not finite; that step and later ones changed nothing
    n_steps: int  # number of the epoch's finite steps
    loss: float  # of the last finite step or, if there is one, of the step that was not finite
    norm: float  # of the same step's gradient
    sums: dict[str, float]  # of the epoch's losses, weighted by numbers of sequences


class Tally:
    """Sums of an epoch's losses, number of steps, and whether a step was not finite, in tensors that only change in place.

    `ended` becomes 1 with the first step that has a loss or gradient norm that is not finite. An optimiser that reads it as `found_inf`
    then no longer changes weights and moments, so the host later finds those of the last good step.
    """

    def __init__(self, losses: Sequence[str], device: torch.device) -> None:
        """`losses` are the names of the objective and its terms, as in the history."""
        self.losses = tuple(losses)
        self.ended = torch.zeros((), device=device)
        self.n_steps = torch.zeros((), dtype=torch.float64, device=device)
        self.last = torch.zeros(2, dtype=torch.float64, device=device)
        self.sums = torch.zeros(len(losses), dtype=torch.float64, device=device)

    @torch.no_grad()
    def add(self, losses: Tensor, norm: Tensor, n_sequences: int) -> None:
        """Count a step with the batch's losses (n,), its gradient's norm (scalar) and its number of sequences."""
        if kernels_serve(self.sums.device):
            add_by_kernel(self, losses, norm, n_sequences)
            return
        ended_before = self.ended > 0
        last = torch.stack([losses[0], norm]).double()
        ended = ended_before | ~last.isfinite().all()
        self.last.copy_(torch.where(ended_before, self.last, last))
        self.sums.copy_(torch.where(ended, self.sums, self.sums + n_sequences * losses.double()))
        self.n_steps.add_(~ended)
        self.ended.copy_(ended)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep steps within this block from changing anything."""
        ended = self.ended.clone()
        self.ended.fill_(1)
        try:
            yield
        finally:
            self.ended.copy_(ended)

    def read(self) -> Found:
        """Wait for all steps and copy the tally to the host."""
        ended, n_steps, loss, norm, *sums = torch.cat([torch.stack([self.ended.double(), self.n_steps]), self.last, self.sums]).tolist()
        return Found(bool(ended), int(n_steps), loss, norm, dict(zip(self.losses, sums, strict=True)))

    def set(self, n_steps: int, sums: dict[str, float]) -> None:
        """Begin an epoch with empty `sums`, or resume within one with the `sums` that `read` returned."""
        values = [sums[name] for name in self.losses] if sums else [0.0] * len(self.losses)
        self.ended.zero_()
        self.n_steps.fill_(n_steps)
        self.sums.copy_(torch.tensor(values, dtype=torch.float64))


def add_by_kernel(tally: Tally, losses: Tensor, norm: Tensor, n_sequences: int) -> None:
    """Do as `Tally.add` does, with one Triton kernel instead of two dozen operations on single numbers."""
    from madsep.training.target_kernels import count  # imports Triton

    count[(1,)](losses, norm, tally.ended, tally.n_steps, tally.last, tally.sums, n_sequences, len(tally.losses), 32)
