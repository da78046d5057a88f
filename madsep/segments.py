"""Which frames each sequence reads and estimates, so that together they cover a track."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from madsep.settings import Segments


@dataclass(frozen=True)
class Plan:
    """Segments of one signal: segment q reads n_read frames from first_read + q * step and estimates the `step` frames after its context.

    Frames outside the signal are those of the silence around it.
    """

    first_read: int  # frame
    step: int
    n_read: int
    n_context: int
    n_segments: int

    @property
    def first_estimated(self) -> int:
        """First estimated frame."""
        return self.first_read + self.n_context

    @property
    def end_estimated(self) -> int:
        """Frame after the last estimated one (may lie beyond the signal's last)."""
        return self.first_estimated + self.n_segments * self.step


def full_plan(segments: Segments, n_frames: int) -> Plan:
    """Cover every frame of the signal: context is padded in front, the last segment is padded behind, none is dropped."""
    return Plan(-segments.n_context, segments.step, segments.n_frames, segments.n_context, math.ceil(n_frames / segments.step))


def legacy_plan(segments: Segments, n_samples: int, hop_length: int, batch_size: int) -> Plan:
    """Frame as the published code: context is never padded, and segments beyond the last whole batch are dropped.

    The code's transform has floor((n_samples + 6 hops) / hop) rows, of which floor(rows / step) sequences begin inside; the first
    n_context frames and up to batch_size * step frames at the end are never estimated.
    """
    rows = (n_samples + 6 * hop_length) // hop_length
    n_segments = rows // segments.step // batch_size * batch_size
    return Plan(0, segments.step, segments.n_frames, segments.n_context, n_segments)


def training_plan(segments: Segments, n_frames: int, edge_frames_dropped: int) -> Plan:
    """Cover a training track without its edges; context comes from the track itself, the last segment is padded behind."""
    inner = n_frames - 2 * edge_frames_dropped - 2 * segments.n_context
    n_segments = max(math.ceil(inner / segments.step), 1)
    return Plan(edge_frames_dropped, segments.step, segments.n_frames, segments.n_context, n_segments)


def read_padded(signals: NDArray[np.float32], first: int, n_samples: int) -> NDArray[Any]:
    """Read samples [first, first + n_samples) of (..., n) as a new array, with zeros wherever that lies outside the signal."""
    n_total = signals.shape[-1]
    block = np.zeros((*signals.shape[:-1], n_samples), signals.dtype)
    low, high = max(first, 0), min(first + n_samples, n_total)
    if low < high:
        block[..., low - first : high - first] = signals[..., low:high]
    return block
