"""Multichannel signals that are read in stretches."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from madsep.core.errors import InputError

FROM_16_BIT = 1 / 32768


class Signal(Protocol):
    """A signal that is read in stretches. It need not be in memory."""

    n_channels: int
    n_samples: int

    def read(self, start: int, n_samples: int) -> np.ndarray:
        """Return samples `start` to `start + n_samples` as (n_channels, n_samples). All of them must lie within the signal."""
        ...


class ArraySignal:
    """An array or memory map of shape (n_samples, n_channels), or (n_samples,) for one channel, of any real type."""

    def __init__(self, samples: np.ndarray) -> None:
        samples = samples[:, None] if samples.ndim == 1 else samples
        if samples.ndim != 2:
            raise InputError(f"A signal of shape {samples.shape}: expected (n_samples, n_channels) or (n_samples,).")
        if not (np.issubdtype(samples.dtype, np.floating) or np.issubdtype(samples.dtype, np.integer)):
            raise InputError(f"A signal of type {samples.dtype}: expected real samples.")
        self._samples = samples.T
        self.n_channels, self.n_samples = self._samples.shape

    def read(self, start: int, n_samples: int) -> np.ndarray:
        """Return a view of samples `start` to `start + n_samples` as (n_channels, n_samples)."""
        return self._samples[:, start : start + n_samples]


class WavSignal:
    """A wav file, or another file that libsndfile can read and seek, read block by block.

    Raises InputError if the file is missing, unreadable or truncated. Several threads may read it.
    """

    def __init__(self, path: Path | str) -> None:
        import soundfile

        from madsep.data.containers import examine_audio

        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file.")
        if not examine_audio(self.path).by_sndfile:
            raise InputError(f"{self.path}: is not a wav or flac with a valid length; export it again as one.")
        try:
            self._file = soundfile.SoundFile(os.fsencode(self.path))
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.path}: cannot be read as audio ({error.error_string}); copy or download it again.") from None
        self._lock = threading.Lock()
        self._is_16_bit = self._file.subtype == "PCM_16"  # read as int16 because libsndfile's conversion to float takes three times as long
        self.n_channels, self.n_samples = self._file.channels, self._file.frames
        self.sample_rate_hz = self._file.samplerate

    def read(self, start: int, n_samples: int) -> np.ndarray:
        """Return samples `start` to `start + n_samples` as (n_channels, n_samples), float64 with full scale at 1."""
        with self._lock:
            self._file.seek(start)
            block: np.ndarray = self._file.read(n_samples, dtype="int16" if self._is_16_bit else "float64", always_2d=True)
        if len(block) != n_samples:
            raise InputError(f"{self.path}: ends {n_samples - len(block)} samples before its header says; copy or download it again.")
        if self._is_16_bit:
            block = block * FROM_16_BIT
        return block.T


class SumSignal:
    """The sum of signals of equal length, such as an accompaniment as the sum of its stems. It is computed when it is read."""

    def __init__(self, parts: Sequence[Signal]) -> None:
        self.parts = tuple(parts)
        self.n_channels, self.n_samples = parts[0].n_channels, parts[0].n_samples

    def read(self, start: int, n_samples: int) -> np.ndarray:
        """Return the summed samples `start` to `start + n_samples` as (n_channels, n_samples), float64."""
        total = np.zeros((self.n_channels, n_samples))
        for part in self.parts:
            total += part.read(start, n_samples)
        return total


def as_signal(source: "Signal | np.ndarray | Path | str") -> Signal:
    """Return a path as a wav file, an array (n_samples, n_channels) as a signal, and a signal unchanged."""
    if isinstance(source, str | Path):
        return WavSignal(source)
    if hasattr(source, "read") and hasattr(source, "n_channels") and hasattr(source, "n_samples"):
        return source
    return ArraySignal(np.asarray(source))
