"""The dense layers of a network, with what they read and what they make of it."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn


class Stack(NamedTuple):
    """Dense ReLU layers as they were applied to the T frames of all sequences, one sequence after the other; N bins.

    `outputs` is what the last layer gives or, if that is a mask, its product with `inputs`.
    """

    layers: list[tuple[Tensor, Tensor]]  # weight (out, in) and bias (out,), the first layer first
    inputs: Tensor  # (T, N), magnitudes that the first layer sees
    outputs: Tensor  # (T, N), magnitudes


def stack_of(layers: Iterable[nn.Module], inputs: Tensor, outputs: Tensor) -> Stack:
    """Return the stack of a network's own `nn.Linear` layers, not copied, without gradients; `inputs` and `outputs` are (B, T, N)."""
    tensors = [(layer.get_parameter("weight").detach(), layer.get_parameter("bias").detach()) for layer in layers]
    return Stack(tensors, inputs.flatten(0, 1), outputs.flatten(0, 1))
