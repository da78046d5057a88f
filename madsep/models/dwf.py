"""MIM-DWF, two skip-filtering GRU encoder-decoders joined by a Wiener filter: Mimilakis et al., MLSP 2017, and its published code."""

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from madsep.core.settings import Separation
from madsep.models.gru import Gru, encode
from madsep.models.highway import HighwayLayer
from madsep.models.initialisation import initialise
from madsep.models.losses import floored_kl
from madsep.models.network import Network, without_context
from madsep.models.recurrence import without_last
from madsep.systems.families.dwf import DwfFamily, DwfLossSettings, DwfSettings
from madsep.systems.sizes import Sizes

EPSILON = torch.finfo(torch.float64).eps  # in the Wiener filter, as in the published code
TARGET_EPSILON = 1e-7  # in the targets, as in the published code
BATCH_OF_SUM = 16  # sequences per batch over which the published code sums the penalty on the voice's energy
ORTHOGONAL_GAIN = 1.1  # of Keras 1.2.2


class DwfEstimate(NamedTuple):
    """Outputs of one of the two networks, for B sequences, T - 2L frames and N bins."""

    masked: Tensor  # (B, T - 2L, N), the mixture filtered by the mask
    refined: Tensor  # (B, T - 2L, N), the highway layer's output: the estimated magnitude


class DwfOutput(NamedTuple):
    """Outputs of both networks, and the mixture without its context frames."""

    mixture: Tensor  # (B, T - 2L, N)
    voice: DwfEstimate
    accompaniment: DwfEstimate


class DwfTerms(NamedTuple):
    """Terms of the objective: scalars, averaged over the sequences of a batch."""

    kl: Tensor  # the sum for both highway layers' outputs
    kl_voice: Tensor
    kl_accompaniment: Tensor
    kl_voice_masked: Tensor
    kl_accompaniment_masked: Tensor
    voice_energy: Tensor  # the average times 16


class DwfLoss(NamedTuple):
    """The objective and the terms recorded in the history: scalars."""

    total: Tensor
    kl_voice: Tensor
    kl_accompaniment: Tensor
    kl_voice_masked: Tensor
    kl_accompaniment_masked: Tensor
    voice_energy: Tensor


