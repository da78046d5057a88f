"""Training targets from magnitudes."""

import math

import torch
from torch import Tensor

from madsep.core.settings import Target

EPSILON = torch.finfo(torch.float64).eps


def training_target(mixture: Tensor, voice: Tensor, background: Tensor, settings: Target) -> Tensor:
    """Return the target magnitude of a source (here the voice), bounded by `settings.clip`. Its shape is the inputs' broadcast shape.

    `irm_background`: X V / (V + B), the ideal ratio mask applied to the mixture. `irm_mixture_x2`: 2 X V / (V + X), as in the code of
    the ICASSP 2018 article; it tends to 2 V for a weak voice. Both are V if the background is silent. `magnitude`: V.
    """
    if settings.definition == "irm_background":
        target = mixture * voice / (voice + background + EPSILON)
    elif settings.definition == "magnitude":
        target = voice
    else:
        target = 2 * mixture * voice / (voice + mixture + EPSILON)
    return bounded(target, settings.clip)


def bounded(magnitudes: Tensor, clip: float | None) -> Tensor:
    """Return magnitudes limited to `clip`, or unchanged if it is None."""
    return magnitudes if clip is None else magnitudes.clamp(max=clip)


def masked_features(mixture: Tensor, voice: Tensor, settings: Target) -> tuple[Tensor, Tensor]:
    """Return a mixture's bounded magnitudes (B, T, N) and its voice's target `irm_background` (B, 1, T - 2L, N), from complex bins.

    One Triton kernel does what `bounded` and `training_target` do. `mixture` is (B, T, N). `voice` is (B, T - 2L, N), without context.
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
