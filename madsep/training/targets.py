"""Training targets from magnitudes."""

import math

import torch
from torch import Tensor

from madsep.core.settings import Target

EPSILON = torch.finfo(torch.float64).eps


def training_target(mixture: Tensor, voice: Tensor, background: Tensor, settings: Target) -> Tensor:
    """Return the target magnitude of a source, here the voice, of the inputs' broadcast shape, bounded by `settings.clip`.

    `irm_background`: X V / (V + B), the ideal ratio mask applied to the mixture. `irm_mixture_x2`: 2 X V / (V + X), what the code of
    the ICASSP 2018 article computes; it tends to 2 V if the voice is weak. Both give V if the background is silent. `magnitude`: V.
    """
    if settings.definition == "irm_background":
        target = mixture * voice / (voice + background + EPSILON)
    elif settings.definition == "magnitude":
        target = voice
    else:
        target = 2 * mixture * voice / (voice + mixture + EPSILON)
    return bounded(target, settings.clip)


def bounded(magnitudes: Tensor, clip: float | None) -> Tensor:
    """Return magnitudes limited to `clip`, or as they are if it is None."""
    return magnitudes if clip is None else magnitudes.clamp(max=clip)


def masked_features(mixture: Tensor, voice: Tensor, settings: Target) -> tuple[Tensor, Tensor]:
    """Return the bounded magnitudes of a mixture's bins (B, T, N) and the target (B, 1, T - 2L, N) `irm_background` of its voice's.

    As `bounded` and `training_target` do, by one Triton kernel on a GPU; `voice` are the bins (B, T - 2L, N) of the inner frames.
    """
    from madsep.training import target_kernels  # imports Triton

    n_sequences, n_frames, n_bins = mixture.shape
    n_inner = voice.shape[1]
    magnitudes = torch.empty(mixture.shape, device=mixture.device)
    target = torch.empty((n_sequences, 1, n_inner, n_bins), device=mixture.device)
    clips = [math.inf if clip is None else clip for clip in (settings.input_clip, settings.clip)]
    pairs = (torch.view_as_real(mixture.contiguous()), torch.view_as_real(voice.contiguous()))
    target_kernels.features[(n_sequences * n_frames,)](*pairs, magnitudes, target, *clips, n_frames, n_inner, n_bins, EPSILON)
    return magnitudes, target
