"""Highway network on single frames (MIM-HW): Mimilakis et al., AES Workshop on Intelligent Music Production 2016."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.settings import Separation
from madsep.models.initialisation import Draw, initialise
from madsep.models.losses import generalised_kl
from madsep.models.network import Network
from madsep.systems.families.highway import HighwayFamily, HighwayLossSettings, HighwaySettings
from madsep.systems.sizes import Sizes


class HighwayOutput(NamedTuple):
    """The output of the network."""

    voice: Tensor  # (B, T, N), the estimated magnitude


class HighwayTerms(NamedTuple):
    """The term of the objective: a scalar, averaged over the sequences of a batch."""

    kl: Tensor


class HighwayLoss(NamedTuple):
    """The objective and the term recorded in the history: scalars."""

    total: Tensor
    kl: Tensor


class HighwayLayer(nn.Module):
    """g ReLU(W x + b) + (1 - g) x with the transform gate g = sigmoid(W_T x + b_T): (..., N) -> (..., N) (Srivastava et al., 2015)."""

    def __init__(self, n_units: int, transform_bias: float) -> None:
        super().__init__()
        self.transform_bias = transform_bias
        self.plain = nn.Linear(n_units, n_units)
        self.gate = nn.Linear(n_units, n_units)

    def initialise(self, generator: torch.Generator, of_weights: Draw) -> None:
        """Draw matrices with `of_weights`, a function of torch.nn.init, and set biases to zero, except the gate's."""
        initialise(self, generator, of_weights)
        nn.init.constant_(self.gate.bias, self.transform_bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the layer's output, non-negative if the inputs are."""
        gate = torch.sigmoid(self.gate(inputs).to(inputs.dtype))
        transformed = torch.relu(self.plain(inputs))
        return gate * transformed + (1 - gate) * inputs


class Highway(Network):
    """A stack of highway layers from the mixture's magnitude to the voice's. Frames are independent."""

    family = HighwayFamily()

    def __init__(self, settings: HighwaySettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.layers = nn.ModuleList(HighwayLayer(sizes.n_bins, settings.transform_bias) for _ in range(settings.n_layers))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot normal matrices and set biases to zero, except the gates'."""
        for layer in self.layers:
            assert isinstance(layer, HighwayLayer)
            layer.initialise(generator, nn.init.xavier_normal_)

    def forward(self, mixture: Tensor) -> HighwayOutput:
        """Estimate the voice's magnitude from the mixture's, (B, T, N) -> (B, T, N)."""
        voice = mixture
        for layer in self.layers:
            voice = layer(voice)
        return HighwayOutput(voice)

    @staticmethod
    def terms(output: HighwayOutput, targets: Tensor, settings: HighwayLossSettings) -> HighwayTerms:
        """Return the divergence of the voice's estimate from `targets` (B, 1, T, N)."""
        return HighwayTerms(generalised_kl(targets[:, 0], output.voice))

    def objective(self, terms: HighwayTerms, settings: HighwayLossSettings) -> HighwayLoss:
        """Return the objective, which is the divergence alone."""
        return HighwayLoss(terms.kl, terms.kl)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitude (B, 1, T, N) from the mixture's (B, T, N)."""
        output: HighwayOutput = self(mixture)
        return output.voice[:, None]
