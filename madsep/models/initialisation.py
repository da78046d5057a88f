"""Initial weights that several families share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def initialise(network: nn.Module, of_weights: Callable[..., Tensor], generator: torch.Generator) -> None:
    """Set all biases to zero and all other parameters by `of_weights`, one of torch.nn.init, in the order of their names."""
    for name, parameter in network.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
        else:
            of_weights(parameter, generator=generator)
