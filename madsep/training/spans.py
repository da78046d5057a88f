"""The audio of training sequences: held on the device, or streamed from disk by a thread that reads ahead."""

import math
import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from madsep.front_end.segments import read_padded

N_AHEAD = 4  # number of batches that the reading thread may read ahead
READER = "madsep-reader"  # the thread's name

Read = tuple[Tensor, Tensor | None]  # audio, and with augmentation the draws of its mixtures


@dataclass(frozen=True)
class Places:
    """Each sequence's track number and its first sample in the track, which may be negative: arrays (n_sequences,)."""

    track: NDArray[np.int64]
    first: NDArray[np.int64]


@dataclass(frozen=True)
class Mixtures:
    """Random draws from which each sequence's mixture is made: arrays (n_sequences,).

    The accompaniment is read from its place and wraps around at the track's end. Speeds are in samples read per sample of output. They
    are 1 if none is drawn.
    """

    accompaniment: Places
    gain: NDArray[np.float32]
    voice_speed: NDArray[np.float64]
    accompaniment_speed: NDArray[np.float64]

    def draws(self, numbers: NDArray[np.int64] | slice) -> NDArray[np.float64]:
        """Return gain, voice's speed and accompaniment's speed of the sequences `numbers`, (B, 3)."""
        return np.stack([self.gain[numbers], self.voice_speed[numbers], self.accompaniment_speed[numbers]], axis=1)


def mixed(accompaniments: Tensor, voices: Tensor, draws: Tensor, n_span: int) -> Tensor:
    """Return spans (B, 2, n_span) of mixture and voice from blocks (B, n_read), which begin one sample early, and draws (B, 3)."""
    gain, voice_speed, speed = draws.unbind(1)
    voice = at_speed(voices, voice_speed, n_span)
    return torch.stack([voice + gain.float()[:, None] * at_speed(accompaniments, speed, n_span), voice], dim=1)


def read_circular(signals: NDArray[np.float32], first: int, n_samples: int) -> NDArray[np.float32]:
    """Read samples [first, first + n_samples) of (..., n) as a new array, continuing at sample 0 after the last one."""
    pieces, start, missing = [], first % signals.shape[-1], n_samples
    while missing:
        pieces.append(signals[..., start : start + missing])
        start, missing = 0, missing - pieces[-1].shape[-1]
    return np.concatenate(pieces, axis=-1)


def n_read_for(n_span: int, fastest: float) -> int:
    """Return the number of samples that `at_speed` reads to produce `n_span` samples at speeds up to `fastest`."""
    return math.ceil(fastest * (n_span - 1)) + 4


def at_speed(blocks: Tensor, speed: Tensor, n_span: int) -> Tensor:
    """Resample blocks (B, n_read), which begin one sample early, at speeds (B,) by cubic convolution: (B, n_span).

    Keys, "Cubic convolution interpolation for digital image processing", IEEE TASSP 29(6), 1981.
    """
    position = speed[:, None] * torch.arange(n_span, dtype=torch.float64, device=blocks.device)
    whole = position.floor()
    part, first = (position - whole).float(), whole.long()
    before, here, after, beyond = (blocks.gather(1, first + offset) for offset in range(4))
    cubic = 3 * (here - after) + beyond - before
    square = 2 * before - 5 * here + 4 * after - beyond
    return here + 0.5 * part * (after - before + part * (square + part * cubic))


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether to hold audio of `n_bytes` on the device: only on a GPU, and if it takes at most half of the free memory."""
    return device.type == "cuda" and 2 * n_bytes <= torch.cuda.mem_get_info(device)[0]


class Held:
    """All tracks on the device, where batches are gathered. Each track is surrounded by as much silence as one read covers.

    `signals` are mixture and stems of each track, (1 + S, 1, n_samples). `fastest` is the highest playback speed.
    """

    wait_s = 0.0  # the device gathers batches itself

    def __init__(self, signals: Sequence[NDArray[np.float32]], places: Places, n_span: int, fastest: float, device: torch.device) -> None:
        self.n_span, self.n_read = n_span, n_read_for(n_span, fastest)
        lengths = np.array([signal.shape[-1] for signal in signals], dtype=np.int64)
        ends = np.cumsum(lengths + self.n_read)
        self.audio = torch.zeros(len(signals[0]), int(ends[-1]) + self.n_read, device=device)
        begins = ends - lengths
        for signal, begin, end in zip(signals, begins, ends, strict=True):
            self.audio[:, begin:end] = torch.from_numpy(np.array(signal[:, 0]))
        self.samples = torch.arange(n_span, device=device)
        self.reading = torch.arange(-1, self.n_read - 1, device=device)
        self.lengths, self.begins = self._on_device(lengths), self._on_device(begins)
        first = np.clip(places.first, 1 - self.n_read, lengths[places.track] + 1)  # farther out there is only silence, too
        self.starts = self._on_device(begins[places.track] + first)

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.audio.device)

    def stream(self, batches: Iterable[Tensor], mixtures: Mixtures | None) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield each batch's numbers and its spans (B, 1 + S, n_span) of mixture and stems. The host never waits for the device."""
        numbers = list(batches)
        on_device = torch.cat([torch.empty(0, dtype=torch.int64), *numbers]).to(self.audio.device).split([len(batch) for batch in numbers])
        if mixtures is None:
            for batch, chosen in zip(numbers, on_device, strict=True):
                yield batch, self.audio[:, self.starts[chosen][:, None] + self.samples].transpose(0, 1)
            return
        tracks, firsts = self._on_device(mixtures.accompaniment.track), self._on_device(mixtures.accompaniment.first)
        draws = self._on_device(mixtures.draws(slice(None)))
        for batch, chosen in zip(numbers, on_device, strict=True):
            voices = self.audio[1, self.starts[chosen][:, None] + self.reading]
            yield batch, mixed(self._accompaniments(tracks[chosen], firsts[chosen]), voices, draws[chosen], self.n_span)

    def _accompaniments(self, track: Tensor, first: Tensor) -> Tensor:
        around = (first[:, None] + self.reading) % self.lengths[track][:, None]
        mixture, voice = self.audio[:, self.begins[track][:, None] + around]
        accompaniment: Tensor = mixture - voice
        return accompaniment


