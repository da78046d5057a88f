"""Settings of stacked recurrent layers with ratio masks (HEL1): Helal, Ward and Plumbley, SiSEC 2018."""

from pydantic import Field

from madsep.core.settings import Count, Layers, Settings
from madsep.data.datasets import STEMS
from madsep.systems.families.family import Family


class HelSettings(Settings):
    """Sizes of the network."""

    n_layers: Layers = Field(description="number of stacked recurrent layers")
    n_hidden: Count = Field(description="units per layer")


class HelLossSettings(Settings):
    """No settings: the objective is the squared error."""


class HelFamily(Family[HelSettings]):
    """Stacked recurrent layers with ratio masks of four sources, which are part of the network."""

    name = "hel"
    network_settings = HelSettings
    loss_settings = HelLossSettings
    sources = STEMS
    recorded = ()
    method = (
        "Stacked unidirectional recurrent layers (GRU) process short sequences of the mixture's magnitude, followed by a dense layer "
        "(ReLU) for each source. The ratios of their outputs are soft masks, which the network applies to the mixture, so that the "
        "sources' magnitudes add up to the mixture's."
    )
    cost = "squared error summed over the sources"
    masks = True
    takes_context = True
