"""Settings of a highway network on single frames (MIM-HW): Mimilakis et al., AES WIMP 2016."""

from pydantic import Field

from madsep.core.settings import Layers, Settings
from madsep.systems.families.family import Family


class HighwaySettings(Settings):
    """Sizes of the network."""

    n_layers: Layers
    transform_bias: float = Field(description="initial bias of the transform gates; very negative values start near the identity")


class HighwayLossSettings(Settings):
    """No settings: the objective is the generalised Kullback-Leibler divergence."""


class HighwayFamily(Family[HighwaySettings]):
    """Highway layers that map a frame's magnitudes of the mixture to those of the voice."""

    name = "highway"
    network_settings = HighwaySettings
    loss_settings = HighwayLossSettings
    sources = ("vocals",)
    recorded = ("kl",)
    method = (
        "Highway network with layers as wide as the spectrum. Each layer mixes its input, a single frame, with a ReLU transform of it by "
        "a learned gate. The first layer carries the mixture's magnitude, so that the carried part is a filter of it."
    )
    cost = "generalised Kullback-Leibler divergence"
    masks = False
    takes_context = False
