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

VOCALS, DRUMS, BASS, OTHER = range(4)  # the published cost treats each source in its own way; recipes name them in this order
BATCH_OF_SUM = 32  # sequences; the published error is a sum over batches of this size


class ChaOutput(NamedTuple):
    """What the network computes; B sequences, 4 sources (vocals, drums, bass, other), T frames, N bins."""

    decoded: Tensor  # (B, 4, T, N), before the masks
    masks: Tensor  # (B, 4, T, N), which sum to 1 over the sources
    estimates: Tensor  # (B, 4, T, N), magnitudes, which sum to the mixture's


class ChaTerms(NamedTuple):
    """Squared errors summed over a batch of 32 sequences; scalars, each a mean over this batch's sequences, times 32."""

    error: Tensor  # of vocals, drums and bass, each to its own target
    cross: Tensor  # of vocals, drums and bass, each to the targets of the two others
    other: Tensor  # of drums and bass to the target of `other`
    other_vocals: Tensor  # of vocals to the target of `other`


class ChaLoss(NamedTuple):
    """The objective and the terms that a history records; scalars."""

    total: Tensor
    error: Tensor
    cross: Tensor
    other: Tensor
    other_vocals: Tensor


class Cha(Network):
    """Convolutional encoder, one decoder per source, and ratio masks.

    The vertical filters span all bins, so that their convolution is one linear layer applied to each frame. The published code adds a
    second bias to either convolution, which lets the network compute nothing more; here each has one.
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
        """Matrices and filters Glorot uniform, biases zero: the defaults of the published code's library, Lasagne.

        The vertical filters are drawn as the filters (1, N) over one channel that they are there, within sqrt(6 / ((1 + n_filters) N)).
        """
        initialise(self, generator, nn.init.xavier_uniform_)
        nn.init.xavier_uniform_(self.vertical.weight.detach().unsqueeze(1), generator=generator)  # (filters, 1, N), the same memory

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
        """Transposed convolutions, without bias, with the encoder's weights: (B, 4, filters, steps) -> (B, 4, T, N)."""
        frames = functional.conv_transpose1d(of_sources.flatten(0, 1), self.horizontal.weight).transpose(1, 2)
        return torch.unflatten(functional.linear(frames, self.vertical.weight.t()), 0, of_sources.shape[:2])

    @staticmethod
    def terms(output: ChaOutput, targets: Tensor, settings: ChaLossSettings) -> ChaTerms:
        """Return what the objective takes from a batch; `targets` (B, 4, T, N), magnitudes of vocals, drums, bass and other.

        The published code sums over a batch of 32: the sums over this batch are rescaled to one, so that the objective keeps its size.
        """
        errors = output.estimates.unsqueeze(2) - targets.unsqueeze(1)  # (B, estimate, target, T, N)
        distance = errors.square().sum((-2, -1)).mean(0) * BATCH_OF_SUM
        modelled = distance[:OTHER, :OTHER]
        error = modelled.diagonal().sum()
        return ChaTerms(error, modelled.sum() - error, distance[DRUMS, OTHER] + distance[BASS, OTHER], distance[VOCALS, OTHER])

    def objective(self, terms: ChaTerms, settings: ChaLossSettings) -> ChaLoss:
        """Return the objective: the error, lowered by weighted dissimilarities, and then its absolute value, as the published code has it.

        `other` has no error term: as the estimates sum to the mixture, it is what the three others leave.
        """
        signed = terms.error - settings.alpha * terms.cross - settings.beta * terms.other - settings.beta_voc * terms.other_vocals
        return ChaLoss(signed.abs(), *terms)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the magnitudes (B, 4, T, N) of vocals, drums, bass and other from the mixture's (B, T, N)."""
        output: ChaOutput = self(mixture)
        return output.estimates
