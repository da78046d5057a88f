"""DeepConvSep: Chandna et al., LVA/ICA 2017, after its published code (github.com/MTG/DeepConvSep, examples/dsd100/trainCNN.py)."""

from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from madsep.core.errors import InputError
from madsep.core.settings import Count, Separation, Settings, Weight
from madsep.models.initialisation import initialise
from madsep.systems.sizes import Sizes

VOCALS, DRUMS, BASS, OTHER = range(4)  # the published cost treats each source in its own way; recipes name them in this order
BATCH_OF_SUM = 32  # sequences; the published error is a sum over batches of this size
METHOD = (
    "DeepConvSep: a convolution over all bins of a frame, a convolution over time and a layer of few units encode a sequence; one layer "
    "per source and the transposed convolutions, with the same weights, decode it. Ratio masks of the decoded sources filter the mixture."
)
COST = "squared error of the sources with terms that push them apart"


class ChaSettings(Settings):
    """Sizes of the network, and the published code's slip."""

    n_vertical_filters: Count = Field(description="filters over all bins of one frame")
    n_horizontal_filters: Count = Field(description="filters over time")
    n_horizontal_frames: Count = Field(description="frames that a filter over time spans")
    n_hidden: Count = Field(description="units of the layer that all sources share")
    mask_floor: Annotated[float, Field(gt=0)] = Field(description="added to each source's output before the masks are formed")
    legacy_bug: bool = Field(description="`other` is decoded from the bass's layer instead of its own, as in the published code")


class ChaLossSettings(Settings):
    """Weights of the dissimilarities that the error is lowered by."""

    alpha: Weight = Field(description="of an estimate among vocals, drums and bass to the targets of the two others")
    beta: Weight = Field(description="of the estimates of drums and bass to the target of `other`")
    beta_voc: Weight = Field(description="of the estimate of vocals to the target of `other`")


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


class Cha(nn.Module):
    """Convolutional encoder, one decoder per source, and ratio masks.

    The vertical filters span all bins, so that their convolution is one linear layer applied to each frame. The published code adds a
    second bias to either convolution, which lets the network compute nothing more; here each has one.
    """

    def __init__(self, settings: ChaSettings, sizes: Sizes) -> None:
        """Raise InputError where the sizes do not fit each other."""
        super().__init__()
        n_steps = sizes.n_frames - settings.n_horizontal_frames + 1
        if sizes.n_context:
            raise InputError(f"family cha estimates all frames of a sequence; segments.n_context is {sizes.n_context}, expected 0.")
        if sizes.n_sources != 4:
            raise InputError(f"family cha estimates vocals, drums, bass and other; expected 4 sources, not {sizes.n_sources}.")
        if n_steps < 1:
            raise InputError(
                f"n_horizontal_frames is {settings.n_horizontal_frames}; expected at most the {sizes.n_frames} frames of a sequence."
            )
        self.settings = settings
        n_encoded = settings.n_horizontal_filters * n_steps
        self.vertical = nn.Linear(sizes.n_bins, settings.n_vertical_filters)
        self.horizontal = nn.Conv1d(settings.n_vertical_filters, settings.n_horizontal_filters, settings.n_horizontal_frames)
        self.hidden = nn.Linear(n_encoded, settings.n_hidden)
        self.sources = nn.ModuleList(nn.Linear(settings.n_hidden, n_encoded) for _ in range(3 if settings.legacy_bug else 4))
        self.output_bias = nn.Parameter(torch.zeros(4, 1, 1))

    @property
    def sequences_independent(self) -> bool:
        """Whether no sequence's result depends on the others of its batch."""
        return True

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices and filters Glorot uniform, biases zero: the defaults of the published code's library, Lasagne.

        The vertical filters are drawn as the filters (1, N) over one channel that they are there, within sqrt(6 / ((1 + n_filters) N)).
        """
        initialise(self, nn.init.xavier_uniform_, generator)
        nn.init.xavier_uniform_(self.vertical.weight.detach().unsqueeze(1), generator=generator)  # (filters, 1, N), the same memory

    def forward(self, mixture: Tensor) -> ChaOutput:
        """Estimate the four sources' magnitudes from the mixture's, (B, T, N) -> (B, 4, T, N)."""
        encoded = self.horizontal(self.vertical(mixture).transpose(1, 2))
        hidden = torch.relu(self.hidden(encoded.flatten(1)))
        of_sources = [torch.relu(layer(hidden)) for layer in self.sources]
        if self.settings.legacy_bug:
            of_sources.append(of_sources[BASS])
        decoded = self._decode(torch.stack(of_sources, 1).unflatten(2, encoded.shape[1:])).to(mixture.dtype)
        decoded = torch.relu(decoded + self.output_bias)
        floored = decoded + self.settings.mask_floor
        masks = floored / floored.sum(1, keepdim=True)
        return ChaOutput(decoded, masks, masks * mixture.unsqueeze(1))

    def _decode(self, of_sources: Tensor) -> Tensor:
        """Transposed convolutions, without bias, with the encoder's weights: (B, 4, filters, steps) -> (B, 4, T, N)."""
        frames = functional.conv_transpose1d(of_sources.flatten(0, 1), self.horizontal.weight).transpose(1, 2)
        return functional.linear(frames, self.vertical.weight.t()).unflatten(0, of_sources.shape[:2])


def cha_terms(output: ChaOutput, targets: Tensor) -> ChaTerms:
    """Return what the objective takes from a batch; `targets` (B, 4, T, N), magnitudes of vocals, drums, bass and other.

    The published code sums over a batch of 32: the sums over this batch are rescaled to one, so that the objective keeps its size.
    """
    distance = (output.estimates.unsqueeze(2) - targets.unsqueeze(1)).square().sum((-2, -1)).mean(0) * BATCH_OF_SUM  # (estimate, target)
    modelled = distance[:OTHER, :OTHER]
    error = modelled.diagonal().sum()
    return ChaTerms(error, modelled.sum() - error, distance[DRUMS, OTHER] + distance[BASS, OTHER], distance[VOCALS, OTHER])


def cha_objective(network: Cha, terms: ChaTerms, settings: ChaLossSettings) -> ChaLoss:
    """Return the objective: the error, lowered by weighted dissimilarities, and then its absolute value, as the published code has it.

    `other` has no error of its own; as the estimates sum to the mixture, it is what the three others leave.
    """
    signed = terms.error - settings.alpha * terms.cross - settings.beta * terms.other - settings.beta_voc * terms.other_vocals
    return ChaLoss(signed.abs(), *terms)


def cha_estimate(network: Cha, mixture: Tensor, separation: Separation) -> Tensor:
    """Return the magnitudes (B, 4, T, N) of vocals, drums, bass and other from the mixture's (B, T, N)."""
    estimates: Tensor = network(mixture).estimates
    return estimates
