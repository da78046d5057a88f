"""Denoising autoencoders on single frames, with and without a skip-filtering connection: Mimilakis et al., IEEE/ACM TASLP 28, 2020.

The article ("Examining the mapping functions of denoising autoencoders in singing voice separation") calls them DAE, MSS-DAE and SF. Its
public code (github.com/Js-Mim/nca_mss) calls them DFFN, DNN and SkipFiltering. That code leaves the sizes open but needs square matrices,
so that matrices of different layers can be multiplied. Here all layers are as wide as the spectrum.
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
    """Outputs of the network."""

    decoded: Tensor  # (B, T, N), the last layer's output
    voice: Tensor  # (B, T, N), the estimated magnitude: `decoded`, or with a skip filter its product with the mixture's


class DaeTerms(NamedTuple):
    """The term of the objective: a scalar, averaged over the sequences of a batch."""

    kl: Tensor


class DaeLoss(NamedTuple):
    """The objective and the term recorded in the history: scalars."""

    total: Tensor
    kl: Tensor


class Dae(Network):
    """Square dense ReLU layers from the mixture's magnitude to the voice's magnitude or mask. Frames are independent."""

    family = DaeFamily()

    def __init__(self, settings: DaeSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        self.layers = nn.ModuleList(nn.Linear(sizes.n_bins, sizes.n_bins) for _ in range(settings.n_encoder_layers + 1))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot normal matrices. As in the code, biases are uniform within 1 / sqrt(N), or zero with a skip filter."""
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
        """Return the divergence of the voice's estimate from `targets` (B, 1, T, N)."""
        return DaeTerms(generalised_kl(targets[:, 0], output.voice))

    def objective(self, terms: DaeTerms, settings: DaeLossSettings) -> DaeLoss:
        """Return the objective, which is the divergence alone."""
        return DaeLoss(terms.kl, terms.kl)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitude (B, 1, T, N) from the mixture's (B, T, N)."""
        output: DaeOutput = self(mixture)
        return output.voice[:, None]

    @torch.no_grad()
    def stack(self, mixture: Tensor) -> Stack:
        """Return all layers, with mixture magnitudes (B, T, N) as inputs and the voice's (for SF, mask times mixture) as outputs."""
        return stack_of(self.layers, mixture, self(mixture).voice)
