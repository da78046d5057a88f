"""An ensemble of networks for masks, trained with four costs: Grais, Roma, Simpson and Plumbley, AES 140th Convention, 2016.

The paper gives the four costs in words and states that the masks are combined. Formulas and sizes are chosen here.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.errors import InputError
from madsep.core.settings import Separation
from madsep.models.initialisation import initialise
from madsep.models.network import Network
from madsep.systems.families.gra import GraFamily, GraLossSettings, GraSettings
from madsep.systems.sizes import Sizes

LEAST_DEVIATION = 1e-4  # as a fraction of the largest; keeps bins that hardly vary in training from being amplified at test
EPSILON = 1e-12  # keeps the soft mask of two silent sources finite


class GraOutput(NamedTuple):
    """Outputs of the networks, for B sequences, T frames and N bins."""

    mixture: Tensor  # (B, T, N), the input magnitudes
    masks: dict[str, Tensor]  # per member, (B, T, N), between 0 and 1
    mask: Tensor  # (B, T, N), their mean, with the binary mask thresholded


class GraTerms(NamedTuple):
    """Scalars: sums over bins, averaged over frames and sequences. The cost of a member that the ensemble lacks is 0."""

    ensemble: Tensor  # squared error of both sources with the combined mask
    binary: Tensor  # squared error of the binary member's mask
    soft: Tensor  # squared error of the soft member's mask
    sources: Tensor  # squared error of both sources with the mask of member `sources`
    discriminative: Tensor  # the same with the mask of member `discriminative`
    confusion: Tensor  # squared error of that member's estimates against the other source
    mask_l1: Tensor  # sum of the entries of all members' masks
    mask_l2: Tensor  # sum of their squared entries


class GraLoss(NamedTuple):
    """The objective and the terms recorded in the history: scalars."""

    total: Tensor
    ensemble: Tensor
    binary: Tensor
    soft: Tensor
    sources: Tensor
    discriminative: Tensor
    confusion: Tensor


class Gra(Network):
    """One feed-forward network per member. All read the same standardised frames and share no weights."""

    family = GraFamily()
    input_mean: Tensor
    input_deviation: Tensor

    def __init__(self, settings: GraSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        self.networks = nn.ModuleDict({member: _masker(settings, sizes.n_bins) for member in settings.members})
        self.register_buffer("input_mean", torch.zeros(sizes.n_bins))
        self.register_buffer("input_deviation", torch.ones(sizes.n_bins))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw Glorot normal matrices and set biases to zero."""
        initialise(self, generator, nn.init.xavier_normal_)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Store each bin's mean and standard deviation (N,) over the frames of the training mixtures.

        Deviations are raised to at least 1e-4 of the largest. Raises InputError if no bin varies.
        """
        if not deviation.max() > 0:
            raise InputError("the training mixtures' magnitudes do not vary in any bin. They cannot be standardised.")
        self.input_mean.copy_(mean)
        self.input_deviation.copy_(deviation.clamp_min(LEAST_DEVIATION * float(deviation.max())))

    def forward(self, mixture: Tensor) -> GraOutput:
        """Predict the voice's masks from the mixture's magnitudes (B, T, N)."""
        frames = (mixture - self.input_mean) / self.input_deviation
        masks = {member: torch.sigmoid(network(frames).to(mixture.dtype)) for member, network in self.networks.items()}
        combined = [(mask > 0.5).to(mask.dtype) if member == "binary" else mask for member, mask in masks.items()]
        return GraOutput(mixture, masks, torch.stack(combined).mean(0))

    @staticmethod
    def terms(output: GraOutput, targets: Tensor, settings: GraLossSettings) -> GraTerms:
        """Return the terms of the objective for a batch; `targets` (B, 2, T, N) are the magnitudes of vocals S1 and background S2.

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

    def objective(self, terms: GraTerms, settings: GraLossSettings) -> GraLoss:
        """Return the objective: the sum of the members' costs and of the penalties on their masks."""
        costs = terms.binary + terms.soft + terms.sources + terms.discriminative - settings.discriminative * terms.confusion
        total = costs + settings.mask_l1 * terms.mask_l1 + settings.mask_l2 * terms.mask_l2
        return GraLoss(total, *terms[:6])

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitudes (B, 1, T, N) from the mixture's (B, T, N): combined mask times mixture times gain."""
        output: GraOutput = self(mixture)
        return (self.settings.estimate_gain * output.mask * mixture).unsqueeze(1)


def _masker(settings: GraSettings, n_bins: int) -> nn.Sequential:
    """Return hidden ReLU layers and a linear layer, which computes a mask before its sigmoid."""
    layers: list[nn.Module] = []
    n_inputs = n_bins
    for _ in range(settings.n_hidden_layers):
        layers += [nn.Linear(n_inputs, settings.n_hidden), nn.ReLU()]
        n_inputs = settings.n_hidden
    return nn.Sequential(*layers, nn.Linear(n_inputs, n_bins))


def _squared(error: Tensor) -> Tensor:
    """Return squares summed over bins and averaged over frames and sequences: a scalar."""
    return error.square().sum(-1).mean()


def _by_mask(mask: Tensor, mixture: Tensor, masked: Tensor, rest: Tensor) -> Tensor:
    """Return the squared error of the masked mixture against `masked` plus that of the remainder against `rest`."""
    return _squared(mask * mixture - masked) + _squared((1 - mask) * mixture - rest)
