"""The frames that are scored."""

import math

from madsep.core.errors import InputError

Frame = tuple[int, int]  # first sample, and last sample + 1


def frames(window: float, hop: float, n_samples: int) -> list[Frame]:
    """Return museval's frames: whole frames of `window` samples every `hop` samples, or one frame if the window covers the signal.

    Both may be fractional, in which case the bounds of frames are rounded down, or infinite. Raises InputError unless both are positive.
    """
    if not (window >= 1 and hop > 0):
        raise InputError(f"window {window} and hop {hop}: expected a window of at least one sample and a positive hop.")
    if not window < n_samples:
        return [(0, n_samples)]
    if math.isinf(hop):
        raise InputError(f"hop {hop} with a window of {window} samples: expected a hop in samples.")
    n_frames = math.floor((n_samples - window + hop) / hop)
    return [(math.floor(t * hop), math.floor(min(t * hop + window, n_samples))) for t in range(n_frames)]


def tiles(framed: list[Frame], n_samples: int) -> list[Frame] | None:
    """Return the frames and the remainder after the last if they cover the signal exactly once, or None if they overlap or leave gaps."""
    stops = [0, *(stop for _, stop in framed)]
    if any(start != stop for (start, _), stop in zip(framed, stops, strict=False)):
        return None
    return framed if stops[-1] == n_samples else [*framed, (stops[-1], n_samples)]
