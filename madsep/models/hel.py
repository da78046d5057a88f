"""Stacked recurrent layers with ratio masks inside the network (HEL1: Helal, Ward and Plumbley, SiSEC 2018).

HEL1's code was never released. Its description names a 5-layer recurrent network of size 129 with soft masks, extended to four sources from
github.com/andabi/music-source-separation, whose network this is (with cuDNN's equations of the GRU, where the reset gate applies after the
product, not TensorFlow's); that follows Huang et al., IEEE/ACM TASLP 23(12), 2015.
"""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Count, Separation, Settings
from madsep.models.gru import Gru
from madsep.models.initialisation import initialise
from madsep.systems.sizes import Sizes

METHOD = (
    "Stacked unidirectional recurrent layers (GRU) over short sequences of the mixture's magnitude; a dense layer (ReLU) for each source, "
    "whose ratios are soft masks, applied to the mixture within the network, so that the sources' magnitudes add up to the mixture's."
)
COST = "squared error summed over the sources"

EPSILON = torch.finfo(torch.float64).eps  # of the base code, in the masks' denominator


class HelSettings(Settings):
    """Sizes of the network."""

    n_layers: Count = Field(description="recurrent layers, one upon another")
    n_hidden: Count = Field(description="units of each")


class HelLossSettings(Settings):
    """Nothing to weigh: the objective is the squared error alone."""


class HelOutput(NamedTuple):
    """Masks and masked mixtures; B sequences, S sources, T - 2L frames, N bins."""

    masks: Tensor  # (B, S, T - 2L, N); they sum to 1 over the sources
    estimates: Tensor  # (B, S, T - 2L, N); they sum to the mixture's magnitude


class HelTerms(NamedTuple):
    """What the objective takes from a batch; a scalar, the mean over its sequences."""

    squared_error: Tensor


class HelLoss(NamedTuple):
    """The objective; a scalar."""

    total: Tensor


class Hel(nn.Module):
    """Recurrent layers, each from a zero state in every sequence, a dense ReLU layer for each source, and ratio masks."""

    sequences_independent = True

    def __init__(self, settings: HelSettings, sizes: Sizes) -> None:
        super().__init__()
        self.n_context = sizes.n_context
        widths = [sizes.n_bins] + [settings.n_hidden] * settings.n_layers
        self.layers = nn.ModuleList(Gru(n_inputs, settings.n_hidden) for n_inputs in widths[:-1])
        self.heads = nn.ModuleList(nn.Linear(settings.n_hidden, sizes.n_bins) for _ in range(sizes.n_sources))

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices Glorot uniform, biases zero: TensorFlow's defaults, which the base code leaves as they are, but for gates' biases of 1.

        With these each layer would pass on only 0.27 of what its first frame brings, and five layers 0.0014, of sequences of four frames.
        """
        initialise(self, nn.init.xavier_uniform_, generator)

    def forward(self, mixture: Tensor) -> HelOutput:
        """Estimate all sources' magnitudes from the mixture's, (B, T, N) -> (B, S, T - 2L, N)."""
        states = mixture
        for layer in self.layers:
            states = layer(states)
        context = slice(self.n_context, mixture.shape[1] - self.n_context)
        activations = torch.stack([torch.relu(head(states[:, context])) for head in self.heads], 1).to(mixture.dtype)
        masks = ratio_masks(activations)
        return HelOutput(masks, masks * mixture[:, context].unsqueeze(1))


def ratio_masks(activations: Tensor) -> Tensor:
    """Return each source's share of the non-negative activations (B, S, T, N); shares sum to 1 over the sources.

    The base code has y_i / (sum_j y_j + epsilon), which gives nothing to any source where all activations are zero. Here epsilon is handed
    out in equal parts, (y_i + epsilon / S) / (sum_j y_j + epsilon), so that such bins are shared equally and no energy is lost.
    """
    n_sources = activations.shape[1]
    return (activations + EPSILON / n_sources) / (activations.sum(1, keepdim=True) + EPSILON)


def hel_terms(output: HelOutput, targets: Tensor) -> HelTerms:
    """Return the squared error to `targets` (B, S, T - 2L, N), summed over the sources, the mean over all sequences, frames and bins.

    Raises InputError when the shapes differ.
    """
    if targets.shape != output.estimates.shape:
        raise InputError(f"targets have shape {tuple(targets.shape)} but the estimates have {tuple(output.estimates.shape)}.")
    return HelTerms((output.estimates - targets).square().sum(1).mean())


def hel_objective(network: Hel, terms: HelTerms, settings: HelLossSettings) -> HelLoss:
    """Return the objective: the squared error, as in the base code."""
    return HelLoss(terms.squared_error)


def hel_estimate(network: Hel, mixture: Tensor, separation: Separation) -> Tensor:
    """Return the sources' magnitudes (B, S, T - 2L, N) of mixture magnitudes (B, T, N), in the order of the recipe's sources."""
    output: HelOutput = network(mixture)
    return output.estimates