class Streamed:
    """Tracks as memory maps, from which a thread assembles the next batches while the device computes.

    `signals` are mixture and stems of each track, (1 + S, 1, n_samples). `fastest` is the highest playback speed. `wait_s` counts the
    seconds spent waiting for the thread.
    """

    def __init__(self, signals: Sequence[NDArray[np.float32]], places: Places, n_span: int, fastest: float, device: torch.device) -> None:
        self.signals, self.places, self.n_span, self.device = signals, places, n_span, device
        self.n_read = n_read_for(n_span, fastest)
        self.wait_s = 0.0

    def stream(self, batches: Iterable[Tensor], mixtures: Mixtures | None) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield each batch's numbers and its spans (B, 1 + S, n_span) of mixture and stems on the device.

        An exception in the thread is raised here. The thread ends with the iterator, even if the iterator is closed early.
        """
        ahead: deque[tuple[Tensor, Future[Read]]] = deque()
        reader = ThreadPoolExecutor(1, READER)
        try:
            for numbers in batches:
                ahead.append((numbers, reader.submit(self.read, numbers, mixtures)))
                if len(ahead) > N_AHEAD:
                    yield self._arrived(*ahead.popleft())
            while ahead:
                yield self._arrived(*ahead.popleft())
        finally:
            reader.shutdown(cancel_futures=True)

    def _arrived(self, numbers: Tensor, reading: Future[Read]) -> tuple[Tensor, Tensor]:
        asked = time.monotonic()
        blocks, draws = reading.result()
        self.wait_s += time.monotonic() - asked
        blocks = blocks.to(self.device, non_blocking=True)
        if draws is None:
            return numbers, blocks
        return numbers, mixed(blocks[:, 0], blocks[:, 1], draws.to(self.device, non_blocking=True), self.n_span)

    def read(self, numbers: Tensor, mixtures: Mixtures | None) -> Read:
        """Return the audio of the sequences `numbers` in the host's memory, pinned if the device is a GPU.

        Without `mixtures`, these are spans (B, 1 + S, n_span) of mixture and stems. Otherwise they are blocks (B, 2, n_read) of
        accompaniment and voice, with their draws.
        """
        if mixtures is None:
            spans = self._empty(len(numbers), len(self.signals[0]), self.n_span)
            for span, number in zip(spans.numpy(), numbers.tolist(), strict=True):
                span[:] = read_padded(self.signals[self.places.track[number]][:, 0], int(self.places.first[number]), self.n_span)
            return spans, None
        blocks, places = self._empty(len(numbers), 2, self.n_read), mixtures.accompaniment
        for block, number in zip(blocks.numpy(), numbers.tolist(), strict=True):
            mixture, voice = read_circular(self.signals[places.track[number]][:, 0], int(places.first[number]) - 1, self.n_read)
            block[0] = mixture - voice
            block[1] = read_padded(self.signals[self.places.track[number]][1, 0], int(self.places.first[number]) - 1, self.n_read)
        draws = self._empty(len(numbers), 3, dtype=torch.float64)
        draws[:] = torch.from_numpy(mixtures.draws(numbers.numpy()))
        return blocks, draws

    def _empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=self.device.type == "cuda")
