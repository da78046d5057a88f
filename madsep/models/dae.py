"""Denoising autoencoders on single frames, with and without a skip-filtering connection: Mimilakis et al., IEEE/ACM TASLP 28, 2020.

DAE, MSS-DAE and SF of that article ("Examining the mapping functions of denoising autoencoders in singing voice separation"), after the
classes DFFN, DNN and SkipFiltering of its public code (github.com/Js-Mim/nca_mss). That code leaves the sizes open but asks for square
matrices, so that the matrices of layers can be multiplied: all layers are as wide as the spectrum.
"""

from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Count, Separation, Settings
from madsep.models.losses import generalised_kl
from madsep.models.stack import Stack, stack_of
from madsep.systems.sizes import Sizes

METHOD = (
    "Denoising autoencoder on single frames: dense layers as wide as the spectrum, each followed by a ReLU; all but the last encode "
    "the mixture's magnitude and the last decodes it. With a skip filter the decoder's output is a mask that multiplies the mixture's "
    "magnitude, without one it is the voice's magnitude."
)
COST = "generalised Kullback-Leibler divergence"


class DaeSettings(Settings):
    """Depth of the network, and what its output is."""

    n_encoder_layers: Count = Field(description="dense layers before the decoder's one")
    skip_filter: bool = Field(description="the output is a mask of the mixture; false: it is the voice's magnitude")


class DaeLossSettings(Settings):
    """The objective is the generalised Kullback-Leibler divergence alone."""


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


class Dae(nn.Module):
    """Square dense layers with ReLUs from the mixture's magnitude to the voice's, or to its mask; no frame sees another."""

    sequences_independent = True

    def __init__(self, settings: DaeSettings, sizes: Sizes) -> None:
        """Raise InputError where sequences have context frames."""
        super().__init__()
        if sizes.n_context:
            raise InputError(f"segments.n_context is {sizes.n_context}; expected 0: family dae estimates each frame from itself.")
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


def dae_terms(output: DaeOutput, targets: Tensor) -> DaeTerms:
    """Return the divergence of the voice's estimate from its target; `targets` (B, 1, T, N)."""
    return DaeTerms(generalised_kl(targets[:, 0], output.voice))


def dae_objective(network: Dae, terms: DaeTerms, settings: DaeLossSettings) -> DaeLoss:
    """Return the objective from a batch's terms: the divergence alone."""
    return DaeLoss(terms.kl, terms.kl)


def dae_estimate(network: Dae, mixture: Tensor, separation: Separation) -> Tensor:
    """Return the voice's magnitude (B, 1, T, N) from the mixture's (B, T, N)."""
    output: DaeOutput = network(mixture)
    return output.voice[:, None]


@torch.no_grad()
def dae_stack(network: Dae, mixture: Tensor) -> Stack:
    """Return all layers, with mixture magnitudes (B, T, N) as inputs and the voice's, for SF the product with the mixture, as outputs."""
    return stack_of(network.layers, mixture, network(mixture).voice)
