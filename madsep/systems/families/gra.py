"""Settings of an ensemble of networks that predict masks (GRA): Grais, Roma, Simpson and Plumbley, AES 140th Convention, 2016."""

from typing import Annotated, Literal

from pydantic import Field

from madsep.core.errors import InputError
from madsep.core.settings import MAX_LAYERS, Count, Layers, Settings, Weight
from madsep.systems.families.family import Family
from madsep.systems.sizes import Sizes

Member = Literal["binary", "soft", "sources", "discriminative"]
TRAINED_FOR = {  # text of description.md about each member's cost
    "binary": "a binary mask",
    "soft": "a soft mask",
    "sources": "the sources that its mask gives",
    "discriminative": "the sources that its mask gives, with a discriminative term",
}


class GraSettings(Settings):
    """Members of the ensemble, and their sizes."""

    members: Annotated[tuple[Member, ...], Field(min_length=1, max_length=MAX_LAYERS)] = Field(description="costs, one network per cost")
    n_hidden: Count = Field(description="units per hidden layer")
    n_hidden_layers: Layers
    estimate_gain: Annotated[float, Field(gt=0)] = Field(
        description="gain of the estimates; 1, except to show the effect of the published estimates' gain"
    )


class GraLossSettings(Settings):
    """Weights of the objective."""

    discriminative: Weight = Field(description="weight of the errors to the other source, which the discriminative cost subtracts")
    mask_l1: Weight = Field(description="weight of the L1 norm of every member's mask")
    mask_l2: Weight = Field(description="weight of the squared L2 norm of every member's mask")


class GraFamily(Family[GraSettings]):
    """Feed-forward networks, each trained with its own cost, whose masks are averaged."""

    name = "gra"
    network_settings = GraSettings
    loss_settings = GraLossSettings
    sources = ("vocals", "background")
    recorded = ("ensemble", "binary", "soft", "sources", "discriminative", "confusion")
    cost = "squared error of each network, by its own definition"
    masks = True
    takes_context = False
    standardises = True

    def method_of(self, network: GraSettings) -> str:
        """Return the text of description.md about the architecture with these members."""
        costs = [TRAINED_FOR[member] for member in network.members]
        mask = "the voice's mask (ReLU layers, sigmoid output) from one frame"
        threshold = " Binary masks are thresholded at 0.5." if "binary" in network.members else ""
        if len(costs) == 1:
            return f"Feed-forward network that predicts {mask}, trained for {costs[0]}.{threshold}"
        each = f"one each trained for: {'; '.join(costs)}"
        return f"Ensemble of feed-forward networks that each predict {mask}, {each}.{threshold} Masks are averaged."

    def check(self, network: GraSettings, sizes: Sizes) -> None:
        """Raise InputError if a member is named twice."""
        super().check(network, sizes)
        if len(set(network.members)) < len(network.members):
            raise InputError(f"members are {', '.join(network.members)}; expected each at most once.")
