"""Settings of DeepConvSep: Chandna et al., LVA/ICA 2017, and its published code (github.com/MTG/DeepConvSep)."""

from typing import Annotated

from pydantic import Field

from madsep.core.errors import InputError
from madsep.core.settings import Count, Settings, Weight
from madsep.data.datasets import STEMS
from madsep.systems.families.family import Family
from madsep.systems.sizes import Sizes


class ChaSettings(Settings):
    """Sizes of the network, and a switch for the published code's bug."""

    n_vertical_filters: Count = Field(description="filters over all bins of one frame")
    n_horizontal_filters: Count = Field(description="filters over time")
    n_horizontal_frames: Count = Field(description="length in frames of a filter over time")
    n_hidden: Count = Field(description="units of the layer that all sources share")
    mask_floor: Annotated[float, Field(gt=0)] = Field(description="added to each source's output before the masks are formed")
    legacy_bug: bool = Field(description="`other` is decoded from the bass's layer instead of its own, as in the published code")


class ChaLossSettings(Settings):
    """Weights of the dissimilarity terms, which are subtracted from the error."""

    alpha: Weight = Field(description="weight of the dissimilarity of vocals, drums and bass to the targets of the other two")
    beta: Weight = Field(description="weight of the dissimilarity of drums and bass to the target of `other`")
    beta_voc: Weight = Field(description="weight of the dissimilarity of vocals to the target of `other`")


class ChaFamily(Family[ChaSettings]):
    """DeepConvSep: a convolutional encoder, one decoder per source, and ratio masks. Its loss treats each source differently."""

    name = "cha"
    network_settings = ChaSettings
    loss_settings = ChaLossSettings
    sources = STEMS
    recorded = ("error", "cross", "other", "other_vocals")
    method = (
        "DeepConvSep: a convolution over all bins of a frame, a convolution over time and a layer of few units encode a sequence. One "
        "layer per source and the transposed convolutions, with the same weights, decode it. Ratio masks of the decoded sources filter the "
        "mixture."
    )
    cost = "squared error of the sources with terms that push them apart"
    masks = True
    takes_context = False

    def check(self, network: ChaSettings, sizes: Sizes) -> None:
        """Raise InputError if a filter over time is longer than a sequence."""
        super().check(network, sizes)
        if network.n_horizontal_frames > sizes.n_frames:
            raise InputError(
                f"n_horizontal_frames is {network.n_horizontal_frames}; expected at most the {sizes.n_frames} frames of a sequence."
            )
