"""Losses of magnitudes (batch, frames, bins)."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from madsep.core.errors import InputError
from madsep.models.gpu import kernels_serve
from madsep.systems.families.mad import LatentNorm

FLOOR = 1e-6  # inside the logarithms, as in the published code
SIZE = 1024  # bins that a kernel processes at once
ORDERS: dict[LatentNorm, Any] = {"frobenius": "fro", "nuclear": "nuc", "induced_1": 1}  # as torch.linalg names them


def check_same_shape(target: Tensor, estimate: Tensor) -> None:
    """Raise InputError if the shapes differ, so that nothing is broadcast."""
    if target.shape != estimate.shape:
        raise InputError(f"target has shape {tuple(target.shape)} but the estimate has {tuple(estimate.shape)}; they must be equal")


def summed_norms(matrices: Tensor, kind: LatentNorm, dtype: torch.dtype) -> Tensor:
    """Return the sum of the norms of B matrices (B, frames, units): a scalar of type `dtype`.

    `l1`: sum of absolute entries. `frobenius`: root of the sum of squared entries. `nuclear`: sum of singular values. `induced_1`: largest
    sum of absolute entries over a unit's frames (Horn and Johnson, Matrix Analysis, 2013, 5.6).
    """
    if kind == "l1":
        return matrices.abs().sum(dtype=dtype)
    norms: Tensor = torch.linalg.matrix_norm(matrices.to(dtype), ORDERS[kind])
    return norms.sum()


def generalised_kl(target: Tensor, estimate: Tensor) -> Tensor:
    """Return the generalised Kullback-Leibler divergence, summed over bins and averaged over batch and frames: a scalar.

    sum_f y (log(y + 1e-6) - log(y' + 1e-6)) + y' - y, for target y and estimate y' (Mimilakis et al., ICASSP 2018, Eq. 9).
    Raises InputError if the shapes differ.
    """
    check_same_shape(target, estimate)
    single = target.dtype == estimate.dtype == torch.float32
    if single and kernels_serve(estimate.device) and not target.requires_grad:
        divergence: Tensor = _Divergence.apply(target, estimate)  # type: ignore[no-untyped-call]
        return divergence
    ratio = torch.log(target + FLOOR) - torch.log(estimate + FLOOR)
    return (target * ratio + (estimate - target)).sum(-1).mean()


def floored_kl(target: Tensor, estimate: Tensor) -> Tensor:
    """Return the divergence of `generalised_kl` with the floor added to target and estimate outside the logarithms too: a scalar.

    sum_f (y + 1e-6) (log(y + 1e-6) - log(y' + 1e-6)) + y' - y (Mimilakis et al., MLSP 2017, published code). Raises InputError if the
    shapes differ.
    """
    check_same_shape(target, estimate)
    target, estimate = target + FLOOR, estimate + FLOOR
    return (target * (target.log() - estimate.log()) + estimate - target).sum(-1).mean()


class _Divergence(torch.autograd.Function):
    """`generalised_kl` by one kernel, which also stores the derivative 1 - y / (y' + 1e-6) for the backward pass."""

    @staticmethod
    def forward(ctx: Any, target: Tensor, estimate: Tensor) -> Tensor:
        from madsep.models import fused_kernels  # imports Triton

        target, estimate = target.contiguous(), estimate.contiguous()
        n_bins = target.shape[-1]
        n_rows = target.numel() // n_bins
        gradient, sums = torch.empty_like(estimate), estimate.new_empty(n_rows)
        fused_kernels.divergence[(n_rows,)](target, estimate, gradient, sums, 1 / n_rows, n_bins, FLOOR, SIZE)
        ctx.save_for_backward(gradient)
        return sums.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[None, Tensor]:
        (gradient,) = ctx.saved_tensors
        return None, gradient * scale
