"""Stacked recurrent layers with ratio masks inside the network (HEL1: Helal, Ward and Plumbley, SiSEC 2018).

HEL1's code was never released. Its description names a 5-layer recurrent network of size 129 with soft masks, extended to four sources from
github.com/andabi/music-source-separation, the base code, which follows Huang et al., IEEE/ACM TASLP 23(12), 2015. This module implements
the network of the base code, but with cuDNN's GRU equations, which apply the reset gate after the product, instead of TensorFlow's.
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
from madsep.models.recurrence import without_last
from madsep.systems.families.hel import HelFamily, HelLossSettings, HelSettings
from madsep.systems.sizes import Sizes

EPSILON = torch.finfo(torch.float64).eps  # in the masks' denominator, as in the base code


class HelOutput(NamedTuple):
    """Masks and masked mixtures, for B sequences, S sources, T - 2L frames and N bins."""

    masks: Tensor  # (B, S, T - 2L, N); they sum to 1 over the sources
    estimates: Tensor  # (B, S, T - 2L, N); they sum to the mixture's magnitude


class HelTerms(NamedTuple):
    """The term of the objective: a scalar, averaged over the sequences of a batch."""

    squared_error: Tensor


class HelLoss(NamedTuple):
    """The objective: a scalar."""

    total: Tensor


class Hel(Network):
    """Recurrent layers that start every sequence from a zero state, one dense ReLU layer per source, and ratio masks."""

    family = HelFamily()

    def __init__(self, settings: HelSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        widths = [sizes.n_bins] + [settings.n_hidden] * settings.n_layers
        self.layers = nn.ModuleList(Gru(n_inputs, settings.n_hidden) for n_inputs in widths[:-1])
        self.heads = nn.ModuleList(nn.Linear(settings.n_hidden, sizes.n_bins) for _ in range(sizes.n_sources))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot uniform matrices and set biases to zero: the defaults of TensorFlow and the base code, except gate biases of 1.

        Sequences have four frames. With gate biases of 1, a layer would pass on only 0.27 of the first frame, and five layers 0.0014.
        """
        initialise(self, generator, nn.init.xavier_uniform_)

    def forward(self, mixture: Tensor) -> HelOutput:
        """Estimate all sources' magnitudes from the mixture's, (B, T, N) -> (B, S, T - 2L, N)."""
        states = without_last(mixture, self.n_context)
        for layer in self.layers:
            states = layer(states)
        inner = states[:, self.n_context :]
        activations = torch.stack([torch.relu(head(inner)) for head in self.heads], 1).to(mixture.dtype)
        masks = ratio_masks(activations, EPSILON / len(self.heads))
        return HelOutput(masks, masks * without_context(mixture, self.n_context).unsqueeze(1))

    @staticmethod
    def terms(output: HelOutput, targets: Tensor, settings: HelLossSettings) -> HelTerms:
        """Return the squared error to `targets` (B, S, T - 2L, N), summed over sources and averaged over sequences, frames and bins.

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
