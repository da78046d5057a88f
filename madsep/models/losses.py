"""Loss primitives on magnitudes (batch, frames, bins)."""

import torch
from torch import Tensor

from madsep.core.errors import InputError

FLOOR = 1e-6  # inside the logarithms, as the published code has it


def check_same_shape(target: Tensor, estimate: Tensor) -> None:
    """Raise InputError if the shapes differ, so that nothing is broadcast."""
    if target.shape != estimate.shape:
        raise InputError(f"target has shape {tuple(target.shape)} but the estimate has {tuple(estimate.shape)}; they must be equal")


def generalised_kl(target: Tensor, estimate: Tensor) -> Tensor:
    """Generalised Kullback-Leibler divergence, summed over bins and averaged over batch and frames: a scalar.

    sum_f y (log(y + 1e-6) - log(y' + 1e-6)) + y' - y, for target y and estimate y' (Mimilakis et al., ICASSP 2018, Eq. 9).
    Raises InputError if the shapes differ.
    """
    check_same_shape(target, estimate)
    ratio = torch.log(target + FLOOR) - torch.log(estimate + FLOOR)
    return (target * ratio + (estimate - target)).sum(-1).mean()
