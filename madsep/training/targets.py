"""Training targets from magnitudes."""

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
