"""An ensemble of networks for masks, trained with four costs: Grais, Roma, Simpson and Plumbley, AES 140th Convention, 2016.

Published are the four costs in words, and that the masks are combined; formulas and sizes are chosen here.
"""

from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Count, Separation, Settings, Weight
from madsep.models.initialisation import initialise
from madsep.systems.sizes import Sizes

Member = Literal["binary", "soft", "sources", "discriminative"]
LEAST_DEVIATION = 1e-4  # of the largest deviation of all bins, so that bins that hardly vary in training are not blown up at test
EPSILON = 1e-12  # keeps the soft mask of two silent sources finite
TRAINED_FOR = {  # what description.md says of each member's cost
    "binary": "a binary mask",
    "soft": "a soft mask",
    "sources": "the sources that its mask gives",
    "discriminative": "the sources that its mask gives, with a discriminative term",
}
COST = "squared error of each network, by its own definition"


class GraSettings(Settings):
    """The members of the ensemble and the sizes of each."""

    members: Annotated[tuple[Member, ...], Field(min_length=1)] = Field(description="costs, one network each")
    n_hidden: Count = Field(description="units of a hidden layer")
    n_hidden_layers: Count
    estimate_gain: Annotated[float, Field(gt=0)] = Field(
        description="what estimates are multiplied with; 1, but for showing the effect of the published estimates' gain"
    )


def gra_method(settings: GraSettings) -> str:
    """Return what description.md says of the architecture: of the members that there are."""
    costs = [TRAINED_FOR[member] for member in settings.members]
    mask = "the voice's mask (ReLU layers, sigmoid output) from one frame"
    threshold = " Binary masks are thresholded at 0.5." if "binary" in settings.members else ""
    if len(costs) == 1:
        return f"Feed-forward network that predicts {mask}, trained for {costs[0]}.{threshold}"
    each = f"one each trained for: {'; '.join(costs)}"
    return f"Ensemble of feed-forward networks that each predict {mask}, {each}.{threshold} Masks are averaged."


class GraLossSettings(Settings):
    """Weights of the objective."""

    discriminative: Weight = Field(description="of the errors to the other source, which the discriminative cost subtracts")
    mask_l1: Weight = Field(description="of the L1 norm of every member's mask")
    mask_l2: Weight = Field(description="of the squared L2 norm of every member's mask")


class GraOutput(NamedTuple):
    """What the networks compute; B sequences, T frames, N bins."""

    mixture: Tensor  # (B, T, N), the magnitudes given
    masks: dict[str, Tensor]  # each member's, (B, T, N), between 0 and 1
    mask: Tensor  # (B, T, N), their mean, the binary one thresholded


class GraTerms(NamedTuple):
    """Sums over bins, averaged over frames and sequences; scalars. Costs of members that the ensemble lacks are 0."""

    ensemble: Tensor  # squared error of both sources by the combined mask
    binary: Tensor  # squared error of the binary member's mask
    soft: Tensor  # squared error of the soft member's mask
    sources: Tensor  # squared error of both sources by the mask of member `sources`
    discriminative: Tensor  # the same of member `discriminative`
    confusion: Tensor  # squared error of that member's estimates to the other source
    mask_l1: Tensor  # entries of all members' masks
    mask_l2: Tensor  # squared entries of all members' masks


class GraLoss(NamedTuple):
    """The objective and the terms that a history records; scalars."""

    total: Tensor
    ensemble: Tensor
    binary: Tensor
    soft: Tensor
    sources: Tensor
    discriminative: Tensor
    confusion: Tensor


