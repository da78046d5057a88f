"""The audio of training sequences: held on the device and gathered there, or streamed from disk by a thread that reads ahead."""

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

from madsep.segments import read_padded

N_AHEAD = 4  # batches that the reading thread may be ahead of the training
READER = "madsep-reader"  # the thread's name


@dataclass(frozen=True)
class Places:
    """Where each sequence lies: its track's number and its first sample there, which may be negative; both (n_sequences,)."""

    track: NDArray[np.int64]
    first: NDArray[np.int64]


@dataclass(frozen=True)
class Accompaniments:
    """What each sequence's voice is mixed with: the accompaniment's place, read around the track's end, and its gain (n_sequences,)."""

    places: Places
    gain: NDArray[np.float32]


def read_circular(signals: NDArray[np.float32], first: int, n_samples: int) -> NDArray[np.float32]:
    """Read samples [first, first + n_samples) of (..., n) as a new array, going on at sample 0 after the last one."""
    pieces, start, missing = [], first % signals.shape[-1], n_samples
    while missing:
        pieces.append(signals[..., start : start + missing])
        start, missing = 0, missing - pieces[-1].shape[-1]
    return np.concatenate(pieces, axis=-1)


def fits(n_bytes: int, device: torch.device) -> bool:
    """Whether audio of `n_bytes` is to be held on the device: where it takes at most half of a GPU's free memory; never on a CPU."""
    return device.type == "cuda" and 2 * n_bytes <= torch.cuda.mem_get_info(device)[0]


class Held:
    """All tracks on the device, one after the other with silence of a span's length around each; batches are gathered there.

    `signals` are [mixture, voice] of each track, (at least 2, 1, n_samples).
    """

    wait_s = 0.0  # gathering is the device's own work

    def __init__(self, signals: Sequence[NDArray[np.float32]], places: Places, n_span: int, device: torch.device) -> None:
        lengths = np.array([signal.shape[-1] for signal in signals], dtype=np.int64)
        ends = np.cumsum(lengths + n_span)
        self.audio = torch.zeros(2, int(ends[-1]) + n_span, device=device)
        begins = ends - lengths
        for signal, begin, end in zip(signals, begins, ends, strict=True):
            self.audio[:, begin:end] = torch.from_numpy(np.array(signal[:2, 0]))
        self.samples = torch.arange(n_span, device=device)
        self.lengths, self.begins = self._on_device(lengths), self._on_device(begins)
        first = np.clip(places.first, -n_span, lengths[places.track])  # further out there is the same silence
        self.starts = self._on_device(begins[places.track] + first)

    def _on_device(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.audio.device)

    def stream(self, batches: Iterable[Tensor], accompaniments: Accompaniments | None) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield each batch's numbers and its spans (B, 2, n_span) of mixture and voice; the host never waits for the device."""
        numbers = list(batches)
        on_device = torch.cat([torch.empty(0, dtype=torch.int64), *numbers]).to(self.audio.device).split([len(batch) for batch in numbers])
        if accompaniments is None:
            for batch, chosen in zip(numbers, on_device, strict=True):
                yield batch, self.audio[:, self.starts[chosen][:, None] + self.samples].transpose(0, 1)
            return
        track, first = self._on_device(accompaniments.places.track), self._on_device(accompaniments.places.first)
        gain = self._on_device(accompaniments.gain)
        for batch, chosen in zip(numbers, on_device, strict=True):
            yield batch, self._mixed(chosen, track[chosen], first[chosen], gain[chosen])

    def _mixed(self, chosen: Tensor, track: Tensor, first: Tensor, gain: Tensor) -> Tensor:
        voice = self.audio[1, self.starts[chosen][:, None] + self.samples]
        around = (first[:, None] + self.samples) % self.lengths[track][:, None]
        mixture, other_voice = self.audio[:, self.begins[track][:, None] + around]
        return torch.stack([voice + gain[:, None] * (mixture - other_voice), voice], dim=1)


class Streamed:
    """Tracks as memory maps; a thread assembles the next batches while the device computes.

    `signals` are [mixture, voice] of each track, (at least 2, 1, n_samples). `wait_s` grows by the seconds waited for the thread.
    """

    def __init__(self, signals: Sequence[NDArray[np.float32]], places: Places, n_span: int, device: torch.device) -> None:
        self.signals, self.places, self.n_span, self.device = signals, places, n_span, device
        self.wait_s = 0.0

    def stream(self, batches: Iterable[Tensor], accompaniments: Accompaniments | None) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Yield each batch's numbers and its spans (B, 2, n_span) of mixture and voice on the device.

        An exception in the thread is raised here. The thread ends with the iterator, also where that is closed before its end.
        """
        ahead: deque[tuple[Tensor, Future[Tensor]]] = deque()
        reader = ThreadPoolExecutor(1, READER)
        try:
            for numbers in batches:
                ahead.append((numbers, reader.submit(self.read, numbers, accompaniments)))
                if len(ahead) > N_AHEAD:
                    yield self._arrived(*ahead.popleft())
            while ahead:
                yield self._arrived(*ahead.popleft())
        finally:
            reader.shutdown(cancel_futures=True)

    def _arrived(self, numbers: Tensor, reading: Future[Tensor]) -> tuple[Tensor, Tensor]:
        asked = time.monotonic()
        spans = reading.result()
        self.wait_s += time.monotonic() - asked
        return numbers, spans.to(self.device, non_blocking=True)

    def read(self, numbers: Tensor, accompaniments: Accompaniments | None) -> Tensor:
        """Spans (B, 2, n_span) of the sequences `numbers` in the host's memory, pinned where the device is a GPU."""
        spans = torch.empty(len(numbers), 2, self.n_span, pin_memory=self.device.type == "cuda")
        for span, number in zip(spans.numpy(), numbers.tolist(), strict=True):
            span[:] = read_padded(self.signals[self.places.track[number]][:2, 0], int(self.places.first[number]), self.n_span)
            if accompaniments is not None:
                track, first = accompaniments.places.track[number], int(accompaniments.places.first[number])
                mixture, voice = read_circular(self.signals[track][:2, 0], first, self.n_span)
                span[0] = span[1] + accompaniments.gain[number] * (mixture - voice)
        return spans
