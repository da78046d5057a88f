"""The combination of a stack of dense layers and one free matrix per layer into a single matrix, with its gradients.

Mimilakis et al., IEEE/ACM TASLP 28, 2020, as in their public code (github.com/Js-Mim/nca_mss, modules/cls_mapping.py).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor

from madsep.core.errors import InputError
from madsep.couplings.options import Orientation
from madsep.models.stack import Stack

Layer = tuple[Tensor, Tensor]  # weight (out, in) and bias (out,)
Pullback = Callable[[Tensor], list[Tensor]]  # gradient with respect to a matrix -> gradients with respect to its free matrices


def compose(layers: Sequence[Layer], free: Sequence[Tensor], orientation: Orientation) -> tuple[Tensor, Pullback]:
    """Return C = C_L ... C_1 (N, N) and its pullback to the free matrices P_l (in, in), one per layer.

    C_l = ReLU(S_l) * W_l, entry by entry, with S_l = A_l P_l^T (`module`) or P_l A_l^T (`toy`), and A_l is `with_bias`. With G = dL/dC,

        dL/dC_l = (C_L ... C_{l+1})^T G (C_{l-1} ... C_1)^T,    dL/dS_l = dL/dC_l * W_l * 1[S_l > 0],

    dL/dP_l is (dL/dS_l)^T A_l (`module`) or dL/dS_l A_l (`toy`).
    """
    gates = [torch.relu(_gate(layer, matrix, orientation)) for layer, matrix in zip(layers, free, strict=True)]
    factors = [gate * weight for gate, (weight, _) in zip(gates, layers, strict=True)]
    products = list(accumulate(factors, lambda before, factor: factor @ before))

    def pullback(gradient: Tensor) -> list[Tensor]:
        gradients = []
        for index in reversed(range(len(layers))):
            weight, bias = layers[index]
            of_factor = gradient @ products[index - 1].T if index else gradient
            of_gate = of_factor * weight * (gates[index] > 0)
            gradients.append((of_gate.T if orientation == "module" else of_gate) @ with_bias(weight, bias))
            if index:
                gradient = factors[index].T @ gradient
        return gradients[::-1]

    return products[-1], pullback


def with_bias(weight: Tensor, bias: Tensor) -> Tensor:
    """Return A (out, in): the weight (out, in) plus the bias (out,) along the input index, W + 1 b^T, if the layer is square.

    This is the published arrangement, which requires as many outputs as inputs. In other layers, the bias is added to the weights of its
    own output, W + b 1^T.
    """
    n_outputs, n_inputs = weight.shape
    return weight + (bias if n_outputs == n_inputs else bias[:, None])


def _gate(layer: Layer, matrix: Tensor, orientation: Orientation) -> Tensor:
    """Return S (out, in) of one layer."""
    biased = with_bias(*layer)
    return biased @ matrix.T if orientation == "module" else matrix @ biased.T


def check_stack(stack: Stack, orientation: Orientation) -> None:
    """Raise InputError unless the layers map N bins to N bins and there are frames that fit the layers and each other."""
    shapes = [tuple(weight.shape) for weight, _ in stack.layers]
    widths = [n_inputs for _, n_inputs in shapes] + [n_outputs for n_outputs, _ in shapes[-1:]]
    fit = [n_outputs for n_outputs, _ in shapes] == widths[1:] and [tuple(bias.shape) for _, bias in stack.layers] == [
        (n,) for n in widths[1:]
    ]
    if not shapes or not fit or widths[0] != widths[-1]:
        raise InputError(f"the layers' weights have shapes {shapes} (out, in); expected layers that map N bins to N bins.")
    frames, outputs = tuple(stack.inputs.shape), tuple(stack.outputs.shape)
    if len(frames) != 2 or frames != outputs or frames[0] == 0 or frames[1] != widths[0]:
        raise InputError(f"inputs have shape {frames} and outputs {outputs}; expected (frames, {widths[0]}) for both, frames >= 1.")
    if orientation == "toy" and len(set(widths)) > 1:
        raise InputError(f"orientation 'toy' needs square layers, but these have {shapes} (out, in); use orientation 'module'.")
