"""Settings of two skip-filtering networks combined by a Wiener filter (MIM-DWF): Mimilakis et al., MLSP 2017."""

from typing import Annotated, Literal

from pydantic import Field

from madsep.core.settings import Settings, Weight
from madsep.systems.families.family import Family

Gates = Literal["sigmoid", "hard_sigmoid"]


class DwfSettings(Settings):
    """Variants of the networks, and the filter that combines their estimates."""

    gates: Gates = Field(description="sigmoid, or hard_sigmoid: min(max(0.2 x + 0.5, 0), 1), slower because it runs step by step")
    transform_bias: float = Field(description="initial bias of the highway layers' transform gates")
    wiener_exponent: Annotated[float, Field(gt=0)] = Field(description="exponent of both estimates in the Wiener filter (alpha)")


class DwfLossSettings(Settings):
    """Weights of the objective's terms besides the four divergences, which have weight 1."""

    voice_energy: Weight = Field(description="weight of the squared L2 norm of the voice network's estimates, for batches of 16")


class DwfFamily(Family[DwfSettings]):
    """Two recurrent encoder-decoders, one for the voice and one for the accompaniment, and a Wiener filter of their estimates."""

    name = "dwf"
    network_settings = DwfSettings
    loss_settings = DwfLossSettings
    sources = ("vocals",)
    recorded = ("kl_voice", "kl_accompaniment", "kl_voice_masked", "kl_accompaniment_masked", "voice_energy")
    method = (
        "Two networks of the same kind, for the voice and for the accompaniment. In each, a bidirectional GRU encoder with residual "
        "connections and a GRU decoder predict a mask, the decoder's absolute state, that filters the mixture's magnitude. A highway "
        "layer refines the result. The accompaniment's network is trained towards |X - V|, with the magnitudes X of the mixture and V of "
        "the voice. A generalised Wiener filter of both networks' estimates gives the voice."
    )
    cost = (
        "generalised Kullback-Leibler divergence of each network before and after its highway layer, with a penalty on the voice's energy"
    )
    masks = True
    takes_context = True
    clips_parts = True
