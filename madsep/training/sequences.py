"""Training sequences: segments of prepared tracks, augmented each epoch, transformed on the device batch by batch."""

from collections.abc import Generator, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madsep.logs import log
from madsep.segments import training_plan
from madsep.settings import Augmentation, Segments, Target
from madsep.stft import Stft
from madsep.targets import bounded, training_target
from madsep.training.spans import Held, Mixtures, Places, Streamed, fits


class Sequences:
    """All sequences of some tracks, numbered; their audio is held on the device where it fits and streamed from disk otherwise.

    `names` and `signals` are of the tracks, the latter memory maps (2, 1, n_samples) of mixture and voice; `index` (n_sequences, 2) has
    each sequence's track and first frame. `held` decides what the device's free memory decides where it is None.
    """

    def __init__(
        self,
        entries: Sequence[dict[str, Any]],
        segments: Segments,
        edge_frames_dropped: int,
        stft: Stft,
        augmentation: Augmentation | None = None,
        held: bool | None = None,
    ) -> None:
        self.segments, self.stft, self.augmentation = segments, stft, augmentation
        self.names = [entry["name"] for entry in entries]
        self.signals = [np.load(entry["file"], mmap_mode="r") for entry in entries]
        index = []
        for track, signal in enumerate(self.signals):
            plan = training_plan(segments, stft.n_frames(signal.shape[-1]), edge_frames_dropped)
            index += [(track, plan.first_read + number * plan.step) for number in range(plan.n_segments)]
        self.index = np.array(index, dtype=np.int64).reshape(-1, 2)
        first = np.array([stft.first_sample(frame) for _, frame in index], dtype=np.int64)
        self.places = Places(self.index[:, 0], first)
        self.mixtures: Mixtures | None = None
        self.store = self._store(held)

    def _store(self, held: bool | None) -> Held | Streamed:
        device = self.stft.window.device
        n_bytes = sum(signal[:2].nbytes for signal in self.signals)
        hold = fits(n_bytes, device) if held is None else held
        kind = Held if hold and self.signals else Streamed
        if self.signals:
            where = f"held on {device}" if kind is Held else f"read from disk while {device} computes"
            log.info("audio of %d tracks, %.2f GB: %s", len(self.signals), n_bytes / 1e9, where)
        fastest = 1 + self.augmentation.speed if self.augmentation else 1.0
        return kind(self.signals, self.places, self.stft.n_span(self.segments.n_frames), fastest, device)

    def __len__(self) -> int:
        return len(self.index)

    def tracks_of(self, numbers: Tensor) -> list[str]:
        """True names of the tracks that the sequences `numbers` come from, of voices and of accompaniments."""
        tracks = [self.places.track] if self.mixtures is None else [self.places.track, self.mixtures.accompaniment.track]
        return sorted({self.names[track] for of_sequence in tracks for track in of_sequence[numbers.numpy()]})

    @property
    def wait_s(self) -> float:
        """Seconds for which `stream` has waited for audio since the last `draw`; 0 where it is held on the device."""
        return self.store.wait_s

    def draw(self, generator: torch.Generator) -> None:
        """Begin an epoch: set `wait_s` to 0 and, where there is augmentation, draw what each voice is mixed with.

        All is drawn at once, so that an epoch's mixtures depend on `generator` alone and not on where in the epoch a run goes on.
        """
        self.store.wait_s = 0.0
        if self.augmentation is None:
            return
        chosen, shift, level, *speeds = torch.rand((5, len(self)), generator=generator, dtype=torch.float64).numpy()
        track, first = self.places.track, self.places.first
        if self.augmentation.other_accompaniments:
            track = (chosen * len(self.signals)).astype(np.int64)
        if self.augmentation.circular_shift:
            n_samples = np.array([signal.shape[-1] for signal in self.signals])
            first = (shift * n_samples[track]).astype(np.int64)
        gain = 10 ** (self.augmentation.gain_db * (2 * level - 1) / 20)
        voice_speed, speed = (1 + self.augmentation.speed * (2 * drawn - 1) for drawn in speeds)
        self.mixtures = Mixtures(Places(track, first), gain.astype(np.float32), voice_speed, speed)

    def stream(self, batches: Iterable[Tensor]) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield, for each batch of sequence numbers (B,), the numbers and the spans (B, 2, n_span) of mixture and voice on the device.

        Without augmentation these are the track's samples, zeros outside it. With it the voice is, at its drawn speed, and the
        mixture is the voice plus the drawn gain times the drawn accompaniment (mixture minus voice of its track, read around the track's
        end, at a speed of its own). Raises ValueError where an augmentation has not been drawn. Close the iterator to leave it early.
        """
        if self.augmentation is not None and self.mixtures is None:
            raise ValueError("the epoch's augmentation has not been drawn")
        return self.store.stream(batches, self.mixtures)

    def features(self, spans: Tensor, target: Target) -> tuple[Tensor, Tensor]:
        """Return clipped mixture magnitudes (B, T, N) and target magnitudes (B, T - 2L, N) of spans (B, 2, n_span).

        The background is mixture minus voice; magnitudes are taken of complex bins, so its transform is the bins' difference.
        """
        n_context, step = self.segments.n_context, self.segments.step
        first = n_context * self.stft.hop
        mixture_bins = self.stft.analyse(spans[:, 0])
        voice_bins = self.stft.analyse(spans[:, 1, first : first + self.stft.n_span(step)])
        background_bins = mixture_bins[:, n_context : n_context + step] - voice_bins
        mixture = mixture_bins.abs()
        inner = mixture[:, n_context : n_context + step]
        return bounded(mixture, target.input_clip), training_target(inner, voice_bins.abs(), background_bins.abs(), target)
