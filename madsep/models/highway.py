"""Highway network on single frames (MIM-HW): Mimilakis et al., AES Workshop on Intelligent Music Production 2016."""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Count, Separation, Settings
from madsep.models.losses import generalised_kl
from madsep.systems.sizes import Sizes

METHOD = (
    "Highway network: layers as wide as the spectrum, each of which mixes a ReLU transform of a single frame with the frame itself by a "
    "learned gate; the first layer carries the mixture's magnitude, so that the carried part is a filter of it."
)
COST = "generalised Kullback-Leibler divergence"


class HighwaySettings(Settings):
    """Sizes of the network."""

    n_layers: Count
    transform_bias: float = Field(description="initial bias of the transform gates; the more negative, the nearer each layer to identity")


class HighwayLossSettings(Settings):
    """The objective is the generalised Kullback-Leibler divergence alone."""


class HighwayOutput(NamedTuple):
    """What the network computes."""

    voice: Tensor  # (B, T, N), the estimated magnitude


class HighwayTerms(NamedTuple):
    """What the objective takes from a batch; a scalar, the mean over its sequences."""

    kl: Tensor


class HighwayLoss(NamedTuple):
    """The objective and what a history records; scalars."""

    total: Tensor
    kl: Tensor


class HighwayLayer(nn.Module):
    """g ReLU(W x + b) + (1 - g) x with the transform gate g = sigmoid(W_T x + b_T): (..., N) -> (..., N) (Srivastava et al., 2015)."""

    def __init__(self, n_units: int, transform_bias: float) -> None:
        super().__init__()
        self.transform_bias = transform_bias
        self.plain = nn.Linear(n_units, n_units)
        self.gate = nn.Linear(n_units, n_units)

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices Glorot normal; biases zero, but for the gate's."""
        for layer, bias in ((self.plain, 0.0), (self.gate, self.transform_bias)):
            nn.init.xavier_normal_(layer.weight, generator=generator)
            nn.init.constant_(layer.bias, bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's output, non-negative where the inputs are."""
        gate = torch.sigmoid(self.gate(inputs).to(inputs.dtype))
        transformed = torch.relu(self.plain(inputs))
        return gate * transformed + (1 - gate) * inputs


class Highway(nn.Module):
    """A stack of highway layers from the mixture's magnitude to the voice's; no frame's estimate depends on another frame."""

    def __init__(self, settings: HighwaySettings, sizes: Sizes) -> None:
        """Raise InputError where sequences have context frames."""
        super().__init__()
        if sizes.n_context:
            raise InputError(f"segments.n_context is {sizes.n_context}; expected 0: a highway network sees single frames.")
        self.layers = nn.ModuleList(HighwayLayer(sizes.n_bins, settings.transform_bias) for _ in range(settings.n_layers))

    @property
    def sequences_independent(self) -> bool:
        """Whether no sequence's result depends on the others of its batch."""
        return True

    def initialise(self, generator: torch.Generator) -> None:
        """Each layer as `HighwayLayer.initialise` says."""
        for layer in self.layers:
            assert isinstance(layer, HighwayLayer)
            layer.initialise(generator)

    def forward(self, mixture: Tensor) -> HighwayOutput:
        """Estimate the voice's magnitude from the mixture's, (B, T, N) -> (B, T, N)."""
        voice = mixture
        for layer in self.layers:
            voice = layer(voice)
        return HighwayOutput(voice)


def highway_terms(output: HighwayOutput, targets: Tensor) -> HighwayTerms:
    """Return the divergence of the voice's estimate from its target; `targets` (B, 1, T, N)."""
    return HighwayTerms(generalised_kl(targets[:, 0], output.voice))


def highway_objective(network: Highway, terms: HighwayTerms, settings: HighwayLossSettings) -> HighwayLoss:
    """Return the objective from a batch's terms: the divergence alone."""
    return HighwayLoss(terms.kl, terms.kl)


def highway_estimate(network: Highway, mixture: Tensor, separation: Separation) -> Tensor:
    """Return the voice's magnitude (B, 1, T, N) from the mixture's (B, T, N)."""
    return network(mixture).voice[:, None]
