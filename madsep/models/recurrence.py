"""What the forms of a recurrence share, on a CPU and on a GPU."""

from typing import Literal

import torch
from torch import Tensor

Residual = Literal["none", "recurrent", "output"]  # inputs added within the recurrence, or to the states when they are given out


def needs_gradients(*tensors: Tensor) -> bool:
    """Whether a function of these tensors has to keep what its way back needs: within the function PyTorch does not say."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def is_traced() -> bool:
    """Whether PyTorch records the operations for an exported network, which then must not depend on values."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
