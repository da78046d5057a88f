"""The Masker-and-Denoiser (MaD) of Mimilakis et al., ICASSP 2018, and the variants in its published code."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from madsep.core.settings import Separation
from madsep.models.dense import Dense
from madsep.models.gru import Gru, encode, recurrent_residual
from madsep.models.initialisation import initialise
from madsep.models.losses import generalised_kl, summed_norms
from madsep.models.network import Network, without_context
from madsep.models.recurrence import is_traced, without_last
from madsep.models.stack import Stack, stack_of
from madsep.systems.families.mad import MadFamily, MadLossSettings, MadSettings
from madsep.systems.sizes import Sizes

BATCH_OF_PENALTY = 16  # sequences per batch for which the published weight of the latent norm holds


class MadOutput(NamedTuple):
    """Outputs of the network in order of computation, for B sequences, T - 2L frames, N bins and F encoder bins."""

    h_enc: Tensor  # (B, T - 2L, 2F)
    h_dec: Tensor  # (B, T - 2L, decoder width)
    mask: Tensor  # (B, T - 2L, N)
    masked: Tensor  # (B, T - 2L, N)
    denoised: Tensor  # (B, T - 2L, N), the estimated magnitude


class MadTerms(NamedTuple):
    """Terms of the objective: scalars, averaged over the sequences of a batch."""

    kl_denoised: Tensor
    kl_masked: Tensor
    latent: Tensor


class MadLoss(NamedTuple):
    """The objective and the terms recorded in the history: scalars."""

    total: Tensor
    kl_denoised: Tensor
    kl_masked: Tensor
    latent: Tensor


class Mad(Network):
    """Masker (bidirectional GRU encoder, GRU decoder, ReLU mask) and Denoiser (two ReLU layers), each with a skip filter."""

    family = MadFamily()

    def __init__(self, settings: MadSettings, sizes: Sizes) -> None:
        super().__init__(settings, sizes)
        self.settings = settings
        n_bins, n_low, n_latent = sizes.n_bins, settings.n_encoder_bins, settings.n_latent
        self.enc_forward = Gru(n_low, n_low)
        self.enc_backward = Gru(n_low, n_low)
        self.dec = Gru(2 * n_low, n_latent)
        self.mask = Dense(n_latent, n_bins)
        self.denoiser_enc = Dense(n_bins, settings.n_denoiser_hidden)
        self.denoiser_dec = Dense(settings.n_denoiser_hidden, n_bins)

    @property
    def sequences_independent(self) -> bool:
        """Whether a sequence's result is independent of its batch. False if recurrent inference stops for the whole batch at once."""
        inference = self.settings.recurrent_inference
        return inference is None or inference.stop == "sequence"

    def initialise(self, generator: torch.Generator) -> None:
        """Draw recurrent matrices orthogonal (gates stacked as one), others Glorot normal; set biases to zero (ICASSP 2018, III)."""
        initialise(self, generator, nn.init.xavier_normal_, of_states=nn.init.orthogonal_)

    def forward(self, mixture: Tensor, latent_threshold: float = 0.0) -> MadOutput:
        """Estimate the voice's magnitude from the mixture's, (B, T, N) -> (B, T - 2L, N).

        Entries of H_dec with magnitude up to `latent_threshold` are set to 0 before the mask. Only the MDLT submission does so, at test.
        """
        h_enc = self._encode(mixture[:, :, : self.settings.n_encoder_bins])
        inner = without_context(mixture, self.n_context)
        h_dec = self._infer(h_enc, inner)
        if latent_threshold > 0:
            h_dec = torch.where(h_dec.abs() > latent_threshold, h_dec, 0.0)
        mask, masked = self.mask.masking(h_dec, inner)
        hidden = torch.relu(self.denoiser_enc(masked))
        _, denoised = self.denoiser_dec.masking(hidden, masked)
        return MadOutput(h_enc, h_dec, mask, masked, denoised)

    def _encode(self, low: Tensor) -> Tensor:
        """Encode (B, T, F) -> (B, T - 2L, 2F), Eq. 3. Unless re-aligned, step t of the backward half has read frames T-1 ... T-1-t-L.

        Both directions stop L frames before their ends, because no frame is estimated from later states.
        """
        if self.settings.encoder_residual == "output":
            encoded = encode(self.enc_forward, self.enc_backward, low, n_unread=self.n_context)
        else:
            read, flipped = without_last(low, self.n_context), without_last(low.flip(1), self.n_context)
            encoded = torch.cat((recurrent_residual(self.enc_forward, read), recurrent_residual(self.enc_backward, flipped)), -1)
        encoded = encoded[:, self.n_context :]
        if not self.settings.realign_backward:
            return encoded
        forward, backward = encoded.chunk(2, -1)
        return torch.cat((forward, backward.flip(1)), -1)

    def _decode(self, state: Tensor, mixture: Tensor) -> Tensor:
        """Apply the decoder GRU once, from a zero state."""
        if self.settings.decoder_residual == "enc_recurrent":
            return recurrent_residual(self.dec, state)
        decoded: Tensor = self.dec(state)
        if self.settings.decoder_residual == "mix_output":
            decoded = decoded + mixture[..., : decoded.shape[-1]]
        return decoded

    def _infer(self, h_enc: Tensor, mixture: Tensor) -> Tensor:
        """Return H_dec from H_enc: one pass, or recurrent inference (Algorithm 1) with 2 to max_iterations + 1 passes."""
        state = self._decode(h_enc, mixture)
        inference = self.settings.recurrent_inference
        if inference is None:
            return state
        dims = (0, 1, 2) if inference.stop == "batch" else (1, 2)
        running = torch.ones((state.shape[0] if inference.stop == "sequence" else 1, 1, 1), dtype=torch.bool, device=state.device)
        for _ in range(inference.max_iterations):
            refined = self._decode(state, mixture)
            change = (state - refined).square().mean(dims, keepdim=True)
            state = torch.where(running, refined, state)
            running = running & (change >= inference.tolerance)
            # a GPU runs all passes, because a check would wait for it; finished sequences do not change
            if state.device.type == "cpu" and not is_traced() and not running.any():
                break
        return state

    @staticmethod
    def terms(output: MadOutput, targets: Tensor, settings: MadLossSettings) -> MadTerms:
        """Return the terms of the objective, averaged over a batch's sequences; `targets` (B, 1, T - 2L, N).

        The sum of the norms of H_dec over this batch is rescaled to a batch of 16, so that its weight keeps its meaning.
        """
        target = targets.squeeze(1)
        latent = summed_norms(output.h_dec, settings.latent_norm, target.dtype) * (BATCH_OF_PENALTY / target.shape[0])
        return MadTerms(generalised_kl(target, output.denoised), generalised_kl(target, output.masked), latent)

    def objective(self, terms: MadTerms, settings: MadLossSettings) -> MadLoss:
        """Return the objective from a batch's terms and the network's weights (ICASSP 2018, Eq. 9-10; SiSEC 2018, MDL1)."""
        masker = terms.kl_masked
        if settings.gate is not None:
            gate_open = (terms.kl_masked >= settings.gate.masker) & (terms.kl_denoised >= settings.gate.denoiser)
            masker = terms.kl_masked * gate_open
        total = terms.kl_denoised + masker + settings.latent_l1 * terms.latent
        w_mask = self.mask.weight
        if settings.mask_l1 > 0:
            total = total + settings.mask_l1 * w_mask.abs().sum()
        if settings.mask_diagonal_l1 > 0:
            diagonal = w_mask.detach() if settings.mask_diagonal_detached else w_mask
            total = total + settings.mask_diagonal_l1 * diagonal.diagonal().abs().sum()
        if settings.decoder_l2 > 0:
            total = total + settings.decoder_l2 * self.denoiser_dec.weight.square().sum()
        return MadLoss(total, *terms)

    def estimate(self, mixture: Tensor, separation: Separation) -> Tensor:
        """Return the voice's magnitudes (B, 1, T - 2L, N) of mixture magnitudes (B, T, N)."""
        output: MadOutput = self(mixture, separation.latent_threshold)
        return output.denoised.unsqueeze(1)

    @staticmethod
    def latent(output: MadOutput) -> Tensor:
        """Return H_dec (B, T - 2L, decoder width), to which a latent threshold applies."""
        return output.h_dec

    @torch.no_grad()
    def stack(self, mixture: Tensor) -> Stack:
        """Return the Denoiser's layers. Their inputs are the Masker's outputs, without threshold, for mixture magnitudes (B, T, N)."""
        output: MadOutput = self(mixture)
        return stack_of((self.denoiser_enc, self.denoiser_dec), output.masked, output.denoised)
