"""DeepConvSep: Chandna et al., LVA/ICA 2017, after its published code (github.com/MTG/DeepConvSep, examples/dsd100/trainCNN.py)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from madsep.core.settings import Separation
from madsep.models.initialisation import initialise
from madsep.models.masks import ratio_masks
from madsep.models.network import Network
from madsep.systems.families.cha import ChaFamily, ChaLossSettings, ChaSettings
from madsep.systems.sizes import Sizes

VOCALS, DRUMS, BASS, OTHER = range(4)  # the published cost treats each source differently; recipes name them in this order
BATCH_OF_SUM = 32  # sequences per batch over which the published code sums the error


class ChaOutput(NamedTuple):
    """Outputs of the network, for B sequences, 4 sources (vocals, drums, bass, other), T frames and N bins."""

    decoded: Tensor  # (B, 4, T, N), before the masks
    masks: Tensor  # (B, 4, T, N), which sum to 1 over the sources
    estimates: Tensor  # (B, 4, T, N), magnitudes, which sum to the mixture's


class ChaTerms(NamedTuple):
    """Squared errors as sums over a batch of 32 sequences: scalars, 32 times the mean over this batch's sequences."""

    error: Tensor  # of vocals, drums and bass, each against its own target
    cross: Tensor  # of vocals, drums and bass, each against the targets of the two others
    other: Tensor  # of drums and bass against the target of `other`
    other_vocals: Tensor  # of vocals against the target of `other`


class ChaLoss(NamedTuple):
    """The objective and the terms recorded in the history: scalars."""

    total: Tensor
    error: Tensor
    cross: Tensor
    other: Tensor
    other_vocals: Tensor


class Cha(Network):
    """Convolutional encoder, one decoder per source, and ratio masks.

    The vertical filters span all bins, so their convolution is one linear layer applied to each frame. The published code adds a second,
    redundant bias to both convolutions. Here each has one.
    """

    family = ChaFamily()

    def __init__(self, settings: ChaSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        n_encoded = settings.n_horizontal_filters * (sizes.n_frames - settings.n_horizontal_frames + 1)
        self.vertical = nn.Linear(sizes.n_bins, settings.n_vertical_filters)
        self.horizontal = nn.Conv1d(settings.n_vertical_filters, settings.n_horizontal_filters, settings.n_horizontal_frames)
        self.hidden = nn.Linear(n_encoded, settings.n_hidden)
        self.sources = nn.ModuleList(nn.Linear(settings.n_hidden, n_encoded) for _ in range(3 if settings.legacy_bug else 4))
        self.output_bias = nn.Parameter(torch.zeros(4, 1, 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot uniform matrices and filters and set biases to zero, the defaults of Lasagne, which the published code uses.

        There the vertical filters have shape (1, N) over one channel, so they are drawn within sqrt(6 / ((1 + n_filters) N)).
        """
        initialise(self, generator, nn.init.xavier_uniform_)
        nn.init.xavier_uniform_(self.vertical.weight.detach().unsqueeze(1), generator=generator)  # a view (filters, 1, N)

    def forward(self, mixture: Tensor) -> ChaOutput:
        """Estimate the four sources' magnitudes from the mixture's, (B, T, N) -> (B, 4, T, N)."""
        encoded = self.horizontal(self.vertical(mixture).transpose(1, 2))
        hidden = torch.relu(self.hidden(encoded.flatten(1)))
        of_sources = [torch.relu(layer(hidden)) for layer in self.sources]
        if self.settings.legacy_bug:
            of_sources.append(of_sources[BASS])
        decoded = self._decode(torch.unflatten(torch.stack(of_sources, 1), 2, encoded.shape[1:])).to(mixture.dtype)
        decoded = torch.relu(decoded + self.output_bias)
        masks = ratio_masks(decoded, self.settings.mask_floor)
        return ChaOutput(decoded, masks, masks * mixture.unsqueeze(1))

    def _decode(self, of_sources: Tensor) -> Tensor:
        """Apply transposed convolutions with the encoder's weights and no bias: (B, 4, filters, steps) -> (B, 4, T, N)."""
        frames = functional.conv_transpose1d(of_sources.flatten(0, 1), self.horizontal.weight).transpose(1, 2)
        return torch.unflatten(functional.linear(frames, self.vertical.weight.t()), 0, of_sources.shape[:2])

    @staticmethod
    def terms(output: ChaOutput, targets: Tensor, settings: ChaLossSettings) -> ChaTerms:
        """Return the terms of the objective for a batch; `targets` (B, 4, T, N) are the magnitudes of vocals, drums, bass and other.

        The published code sums over a batch of 32. The sums over this batch are rescaled to 32 sequences, so the objective keeps its size.
        """
        errors = output.estimates.unsqueeze(2) - targets.unsqueeze(1)  # (B, estimate, target, T, N)
        distance = errors.square().sum((-2, -1)).mean(0) * BATCH_OF_SUM
        modelled = distance[:OTHER, :OTHER]
        error = modelled.diagonal().sum()
        return ChaTerms(error, modelled.sum() - error, distance[DRUMS, OTHER] + distance[BASS, OTHER], distance[VOCALS, OTHER])

    def objective(self, terms: ChaTerms, settings: ChaLossSettings) -> ChaLoss:
        """Return the objective: the absolute value of the error minus the weighted dissimilarity terms, as in the published code.

        `other` has no error term. Because the estimates sum to the mixture, it is what the other three leave.
        """
        signed = terms.error - settings.alpha * terms.cross - settings.beta * terms.other - settings.beta_voc * terms.other_vocals
        return ChaLoss(signed.abs(), *terms)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the magnitudes (B, 4, T, N) of vocals, drums, bass and other from the mixture's (B, T, N)."""
        output: ChaOutput = self(mixture)
        return output.estimates
