"""Denoising autoencoders on single frames, with and without a skip-filtering connection: Mimilakis et al., IEEE/ACM TASLP 28, 2020.

DAE, MSS-DAE and SF of that article ("Examining the mapping functions of denoising autoencoders in singing voice separation"), after the
classes DFFN, DNN and SkipFiltering of its public code (github.com/Js-Mim/nca_mss). That code leaves the sizes open but asks for square
matrices, so that the matrices of layers can be multiplied: all layers are as wide as the spectrum.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.settings import Separation
from madsep.models.losses import generalised_kl
from madsep.models.network import Network
from madsep.models.stack import Stack, stack_of
from madsep.systems.families.dae import DaeFamily, DaeLossSettings, DaeSettings
from madsep.systems.sizes import Sizes


class DaeOutput(NamedTuple):
    """What the network computes."""

    decoded: Tensor  # (B, T, N), the last layer's output
    voice: Tensor  # (B, T, N), the estimated magnitude: the same, or its product with the mixture's


class DaeTerms(NamedTuple):
    """What the objective takes from a batch; a scalar, the mean over its sequences."""

    kl: Tensor


class DaeLoss(NamedTuple):
    """The objective and what a history records; scalars."""

    total: Tensor
    kl: Tensor


class Dae(Network):
    """Square dense layers with ReLUs from the mixture's magnitude to the voice's, or to its mask; no frame sees another."""

    family = DaeFamily()

    def __init__(self, settings: DaeSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        self.layers = nn.ModuleList(nn.Linear(sizes.n_bins, sizes.n_bins) for _ in range(settings.n_encoder_layers + 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices Glorot normal; biases PyTorch's default, uniform within 1 / sqrt(N), or zero with a skip filter: as in the code."""
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight, generator=generator)
            bound = 0.0 if self.settings.skip_filter else layer.in_features**-0.5
            nn.init.uniform_(layer.bias, -bound, bound, generator=generator)

    def forward(self, mixture: Tensor) -> DaeOutput:
        """Estimate the voice's magnitude from the mixture's, (B, T, N) -> (B, T, N)."""
        decoded = mixture
        for layer in self.layers:
            decoded = torch.relu(layer(decoded))
        decoded = decoded.to(mixture.dtype)
        return DaeOutput(decoded, mixture * decoded if self.settings.skip_filter else decoded)

    @staticmethod
    def terms(output: DaeOutput, targets: Tensor, settings: DaeLossSettings) -> DaeTerms:
        """Return the divergence of the voice's estimate from its target; `targets` (B, 1, T, N)."""
        return DaeTerms(generalised_kl(targets[:, 0], output.voice))

    def objective(self, terms: DaeTerms, settings: DaeLossSettings) -> DaeLoss:
        """Return the objective from a batch's terms: the divergence alone."""
        return DaeLoss(terms.kl, terms.kl)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitude (B, 1, T, N) from the mixture's (B, T, N)."""
        output: DaeOutput = self(mixture)
        return output.voice[:, None]

    @torch.no_grad()
    def stack(self, mixture: Tensor) -> Stack:
        """Return all layers, with mixture magnitudes (B, T, N) as inputs and the voice's (of SF: mask times mixture) as outputs."""
        return stack_of(self.layers, mixture, self(mixture).voice)
