"""Division of a track's frames into the segments that networks read and estimate."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from madsep.core.settings import Segments


@dataclass(frozen=True)
class Plan:
    """Segments of one signal. Segment q reads n_read frames from first_read + q * step and estimates those between its contexts.

    If segments overlap, fewer segments contain the first and last estimated frames of the plan than the others. Frames outside the signal
    are silent.
    """

    first_read: int  # frame
    step: int
    n_read: int
    n_context: int
    n_segments: int

    @property
    def n_shared(self) -> int:
        """Number of preceding segments that estimate some of the same frames as a segment."""
        return math.ceil((self.n_read - 2 * self.n_context) / self.step) - 1

    @property
    def first_estimated(self) -> int:
        """First estimated frame."""
        return self.first_read + self.n_context

    @property
    def end_estimated(self) -> int:
        """Frame after the last one that is estimated by all segments that can contain it. It may lie beyond the end of the signal."""
        return self.first_estimated + self.n_segments * self.step


def full_plan(segments: Segments, n_frames: int) -> Plan:
    """Return a plan in which all segments that can contain a frame do so. Silence pads both ends, and no frame is dropped."""
    step, n_context = segments.step, segments.n_context
    n_shared = math.ceil(segments.n_estimated / step) - 1
    return Plan(-n_context - n_shared * step, step, segments.n_frames, n_context, math.ceil(n_frames / step) + n_shared)


def legacy_plan(segments: Segments, n_samples: int, hop_length: int, batch_size: int) -> Plan:
    """Return the plan of the published code: context is never padded, and segments beyond the last whole batch are dropped.

    The code's transform has floor((n_samples + 6 hops) / hop) rows, in which floor(rows / step) sequences start. The first n_context frames
    and up to batch_size * step frames at the end are never estimated.
    """
    rows = (n_samples + 6 * hop_length) // hop_length
    n_segments = rows // segments.step // batch_size * batch_size
    return Plan(0, segments.step, segments.n_frames, segments.n_context, n_segments)


def training_plan(segments: Segments, n_frames: int, edge_frames_dropped: int) -> Plan:
    """Return the plan for a training track without its edges. Context is taken from the track, and the last segment may be padded."""
    inner = n_frames - 2 * edge_frames_dropped - 2 * segments.n_context - segments.overlap
    n_segments = max(math.ceil(inner / segments.step), 1)
    return Plan(edge_frames_dropped, segments.step, segments.n_frames, segments.n_context, n_segments)


def counted(segments: Segments, first_frames: NDArray[np.int64], n_frames: int, block_frames: int) -> NDArray[np.bool_]:
    """Return a mask (n_segments,) of the segments that DeepConvSep's code trains on: the first ones in each of its blocks.

    For a block of M frames, the code counts floor((M + floor(M / T) * overlap) / T) segments of T frames, at least 1. In a block of 30 s it
    counts 157, although about 512 fit (github.com/MTG/DeepConvSep, dataset.py: getNum and loadFile). `first_frames` (n_segments,) are the
    first frames of the segments. `n_frames` is the length of the track in frames.
    """
    in_block = np.minimum(block_frames, n_frames - first_frames // block_frames * block_frames)
    n_counted = np.maximum((in_block + in_block // segments.n_frames * segments.overlap) // segments.n_frames, 1)
    return np.asarray(first_frames % block_frames < n_counted * segments.step)


def cross_fade(segments: Segments) -> NDArray[np.float64]:
    """Return the weights (n_estimated,) of a segment's estimates in the sum of all segments. The weights of each frame add up to 1.

    Each segment is faded in linearly over the frames that it shares with the sum of earlier segments, as in DeepConvSep
    (github.com/MTG/DeepConvSep, util.py).
    """
    fade_in = np.ones(segments.n_estimated)
    fade_in[: segments.overlap] = np.linspace(0, 1, segments.overlap)
    weights = fade_in.copy()
    for later in range(segments.step, segments.n_estimated, segments.step):
        weights[later:] *= 1 - fade_in[:-later]
    return weights


def read_padded(signals: NDArray[np.float32], first: int, n_samples: int) -> NDArray[Any]:
    """Return a copy of samples [first, first + n_samples) of `signals` (..., n), with zeros outside the signal."""
    n_total = signals.shape[-1]
    block = np.zeros((*signals.shape[:-1], n_samples), signals.dtype)
    low, high = max(first, 0), min(first + n_samples, n_total)
    if low < high:
        block[..., low - first : high - first] = signals[..., low:high]
    return block
