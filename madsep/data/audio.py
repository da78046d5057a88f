"""Reading and writing audio: wav files whole, a user's songs in blocks, 16-bit output, resampling in a stream."""

import contextlib
import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr

from madsep.core.errors import InputError
from madsep.core.ffmpeg import decode_blocks, probe
from madsep.core.files import atomic, scratch_file

BLOCK_SAMPLES = 1 << 18  # samples of each channel held in memory at a time; about 6 s at 44.1 kHz
UNKNOWN_SIZE = 0xFFFFFFFF  # a wav written to a pipe says so instead of its size
INT16_SCALE = 32768


def read_wav(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a whole wav file.

    Returns float32 samples of shape (n_channels, n_samples), exact for 16 and 24 bit, and the sample rate in hertz.
    Raises InputError when the file is missing, unreadable, truncated, empty or holds NaN or infinite samples.
    """
    path = Path(path)
    _require_file(path)
    check_wav_size(path)
    try:
        audio, sample_rate_hz = sf.read(path, dtype="float32", always_2d=True)
    except sf.LibsndfileError as error:
        raise InputError(f"{path}: cannot be read as audio ({error.error_string}); copy or download it again.") from None
    if len(audio) == 0:
        raise InputError(f"{path}: holds no samples; copy or download it again.")
    _check_finite(audio, 0, sample_rate_hz, path)
    return np.ascontiguousarray(audio.T), sample_rate_hz


def check_wav_size(path: Path | str) -> None:
    """Refuse a RIFF wav whose data chunk is shorter than its header says; libsndfile would read the rest silently.

    Raises InputError. Files of other kinds pass.
    """
    path = Path(path)
    with path.open("rb") as stream:
        if stream.read(4) != b"RIFF":
            return
        stream.seek(12)
        while len(header := stream.read(8)) == 8:
            name, promised = struct.unpack("<4sI", header)
            found = path.stat().st_size - stream.tell()
            if name == b"data" and found < promised != UNKNOWN_SIZE:
                reason = f"its header promises {promised} bytes of audio and it holds {found}"
                raise InputError(f"{path}: the file is truncated: {reason}; copy or download it again.")
            stream.seek(promised + promised % 2, 1)


def quantise(audio: np.ndarray) -> np.ndarray:
    """Return the float32 values that `Pcm16Writer` lets one read back: the nearest of the 65,536 steps, clipped."""
    return (_to_int16(audio)[0] / np.float32(INT16_SCALE)).astype(np.float32)


class Pcm16Writer:
    """Write a 16-bit wav block by block; the file appears whole when the `with` block succeeds, or not at all.

    `n_clipped` counts the samples beyond the 16-bit range, which were set to its ends.
    Raises InputError when the disk is full or the folder cannot be written.
    """

    def __init__(self, path: Path | str, sample_rate_hz: int, n_channels: int) -> None:
        self.path = Path(path)
        self.sample_rate_hz = sample_rate_hz
        self.n_channels = n_channels
        self.n_clipped = 0

    def __enter__(self) -> "Pcm16Writer":
        with self._plain_error(), contextlib.ExitStack() as stack:
            temporary = stack.enter_context(atomic(self.path))
            self._stream = stack.enter_context(
                sf.SoundFile(temporary, "w", self.sample_rate_hz, self.n_channels, subtype="PCM_16", format="WAV")
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with self._plain_error():
            self._stack.__exit__(kind, error, traceback)

    def write(self, block: np.ndarray) -> None:
        """Append a block of shape (n_channels, n) with full scale at 1.

        Raises ValueError for another shape or samples that are not finite, InputError when the disk is full.
        """
        if block.ndim != 2 or len(block) != self.n_channels:
            raise ValueError(f"{self.path}: expected a block of shape ({self.n_channels}, n), found {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError(f"{self.path}: the samples to write are not all finite")
        samples, n_clipped = _to_int16(block)
        self.n_clipped += n_clipped
        with self._plain_error():
            self._stream.write(np.ascontiguousarray(samples.T))

    @contextlib.contextmanager
    def _plain_error(self) -> Iterator[None]:
        try:
            yield
        except sf.LibsndfileError as error:  # libsndfile does not tell a full disk from other failures
            reason = f"{self.path}: cannot be written ({error.error_string}); nothing was kept."
            raise InputError(f"{reason} Free some disk space and run the same command again.") from None


@dataclass(frozen=True)
class Song:
    """A decoded song on disk; both arrays are float32 memory maps of shape (n_channels, n_samples).

    `original` has the file's own rate `sample_rate_hz`; `audio` has the rate that was asked for. Pages that were read
    count as resident until the system needs the memory; what must stay in memory is bounded by the blocks.
    """

    path: Path
    sample_rate_hz: int
    original: np.ndarray
    audio: np.ndarray


def load_song(path: Path | str, folder: Path | str, sample_rate_hz: int) -> Song:
    """Decode a song of any rate, channel count and length into `folder`, which nothing else may use, in bounded memory.

    libsndfile reads what it can (wav, flac, ogg, mp3), ffmpeg the rest.
    Raises InputError when neither reads it, when it is truncated, empty or not finite, and when the disk is full.
    """
    path = Path(path)
    _require_file(path)
    decoded = Path(folder) / "original.f32"
    with scratch_file(decoded) as stream:
        own_rate_hz, n_channels = _decode(path, stream)
    if decoded.stat().st_size == 0:
        raise InputError(f"{path}: holds no samples.")
    original = _map(decoded, n_channels)
    if own_rate_hz == sample_rate_hz:
        return Song(path, own_rate_hz, original, original)
    n_samples = math.ceil(original.shape[1] * sample_rate_hz / own_rate_hz)
    resampled = Path(folder) / "resampled.f32"
    audio = resample_to_length(original, own_rate_hz, sample_rate_hz, n_samples, resampled)
    return Song(path, own_rate_hz, original, audio)


def resample_to_length(audio: np.ndarray, rate_in_hz: int, rate_out_hz: int, n_samples: int, path: Path | str) -> np.ndarray:
    """Resample `audio` (n_channels, n) in a stream to exactly `n_samples`, trimmed or padded with zeros at the end.

    Returns a float32 memory map of shape (n_channels, n_samples) kept in the file `path`; time zero stays in place.
    Raises InputError when the disk is full.
    """
    n_channels, n_in = audio.shape
    resampler = soxr.ResampleStream(rate_in_hz, rate_out_hz, n_channels, dtype="float32")
    n_left = n_samples
    with scratch_file(Path(path)) as stream:
        for start in range(0, n_in, BLOCK_SAMPLES):
            block = np.ascontiguousarray(audio[:, start : start + BLOCK_SAMPLES].T, dtype=np.float32)
            block = resampler.resample_chunk(block, last=start + BLOCK_SAMPLES >= n_in)[:n_left]
            n_left -= len(block)
            stream.write(block.tobytes())
        stream.write(bytes(4 * n_channels * n_left))
    return _map(Path(path), n_channels)


def _to_int16(audio: np.ndarray) -> tuple[np.ndarray, int]:
    rounded = np.rint(audio * np.float32(INT16_SCALE))
    clipped = np.clip(rounded, -INT16_SCALE, INT16_SCALE - 1)
    return clipped.astype(np.int16), int(np.count_nonzero(clipped != rounded))


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder, not an audio file' if path.is_dir() else 'no such file'}.")


def _check_finite(block: np.ndarray, n_before: int, sample_rate_hz: int, path: Path) -> None:
    """Refuse a block of shape (n, n_channels) that starts `n_before` samples into the file and is not finite."""
    finite = np.isfinite(block)
    if not finite.all():
        time_s = (n_before + int(np.argmin(finite.all(axis=1)))) / sample_rate_hz
        raise InputError(f"{path}: holds NaN or infinite samples, the first at {time_s:.3f} s; export it again.")


def _decode(path: Path, raw: BinaryIO) -> tuple[int, int]:
    """Write the song as interleaved float32 to `raw`; return its rate in hertz and its number of channels."""
    try:
        stream = sf.SoundFile(path)
    except sf.LibsndfileError as error:
        sample_rate_hz, n_channels = _probe_song(path, error.error_string)
        _write_blocks(decode_blocks(path, n_channels, BLOCK_SAMPLES), raw, sample_rate_hz, path)
        return sample_rate_hz, n_channels
    with stream:
        check_wav_size(path)
        try:
            _write_blocks(_sndfile_blocks(stream), raw, stream.samplerate, path)
        except sf.LibsndfileError as error:
            raise InputError(f"{path}: is damaged ({error.error_string}); copy or export it again.") from None
        return stream.samplerate, stream.channels


def _probe_song(path: Path, sndfile_reason: str) -> tuple[int, int]:
    expected = "expected an audio file such as wav, flac, ogg, mp3 or m4a"
    try:
        streams = probe(path)
    except InputError as error:
        raise InputError(f"{error}\n{path}: libsndfile cannot read it either ({sndfile_reason}); {expected}.") from None
    if not streams:
        raise InputError(f"{path}: ffmpeg finds no audio in it, nor does libsndfile ({sndfile_reason}); {expected}.")
    return streams[0].sample_rate_hz, streams[0].n_channels


def _sndfile_blocks(stream: sf.SoundFile) -> Iterator[np.ndarray]:
    while len(block := stream.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        yield block


def _write_blocks(blocks: Iterable[np.ndarray], raw: BinaryIO, sample_rate_hz: int, path: Path) -> None:
    n_samples = 0
    for block in blocks:
        _check_finite(block, n_samples, sample_rate_hz, path)
        raw.write(block.tobytes())
        n_samples += len(block)


def _map(path: Path, n_channels: int) -> np.ndarray:
    return np.memmap(path, dtype=np.float32, mode="r").reshape(-1, n_channels).T
