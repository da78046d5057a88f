"""A recipe small enough for tests, and networks with known output."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from madsep.core.settings import Separation
from madsep.models.checkpoint import Checkpoint, build_network
from madsep.systems.recipe import Recipe, load_recipe

SIZES = {
    "front_end": {"window_length": 257, "fft_length": 512, "hop_length": 96},
    "segments": {"n_frames": 12, "n_context": 2},
    "network": {"n_encoder_bins": 20, "n_denoiser_hidden": 16},
    "training": {"n_epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "precision": "fp32"},  # fp32: the same results on every CPU
    "separation": {"batch_size": 4, "precision": "fp32"},
}


def tiny_recipe(name: str = "MDL1", **sections: Mapping[str, Any]) -> Recipe:
    """Return recipe `name` at tiny sizes, with single keys of sections changed."""
    overrides = {key: {**SIZES.get(key, {}), **sections.get(key, {})} for key in SIZES.keys() | sections.keys()}
    return load_recipe(name, {"MDL1": overrides})


def tiny_checkpoint(seed: int = 1, **sections: Mapping[str, Any]) -> Checkpoint:
    """Return an initialised, untrained network with its recipe."""
    recipe = tiny_recipe(**sections)
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(seed))
    return Checkpoint(recipe, network.eval(), {})


class Estimate(NamedTuple):
    """Output of a network, with the only field that separation reads."""

    denoised: torch.Tensor


class Double(torch.nn.Module):
    """Stand-in for a Masker-and-Denoiser in separation. Subclasses define `forward`."""

    sequences_independent = True

    def estimate(self, mixture: torch.Tensor, separation: Separation) -> torch.Tensor:
        output: Estimate = self(mixture, separation.latent_threshold)
        return output.denoised.unsqueeze(1)


class Identity(Double):
    """A network that estimates the mixture itself."""

    def __init__(self, n_context: int) -> None:
        super().__init__()
        self.n_context = n_context

    def forward(self, mixture: torch.Tensor, latent_threshold: float) -> Estimate:
        return Estimate(mixture[:, self.n_context : mixture.shape[1] - self.n_context])
