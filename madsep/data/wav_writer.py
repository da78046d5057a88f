"""Writing of wavs block by block, whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import soundfile as sf
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.files import atomic
from madsep.core.logs import log
from madsep.data.choices import Subtype

INT16_SCALE = 32768
BITS = {"PCM_16": 16, "PCM_24": 24}
MAX_WAV_BYTES = (1 << 32) - (1 << 16)  # larger files need the 64-bit sizes of RF64
NO_PEAK_CHUNK = 0x1050  # libsndfile's SFC_SET_ADD_PEAK_CHUNK, which soundfile lacks; the chunk would contain the time of writing

SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}


def quantise(audio: np.ndarray, subtype: Subtype = "PCM_16") -> np.ndarray:
    """Return the float32 values that would be read back from a file written by `WavWriter`.

    For PCM they are rounded to 2**16 or 2**24 steps and clipped.
    """
    if subtype == "FLOAT":
        return audio.astype(np.float32)
    scale = 1 << (BITS[subtype] - 1)
    return (_to_integers(audio, scale)[0] / np.float32(scale)).astype(np.float32)


class WavWriter:
    """Write a wav block by block. The file appears whole if the `with` block succeeds, or not at all. Above 4 GiB it is RF64.

    `shape` is (n_channels, n_samples) of the whole file. `n_clipped` counts the samples that were clipped to the range of 16 or 24 bit.
    FLOAT samples are never clipped.
    Raises InputError if the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path | str, sample_rate_hz: int, shape: tuple[int, ...], subtype: Subtype) -> None:
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self.n_channels, self.n_samples = shape
        self.subtype = subtype
        container = "WAV" if self.n_channels * self.n_samples * SAMPLE_BYTES[subtype] <= MAX_WAV_BYTES else "RF64"
        self.form: dict[str, Any] = {"subtype": subtype, "format": container}  # of soundfile
        self.n_clipped = 0

    def __enter__(self) -> "WavWriter":
        with self._plain_error(), contextlib.ExitStack() as stack:
            temporary = os.fsencode(stack.enter_context(atomic(self.path)))
            self._stream = stack.enter_context(sf.SoundFile(temporary, "w", self.sample_rate_hz, self.n_channels, **self.form))
            if self.form["subtype"] == "FLOAT":  # so that equal samples give equal bytes
                sf._snd.sf_command(self._stream._file, NO_PEAK_CHUNK, sf._ffi.NULL, 0)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._plain_error():
            self._stack.__exit__(kind, error, traceback)

    def write(self, block: np.ndarray) -> None:
        """Append a block of shape (n_channels, n) with full scale at 1.

        Raises ValueError for another shape or non-finite samples, InputError if the disk is full.
        """
        if block.ndim != 2 or len(block) != self.n_channels:
            raise ValueError(f"{self.path}: expected a block of shape ({self.n_channels}, n), found {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError(f"{self.path}: the samples to write are not all finite")
        samples = self._coded(block)
        with self._plain_error():
            self._stream.write(np.ascontiguousarray(samples.T))

    def tell_clipped(self) -> int:
        """Log how many samples were clipped, if any, and return the number."""
        if self.n_clipped:
            log.warning("%s: %d of %d samples clipped", self.path, self.n_clipped, self.n_channels * self.n_samples)
        return self.n_clipped

    def _coded(self, block: np.ndarray) -> np.ndarray:
        """Return the samples in the type that is written."""
        if self.subtype == "FLOAT":
            return block.astype(np.float32)
        bits = BITS[self.subtype]
        integers, n_clipped = _to_integers(block, 1 << (bits - 1))
        self.n_clipped += n_clipped
        return integers.astype(np.int16) if bits == 16 else integers << (32 - bits)  # libsndfile reads 24 bits from the top of 32

    @contextlib.contextmanager
    def _plain_error(self) -> Iterator[None]:
        try:
            yield
        except sf.LibsndfileError as error:  # libsndfile does not distinguish a full disk from other failures
            reason = f"{self.path}: cannot be written ({error.error_string}); nothing was kept."
            raise InputError(f"{reason} Free some disk space and run the same command again.") from None


def _to_integers(audio: np.ndarray, scale: int) -> tuple[NDArray[np.int32], int]:
    """Return the samples rounded to integers from -scale to scale - 1, and the number of samples that were clipped."""
    rounded = np.rint(audio * np.float32(scale))
    clipped = np.clip(rounded, -scale, scale - 1)
    return clipped.astype(np.int32), int(np.count_nonzero(clipped != rounded))