class Gra(nn.Module):
    """One feed-forward network a member, all reading the same standardised frames; no weights are shared."""

    input_mean: Tensor
    input_deviation: Tensor

    def __init__(self, settings: GraSettings, sizes: Sizes) -> None:
        """Raise InputError where a member is named twice or the sizes do not fit."""
        super().__init__()
        if len(set(settings.members)) < len(settings.members):
            raise InputError(f"members are {', '.join(settings.members)}; expected each at most once.")
        if sizes.n_context:
            raise InputError(f"family gra estimates each frame from itself; segments.n_context is {sizes.n_context}, expected 0.")
        if sizes.n_sources != 2:
            raise InputError(f"family gra needs the vocals and the background; expected 2 sources, not {sizes.n_sources}.")
        self.settings = settings
        self.networks = nn.ModuleDict({member: _masker(settings, sizes.n_bins) for member in settings.members})
        self.register_buffer("input_mean", torch.zeros(sizes.n_bins))
        self.register_buffer("input_deviation", torch.ones(sizes.n_bins))

    @property
    def sequences_independent(self) -> bool:
        """Whether no sequence's result depends on the others of its batch."""
        return True

    def initialise(self, generator: torch.Generator) -> None:
        """Matrices Glorot normal, biases zero."""
        initialise(self, nn.init.xavier_normal_, generator)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take each bin's mean and standard deviation (N,) over the frames of the training mixtures.

        Deviations are at least 1e-4 of the largest. Raises InputError where no bin varies.
        """
        if not deviation.max() > 0:
            raise InputError("the training mixtures' magnitudes do not vary in any bin (silence?); they cannot be standardised.")
        self.input_mean.copy_(mean)
        self.input_deviation.copy_(deviation.clamp_min(LEAST_DEVIATION * float(deviation.max())))

    def forward(self, mixture: Tensor) -> GraOutput:
        """Predict the voice's masks from the mixture's magnitudes (B, T, N)."""
        frames = (mixture - self.input_mean) / self.input_deviation
        masks = {member: torch.sigmoid(network(frames).to(mixture.dtype)) for member, network in self.networks.items()}
        combined = [(mask > 0.5).to(mask.dtype) if member == "binary" else mask for member, mask in masks.items()]
        return GraOutput(mixture, masks, torch.stack(combined).mean(0))


def _masker(settings: GraSettings, n_bins: int) -> nn.Sequential:
    """Hidden ReLU layers and a linear one: a mask before its sigmoid."""
    layers: list[nn.Module] = []
    n_inputs = n_bins
    for _ in range(settings.n_hidden_layers):
        layers += [nn.Linear(n_inputs, settings.n_hidden), nn.ReLU()]
        n_inputs = settings.n_hidden
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_bins))


def gra_terms(output: GraOutput, targets: Tensor) -> GraTerms:
    """Return what the objective takes from a batch; `targets` (B, 2, T, N), magnitudes of vocals S1 and background S2.

    With mixture X and mask M: binary |M - 1[S1 > S2]|^2; soft |M - S1 / (S1 + S2)|^2; sources |M X - S1|^2 + |(1 - M) X - S2|^2;
    confusion |M X - S2|^2 + |(1 - M) X - S1|^2.
    """
    vocals, background = targets.unbind(1)
    mixture, masks = output.mixture, output.masks
    none = targets.new_zeros(())
    binary = _squared(masks["binary"] - (vocals > background).to(vocals.dtype)) if "binary" in masks else none
    soft = _squared(masks["soft"] - vocals / (vocals + background + EPSILON)) if "soft" in masks else none
    sources = _by_mask(masks["sources"], mixture, vocals, background) if "sources" in masks else none
    discriminative = _by_mask(masks["discriminative"], mixture, vocals, background) if "discriminative" in masks else none
    confusion = _by_mask(masks["discriminative"], mixture, background, vocals) if "discriminative" in masks else none
    mask_l1 = torch.stack([mask.sum(-1).mean() for mask in masks.values()]).sum()
    mask_l2 = torch.stack([_squared(mask) for mask in masks.values()]).sum()
    ensemble = _by_mask(output.mask, mixture, vocals, background)
    return GraTerms(ensemble, binary, soft, sources, discriminative, confusion, mask_l1, mask_l2)


def _squared(error: Tensor) -> Tensor:
    """Squares summed over bins, averaged over frames and sequences: a scalar."""
    return error.square().sum(-1).mean()


def _by_mask(mask: Tensor, mixture: Tensor, masked: Tensor, rest: Tensor) -> Tensor:
    """Squared error of the masked mixture to one source, and of what the mask leaves to the other."""
    return _squared(mask * mixture - masked) + _squared((1 - mask) * mixture - rest)


def gra_objective(network: Gra, terms: GraTerms, settings: GraLossSettings) -> GraLoss:
    """Return the objective: the sum of the members' costs, which have no weights in common, and penalties on their masks."""
    costs = terms.binary + terms.soft + terms.sources + terms.discriminative - settings.discriminative * terms.confusion
    total = costs + settings.mask_l1 * terms.mask_l1 + settings.mask_l2 * terms.mask_l2
    return GraLoss(total, *terms[:6])


def gra_estimate(network: Gra, mixture: Tensor, separation: Separation) -> Tensor:
    """Return the voice's magnitudes (B, 1, T, N) from the mixture's (B, T, N): the combined mask applied, times the gain."""
    output: GraOutput = network(mixture)
    return (network.settings.estimate_gain * output.mask * mixture).unsqueeze(1)
