"""What a recipe may say of DeepConvSep: Chandna et al., LVA/ICA 2017, after its published code (github.com/MTG/DeepConvSep)."""

from typing import Annotated

from pydantic import Field

from madsep.core.errors import InputError
from madsep.core.settings import Count, Settings, Weight
from madsep.data.datasets import STEMS
from madsep.systems.families.family import Family
from madsep.systems.sizes import Sizes


class ChaSettings(Settings):
    """Sizes of the network, and the published code's slip."""

    n_vertical_filters: Count = Field(description="filters over all bins of one frame")
    n_horizontal_filters: Count = Field(description="filters over time")
    n_horizontal_frames: Count = Field(description="frames that a filter over time spans")
    n_hidden: Count = Field(description="units of the layer that all sources share")
    mask_floor: Annotated[float, Field(gt=0)] = Field(description="added to each source's output before the masks are formed")
    legacy_bug: bool = Field(description="`other` is decoded from the bass's layer instead of its own, as in the published code")


class ChaLossSettings(Settings):
    """Weights of the dissimilarities that the error is lowered by."""

    alpha: Weight = Field(description="of an estimate among vocals, drums and bass to the targets of the two others")
    beta: Weight = Field(description="of the estimates of drums and bass to the target of `other`")
    beta_voc: Weight = Field(description="of the estimate of vocals to the target of `other`")


class ChaFamily(Family[ChaSettings]):
    """DeepConvSep: a convolutional encoder, one decoder per source, and ratio masks. Its cost treats each source in its own way."""

    name = "cha"
    network_settings = ChaSettings
    loss_settings = ChaLossSettings
    sources = STEMS
    recorded = ("error", "cross", "other", "other_vocals")
    method = (
        "DeepConvSep: a convolution over all bins of a frame, a convolution over time and a layer of few units encode a sequence; one "
        "layer per source and the transposed convolutions, with the same weights, decode it. Ratio masks of the decoded sources filter the "
        "mixture."
    )
    cost = "squared error of the sources with terms that push them apart"
    masks = True
    takes_context = False

    def check(self, network: ChaSettings, sizes: Sizes) -> None:
        """Raise InputError if a filter over time spans more frames than a sequence has."""
        super().check(network, sizes)
        if network.n_horizontal_frames > sizes.n_frames:
            raise InputError(
                f"n_horizontal_frames is {network.n_horizontal_frames}; expected at most the {sizes.n_frames} frames of a sequence."
            )
