"""Settings of the Masker-and-Denoiser (MaD): Mimilakis et al., ICASSP 2018, and the variants in its published code."""

from typing import Annotated, Literal

from pydantic import Field

from madsep.core.errors import InputError
from madsep.core.settings import MAX_ITERATIONS, Count, Settings, Weight
from madsep.systems.families.family import Family
from madsep.systems.sizes import Sizes


class RecurrentInference(Settings):
    """Repeated application of the decoder to its own output until it changes little (ICASSP 2018, Algorithm 1)."""

    max_iterations: Annotated[int, Field(ge=1, le=MAX_ITERATIONS)]
    tolerance: Weight = Field(description="mean squared change of H_dec at which the iteration stops")
    stop: Literal["sequence", "batch"] = Field(
        description="mean over each sequence, so that results do not depend on the batch; or over the batch, as published"
    )


class MadSettings(Settings):
    """Sizes and variants of the network."""

    n_encoder_bins: Count = Field(description="lowest bins that the encoder reads (F)")
    n_denoiser_hidden: Count = Field(description="units in the denoiser's hidden layer")
    encoder_residual: Literal["output", "recurrent"] = Field(
        description="output: added to the GRU's output (Eq. 3); recurrent: fed back into its state, as in the ICASSP code"
    )
    realign_backward: bool = Field(description="restore the time order of the backward half; no published code does this")
    decoder_residual: Literal["none", "enc_recurrent", "mix_output"] = Field(
        description="enc_recurrent: decoder's input added to its state; mix_output: mixture bins added to its output"
    )
    decoder_width: Annotated[int, Field(ge=1, le=2)] = Field(description="width in units of F: 2 (Eq. 5) or 1")
    recurrent_inference: RecurrentInference | None

    @property
    def n_latent(self) -> int:
        """Width of H_dec."""
        return self.decoder_width * self.n_encoder_bins


class Gate(Settings):
    """Thresholds of both divergences. The masker's divergence counts only if both reach theirs (ICASSP 2018, Eq. 10)."""

    masker: Weight
    denoiser: Weight


LatentNorm = Literal["l1", "frobenius", "nuclear", "induced_1"]


class MadLossSettings(Settings):
    """Weights of the objective's terms (ICASSP 2018, Eq. 9, and additions of the submissions)."""

    gate: Gate | None = Field(description="null: the masker's divergence always counts")
    latent_l1: Weight = Field(description="weight of the norm of H_dec, by default the entrywise L1 norm (see latent_norm)")
    latent_norm: LatentNorm = Field(
        default="l1",
        exclude_if=lambda norm: bool(norm == "l1"),  # weights trained before this key existed keep their identity
        description="norm of each sequence's H_dec, summed over a batch of 16: of entries, of singular values, or the largest column sum",
    )
    mask_l1: Weight = Field(description="weight of the entrywise L1 norm of W_mask")
    mask_diagonal_l1: Weight = Field(description="weight of the L1 norm of W_mask's diagonal")
    mask_diagonal_detached: bool = Field(description="true: mask_diagonal_l1 is added to the loss but has no gradient, as in the code")
    decoder_l2: Weight = Field(description="weight of the squared L2 norm of the denoiser's W_dec")


class MadFamily(Family[MadSettings]):
    """Masker-and-Denoiser: recurrent layers predict a mask, and dense layers filter the masked mixture again."""

    name = "mad"
    network_settings = MadSettings
    loss_settings = MadLossSettings
    sources = ("vocals",)
    recorded = ("kl_denoised", "kl_masked", "latent")
    followed = ("kl_denoised", "kl_masked")  # main_KL.py of the branch nmr_eval: the loss before the penalty is added
    method = (
        "Masker and Denoiser (MaD): a bidirectional GRU encoder and a GRU decoder predict a mask (ReLU) that filters the mixture's "
        "magnitude. A denoiser of two ReLU layers filters the result again."
    )
    cost = "generalised Kullback-Leibler divergence after the denoiser and after the masker, with penalties"
    masks = True
    takes_context = True
    has_stack = True

    def check(self, network: MadSettings, sizes: Sizes) -> None:
        """Raise InputError if the encoder reads more bins than exist, or if the decoder's width does not fit its variant."""
        super().check(network, sizes)
        if network.n_encoder_bins > sizes.n_bins:
            raise InputError(f"n_encoder_bins is {network.n_encoder_bins}; expected at most the {sizes.n_bins} bins of the front end.")
        if network.decoder_residual == "enc_recurrent" and network.decoder_width != 2:
            raise InputError("decoder_residual 'enc_recurrent' adds H_enc, which is 2 F wide; expected decoder_width 2.")
        if network.recurrent_inference is not None and network.decoder_width != 2:
            raise InputError("recurrent_inference feeds back 2 F values; expected decoder_width 2, or recurrent_inference null.")
        if network.decoder_residual == "mix_output" and network.n_latent > sizes.n_bins:
            raise InputError(
                f"decoder_residual 'mix_output' adds {network.n_latent} bins of the mixture; the front end has {sizes.n_bins}."
            )
