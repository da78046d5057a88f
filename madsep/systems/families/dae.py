"""Settings of denoising autoencoders on single frames: Mimilakis et al., IEEE/ACM TASLP 28, 2020."""

from pydantic import Field

from madsep.core.settings import Layers, Settings
from madsep.systems.families.family import Family


class DaeSettings(Settings):
    """Depth of the network and type of its output."""

    n_encoder_layers: Layers = Field(description="dense layers before the decoder's single layer")
    skip_filter: bool = Field(description="true: the output is a mask of the mixture; false: it is the voice's magnitude")


class DaeLossSettings(Settings):
    """No settings: the objective is the generalised Kullback-Leibler divergence."""


class DaeFamily(Family[DaeSettings]):
    """Dense layers as wide as the spectrum, with or without a skip filter. Without it, the estimates are not masked mixtures."""

    name = "dae"
    network_settings = DaeSettings
    loss_settings = DaeLossSettings
    sources = ("vocals",)
    recorded = ("kl",)
    method = (
        "Denoising autoencoder on single frames: dense layers as wide as the spectrum, each followed by a ReLU. The last layer is the "
        "decoder, the others are the encoder. With a skip filter, the output is a mask that multiplies the mixture's magnitude. Without "
        "one, it is the voice's magnitude."
    )
    cost = "generalised Kullback-Leibler divergence"
    masks = False
    takes_context = False
    has_stack = True
