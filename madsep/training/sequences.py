"""Training sequences: segments of prepared tracks, transformed on the device batch by batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madsep.segments import read_padded, training_plan
from madsep.settings import Segments, Target
from madsep.stft import Stft
from madsep.targets import training_target


class Sequences:
    """All sequences of some tracks; a batch is made of any of them, by index."""

    def __init__(self, entries: Sequence[dict[str, Any]], segments: Segments, edge_frames_dropped: int, stft: Stft) -> None:
        self.segments, self.stft = segments, stft
        self.names = [entry["name"] for entry in entries]
        self.signals = [np.load(entry["file"], mmap_mode="r") for entry in entries]
        index = []
        for track, signal in enumerate(self.signals):
            plan = training_plan(segments, stft.n_frames(signal.shape[-1]), edge_frames_dropped)
            index += [(track, plan.first_read + number * plan.step) for number in range(plan.n_segments)]
        self.index = np.array(index, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.index)

    def tracks_of(self, numbers: Tensor) -> list[str]:
        """True names of the tracks that the sequences `numbers` come from."""
        return sorted({self.names[track] for track, _ in self.index[numbers.numpy()]})

    def batch(self, numbers: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Return clipped mixture magnitudes (B, T, N) and target magnitudes (B, T - 2L, N) of the sequences `numbers`.

        The background is mixture minus voice; magnitudes are taken of complex bins, so its transform is the bins' difference.
        """
        n_span = self.stft.n_span(self.segments.n_frames)
        spans = [
            read_padded(self.signals[track][:2, 0], self.stft.first_sample(frame), n_span) for track, frame in self.index[numbers.numpy()]
        ]
        bins = self.stft.analyse(torch.from_numpy(np.stack(spans)).to(self.stft.window.device, non_blocking=True))
        mixture, voice = bins.unbind(1)
        estimated = slice(self.segments.n_context, self.segments.n_frames - self.segments.n_context)
        inner, inner_voice = mixture[:, estimated], voice[:, estimated]
        wanted = training_target(inner.abs(), inner_voice.abs(), (inner - inner_voice).abs(), target)
        return mixture.abs().clamp(max=target.input_clip), wanted
