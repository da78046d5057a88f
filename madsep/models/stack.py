"""The dense layers of a network with their inputs and outputs."""

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn


class Stack(NamedTuple):
    """Dense ReLU layers as applied to the T frames of all sequences, concatenated, with N bins.

    `outputs` is the last layer's output or, if that is a mask, its product with `inputs`.
    """

    layers: list[tuple[Tensor, Tensor]]  # weight (out, in) and bias (out,), the first layer first
    inputs: Tensor  # (T, N), magnitudes that the first layer reads
    outputs: Tensor  # (T, N), magnitudes


def stack_of(layers: Iterable[nn.Module], inputs: Tensor, outputs: Tensor) -> Stack:
    """Return the stack of a network's `nn.Linear` layers, detached but not copied; `inputs` and `outputs` are (B, T, N)."""
    tensors = [(layer.get_parameter("weight").detach(), layer.get_parameter("bias").detach()) for layer in layers]
    return Stack(tensors, inputs.flatten(0, 1), outputs.flatten(0, 1))
