"""Definitions shared by the recurrent units on a CPU and on a GPU."""

from typing import Literal

import torch
from torch import Tensor

Residual = Literal["none", "recurrent", "output"]  # whether inputs are added within the recurrence or to the returned states


def needs_gradients(*tensors: Tensor) -> bool:
    """Whether a function of these tensors must save values for its backward pass, which PyTorch does not report inside it."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def without_last(frames: Tensor, n_frames: int) -> Tensor:
    """Return (B, T, ...) without the last `n_frames` frames."""
    return frames[:, : frames.shape[1] - n_frames]


def is_traced() -> bool:
    """Whether PyTorch is recording operations for an export. Control flow must then not depend on values."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