class SkipFilter(nn.Module):
    """Network of one source: BiGRU encoder with residuals, GRU decoder (its absolute state is the mask), highway layer."""

    def __init__(self, settings: DwfSettings, sizes: Sizes) -> None:
        super().__init__()
        n_bins = sizes.n_bins
        self.gates, self.n_context = settings.gates, sizes.n_context
        self.enc_forward = Gru(n_bins, n_bins)
        self.enc_backward = Gru(n_bins, n_bins)
        self.dec = Gru(2 * n_bins, n_bins)
        self.highway = HighwayLayer(n_bins, settings.transform_bias)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights as Keras 1.2.2 does for the published code. Biases are zero, except the highway gate's.

        With the gates stacked as one matrix, input matrices are Glorot normal and recurrent ones orthogonal, times 1.1. The backward GRU,
        which that code computes gate by gate, has only Glorot normal matrices, one per gate. The highway layer's are Glorot uniform.
        """
        orthogonal = functools.partial(nn.init.orthogonal_, gain=ORTHOGONAL_GAIN)
        for gru in (self.enc_forward, self.dec):
            initialise(gru, generator, nn.init.xavier_normal_, of_states=orthogonal)
        initialise(self.enc_backward, generator, _glorot_each_gate)
        self.highway.initialise(generator, nn.init.xavier_uniform_)

    def forward(self, mixture: Tensor) -> DwfEstimate:
        """Estimate the source's magnitude from the mixture's, (B, T, N) -> (B, T - 2L, N).

        The encoder's backward half stays in reversed order: step t has read frames T-1 ... T-1-t, and frame T-1-t is added to it. All three
        GRUs stop L frames before their ends, because no frame is estimated from later states.
        """
        if self.gates == "sigmoid":
            encoded = encode(self.enc_forward, self.enc_backward, mixture, n_unread=self.n_context)
        else:
            read, flipped = without_last(mixture, self.n_context), without_last(mixture.flip(1), self.n_context)
            forward, backward = hard_sigmoid_states(self.enc_forward, read), hard_sigmoid_states(self.enc_backward, flipped)
            encoded = torch.cat((read + forward, flipped + backward), -1)
        mask = self._states(self.dec, encoded)[:, self.n_context :].abs()
        masked = mask * without_context(mixture, self.n_context)
        return DwfEstimate(masked, self.highway(masked))

    def _states(self, gru: Gru, inputs: Tensor) -> Tensor:
        states: Tensor = gru(inputs) if self.gates == "sigmoid" else hard_sigmoid_states(gru, inputs)
        return states


class Dwf(Network):
    """Separate networks for voice and accompaniment, which share only their input."""

    family = DwfFamily()

    def __init__(self, settings: DwfSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        self.voice = SkipFilter(settings, sizes)
        self.accompaniment = SkipFilter(settings, sizes)

    @property
    def clipped_alone(self) -> tuple[nn.Module, ...]:
        """The two networks. Their gradients are clipped separately, because the published code trains one after the other."""
        return self.voice, self.accompaniment

    def initialise(self, generator: torch.Generator) -> None:
        """Initialise both networks with `SkipFilter.initialise`, from different draws."""
        self.voice.initialise(generator)
        self.accompaniment.initialise(generator)

    def forward(self, mixture: Tensor) -> DwfOutput:
        """Estimate both magnitudes from the mixture's, (B, T, N) -> (B, T - 2L, N)."""
        return DwfOutput(without_context(mixture, self.n_context), self.voice(mixture), self.accompaniment(mixture))

    @staticmethod
    def terms(output: DwfOutput, targets: Tensor, settings: DwfLossSettings) -> DwfTerms:
        """Return the terms of the objective for a batch; `targets` (B, 1, T - 2L, N) is the voice's magnitude V.

        With the mixture's magnitude X and r = (V + 1e-7) / (X + 1e-7), the networks' targets are X r and X |1 - r|. Except in nearly silent
        bins, these are V and |X - V| (MLSP 2017, published code). Keras 1.2.2 sums the energy over frames, bins and a batch of 16. The sum
        over this batch is rescaled to 16 sequences.
        """
        ratio = (targets[:, 0] + TARGET_EPSILON) / (output.mixture + TARGET_EPSILON)
        voice, accompaniment = output.mixture * ratio, output.mixture * (1 - ratio).abs()
        kl_voice = floored_kl(voice, output.voice.refined)
        kl_accompaniment = floored_kl(accompaniment, output.accompaniment.refined)
        return DwfTerms(
            kl_voice + kl_accompaniment,
            kl_voice,
            kl_accompaniment,
            floored_kl(voice, output.voice.masked),
            floored_kl(accompaniment, output.accompaniment.masked),
            output.voice.refined.square().sum((1, 2)).mean() * BATCH_OF_SUM,
        )

    def objective(self, terms: DwfTerms, settings: DwfLossSettings) -> DwfLoss:
        """Return the objective: both divergences of both networks, and the penalty on the voice's energy (MLSP 2017, published code)."""
        total = terms.kl + terms.kl_voice_masked + terms.kl_accompaniment_masked + settings.voice_energy * terms.voice_energy
        return DwfLoss(total, *terms[1:])

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitude (B, 1, T - 2L, N) from the mixture's (B, T, N), by a Wiener filter from both estimates."""
        output: DwfOutput = self(mixture)
        mask, _ = wiener_masks(output.voice.refined, output.accompaniment.refined, self.settings.wiener_exponent)
        return (mask * output.mixture)[:, None]


def _glorot_each_gate(matrices: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the matrices of a GRU's three gates separately, although they are stacked as one."""
    for gate in matrices.detach().chunk(3):
        nn.init.xavier_normal_(gate, generator=generator)
    return matrices


def hard_sigmoid_states(gru: nn.GRU, inputs: Tensor) -> Tensor:
    """Run a GRU whose gates are min(max(0.2 x + 0.5, 0), 1) instead of sigmoids: (B, T, F) -> (B, T, H).

    The slope is Keras's. Everything else, such as the reset gate after the recurrent product, is as in `torch.nn.GRU`.
    """
    weight_ih, weight_hh, bias_ih, bias_hh = gru.parameters()
    projected = functional.linear(inputs, weight_ih, bias_ih).to(inputs.dtype)
    state = inputs.new_zeros(inputs.shape[0], gru.hidden_size)
    states = []
    for frame in range(inputs.shape[1]):
        recurrent = functional.linear(state, weight_hh, bias_hh)
        reset_x, update_x, new_x = projected[:, frame].chunk(3, -1)
        reset_h, update_h, new_h = recurrent.chunk(3, -1)
        reset, update = _hard_sigmoid(reset_x + reset_h), _hard_sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        state = new + update * (state - new)
        states.append(state)
    return torch.stack(states, 1)


def _hard_sigmoid(inputs: Tensor) -> Tensor:
    return (0.2 * inputs + 0.5).clamp(0, 1)


def wiener_masks(voice: Tensor, accompaniment: Tensor, exponent: float) -> tuple[Tensor, Tensor]:
    """Return the masks of voice and accompaniment, which sum to 1, from their magnitudes S and A. All have the same shape.

    (S^a + eps) / (S^a + A^a + eps) and A^a / (S^a + A^a + eps): generalised Wiener filtering (ICASSP 2018, Eq. 2).
    """
    of_voice, of_accompaniment = voice.pow(exponent) + EPSILON, accompaniment.pow(exponent)
    both = of_voice + of_accompaniment
    return of_voice / both, of_accompaniment / both
