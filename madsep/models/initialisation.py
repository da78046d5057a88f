"""Initial weights that several families share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Draw = Callable[..., Tensor]


def initialise(network: nn.Module, generator: torch.Generator, of_weights: Draw, of_states: Draw | None = None) -> None:
    """Set all biases to zero and draw all other parameters, in the order of their names.

    `of_weights` and `of_states` are functions of torch.nn.init. `of_states` draws the matrices that GRUs apply to their state, with the
    gates stacked as one. If it is None, they are drawn like all others.
    """
    for name, parameter in network.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        elif of_states is not None and "weight_hh" in name:
            of_states(parameter, generator=generator)
        else:
            of_weights(parameter, generator=generator)
