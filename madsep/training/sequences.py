"""Training sequences: segments of prepared tracks, augmented in each epoch and transformed on the device batch by batch."""

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from madsep.core.logs import log
from madsep.data.prepared import PreparedTrack
from madsep.front_end.segments import counted, training_plan
from madsep.front_end.stft import Stft, magnitude
from madsep.models.gpu import kernels_serve
from madsep.systems.recipe import System
from madsep.training.spans import Held, Mixtures, Places, Streamed, fits
from madsep.training.targets import bounded, masked_features, training_target


class Sequences:
    """All sequences of some tracks, numbered. Their audio is held on the device if it fits and streamed from disk otherwise.

    `names` are the tracks' names. `signals` are their memory maps (1 + S, 1, n_samples) of the mixture and the recipe's sources, except the
    background. `index` (n_sequences, 2) holds each sequence's track and first frame. `augmented` applies the recipe's augmentation. `held`
    says whether to hold the audio on the device. If it is None, the device's free memory decides.
    """

    def __init__(
        self,
        tracks: Sequence[PreparedTrack],
        recipe: System,
        stft: Stft,
        augmented: bool,
        held: bool | None = None,
    ) -> None:
        self.recipe, self.stft = recipe, stft
        self.segments, self.augmentation = recipe.segments, recipe.training.augmentation if augmented else None
        self.names = [track.name for track in tracks]
        self.signals = [self._signals(track) for track in tracks]
        index = [np.empty((0, 2), np.int64)]
        for number, signal in enumerate(self.signals):
            frames = self._first_frames(stft.n_frames(signal.shape[-1]))
            index.append(np.stack([np.full_like(frames, number), frames], axis=1))
        self.index = np.concatenate(index)
        self.places = Places(self.index[:, 0], self.index[:, 1] * stft.hop + stft.first_sample(0))
        self.mixtures: Mixtures | None = None
        self.store = self._store(held)

    def _first_frames(self, n_frames: int) -> NDArray[np.int64]:
        """Return the first frames of a track's sequences, (n,)."""
        training = self.recipe.training
        plan = training_plan(self.segments, n_frames, training.edge_frames_dropped)
        frames = plan.first_read + plan.step * np.arange(plan.n_segments)
        if training.block_s is None:
            return frames
        block_frames = max(round(training.block_s * self.recipe.front_end.sample_rate_hz / self.stft.hop), 1)
        return frames[counted(self.segments, frames, n_frames, block_frames)]

    def _store(self, held: bool | None) -> Held | Streamed:
        device = self.stft.window.device
        n_bytes = sum(signal.nbytes for signal in self.signals)
        hold = fits(n_bytes, device) if held is None else held
        kind = Held if hold and self.signals else Streamed
        if self.signals:
            where = f"held on {device}" if kind is Held else f"read from disk while {device} computes"
            log.info("audio of %d tracks, %.2f GB: %s", len(self.signals), n_bytes / 1e9, where)
        fastest = 1 + self.augmentation.speed if self.augmentation else 1.0
        return kind(self.signals, self.places, self.stft.n_span(self.segments.n_frames), fastest, device)

    def _signals(self, track: PreparedTrack) -> NDArray[np.float32]:
        """Return mixture and stems of a prepared track. Raises ValueError if it does not begin with them."""
        wanted = ("mixture", *(source for source in self.recipe.sources if source != "background"))
        if track.signals[: len(wanted)] != wanted:
            raise ValueError(f"{track.file}: has the signals {', '.join(track.signals)}; expected {', '.join(wanted)} first")
        return track.array()[: len(wanted)]

    def __len__(self) -> int:
        return len(self.index)

    def tracks_of(self, numbers: Tensor) -> list[str]:
        """Return the names of the tracks from which the sequences `numbers` take their voices and accompaniments."""
        tracks = [self.places.track] if self.mixtures is None else [self.places.track, self.mixtures.accompaniment.track]
        return sorted({self.names[track] for of_sequence in tracks for track in of_sequence[numbers.numpy()]})

    @property
    def wait_s(self) -> float:
        """Seconds for which `stream` has waited for audio since the last `draw`; 0 if it is held on the device."""
        return self.store.wait_s

    def draw(self, generator: torch.Generator) -> None:
        """Begin an epoch: set `wait_s` to 0 and draw the augmentation of all sequences, if there is any.

        Everything is drawn at once, so that an epoch's mixtures depend only on `generator`, wherever in the epoch training resumes.
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
        """Yield, for each batch of sequence numbers (B,), the numbers and the spans (B, 1 + S, n_span) of mixture and stems on the device.

        Without augmentation, these are the track's samples, and zeros outside it. With augmentation, the voice is played at its drawn
        speed, and the mixture is the voice plus the drawn gain times the drawn accompaniment. The accompaniment is its track's mixture
        minus the voice, read circularly at another drawn speed. Raises ValueError if the augmentation has not been drawn. Close the
        iterator to leave it early.
        """
        if self.augmentation is not None and self.mixtures is None:
            raise ValueError("the epoch's augmentation has not been drawn")
        return self.store.stream(batches, self.mixtures)

    def features(self, spans: Tensor) -> tuple[Tensor, Tensor]:
        """Return clipped mixture magnitudes (B, T, N) and the sources' target magnitudes (B, S, T - 2L, N) of spans (B, 1 + S, n_span).

        The remainder of a source is the mixture minus the source, taken on complex bins before the magnitude. The source `background` is
        the remainder of the voice.
        """
        n_context, n_estimated = self.segments.n_context, self.segments.n_estimated
        first = n_context * self.stft.hop
        mixture_bins = self.stft.analyse(spans[:, 0])
        source_bins = self.stft.analyse(spans[:, 1:, first : first + self.stft.n_span(n_estimated)])
        if self.recipe.sources == ("vocals",) and self.recipe.target.definition == "irm_background" and kernels_serve(mixture_bins.device):
            return masked_features(mixture_bins, source_bins[:, 0], self.recipe.target)
        rest_bins = mixture_bins[:, None, n_context : n_context + n_estimated] - source_bins
        mixture, sources, rests = magnitude(mixture_bins), magnitude(source_bins), magnitude(rest_bins)
        if "background" in self.recipe.sources:
            sources, rests = torch.cat([sources, rests], 1), torch.cat([rests, sources], 1)
        target = self.recipe.target
        inner = mixture[:, None, n_context : n_context + n_estimated]
        return bounded(mixture, target.input_clip), training_target(inner, sources, rests, target)
