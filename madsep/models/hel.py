"""Stacked recurrent layers with ratio masks inside the network (HEL1: Helal, Ward and Plumbley, SiSEC 2018).

HEL1's code was never released. Its description names a 5-layer recurrent network of size 129 with soft masks, extended to four sources from
github.com/andabi/music-source-separation, whose network this is (with cuDNN's equations of the GRU, where the reset gate applies after the
product, not TensorFlow's); that follows Huang et al., IEEE/ACM TASLP 23(12), 2015.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.settings import Separation
from madsep.models.gru import Gru
from madsep.models.initialisation import initialise
from madsep.models.losses import check_same_shape
from madsep.models.masks import ratio_masks
from madsep.models.network import Network, without_context
from madsep.systems.families.hel import HelFamily, HelLossSettings, HelSettings
from madsep.systems.sizes import Sizes

EPSILON = torch.finfo(torch.float64).eps  # of the base code, in the masks' denominator


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


class Hel(Network):
    """Recurrent layers, each from a zero state in every sequence, a dense ReLU layer for each source, and ratio masks."""

    family = HelFamily()

    def __init__(self, settings: HelSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        widths = [sizes.n_bins] + [settings.n_hidden] * settings.n_layers
        self.layers = nn.ModuleList(Gru(n_inputs, settings.n_hidden) for n_inputs in widths[:-1])
        self.heads = nn.ModuleList(nn.Linear(settings.n_hidden, sizes.n_bins) for _ in range(sizes.n_sources))

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices Glorot uniform, biases zero: TensorFlow's defaults, which the base code leaves as they are, except gates' biases of 1.

        With these each layer would pass on only 0.27 of what its first frame brings, and five layers 0.0014, of sequences of four frames.
        """
        initialise(self, generator, nn.init.xavier_uniform_)

    def forward(self, mixture: Tensor) -> HelOutput:
        """Estimate all sources' magnitudes from the mixture's, (B, T, N) -> (B, S, T - 2L, N)."""
        states = mixture
        for layer in self.layers:
            states = layer(states)
        inner = without_context(states, self.n_context)
        activations = torch.stack([torch.relu(head(inner)) for head in self.heads], 1).to(mixture.dtype)
        masks = ratio_masks(activations, EPSILON / len(self.heads))
        return HelOutput(masks, masks * without_context(mixture, self.n_context).unsqueeze(1))

    @staticmethod
    def terms(output: HelOutput, targets: Tensor, settings: HelLossSettings) -> HelTerms:
        """Return the squared error to `targets` (B, S, T - 2L, N), summed over the sources, the mean over all sequences, frames and bins.

        Raises InputError if the shapes differ.
        """
        check_same_shape(targets, output.estimates)
        return HelTerms((output.estimates - targets).square().sum(1).mean())

    def objective(self, terms: HelTerms, settings: HelLossSettings) -> HelLoss:
        """Return the objective: the squared error, as in the base code."""
        return HelLoss(terms.squared_error)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the sources' magnitudes (B, S, T - 2L, N) of mixture magnitudes (B, T, N), in the order of the recipe's sources."""
        output: HelOutput = self(mixture)
        return output.estimates
