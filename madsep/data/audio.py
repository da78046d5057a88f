"""Reading of audio: whole stems, songs of any length in blocks, and streamed resampling."""

import contextlib
import math
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile as sf
import soxr

from madsep.core.errors import InputError
from madsep.core.ffmpeg import AudioStream, decode_blocks, probe
from madsep.core.files import scratch_file
from madsep.core.logs import log
from madsep.data.containers import Container, check_stream, examine_audio
from madsep.data.windows import sndfile_parts

Blocks = Generator[np.ndarray, None, None]

BLOCK_SAMPLES = 1 << 18  # samples per channel held in memory at a time, about 6 s at 44.1 kHz
MAX_WHOLE_SAMPLES = 1 << 28  # of all channels, for files that are read whole: 50 minutes of stereo at 44.1 kHz
MAX_SONG_HOURS = 24
TOLERANCE_S = 0.1  # allowed difference between a container's duration and the decoded duration of a lossy codec


@dataclass(frozen=True)
class Source:
    """An opened file: its format, and its samples in blocks of shape (n, n_channels). Iterating raises InputError if it is damaged."""

    sample_rate_hz: int
    n_channels: int
    blocks: Iterator[np.ndarray]


def read_wav(path: Path | str) -> tuple[np.ndarray, int]:
    """Read a whole wav file, or a file of another format that `load_song` reads.

    Returns float32 samples of shape (n_channels, n_samples), exact for 16 and 24 bit, and the sample rate in hertz.
    Raises InputError if the file is missing, unreadable, truncated, empty or too long, or contains NaN or infinite samples.
    """
    path, blocks, n_samples = Path(path), [], 0
    with open_audio(path) as source:
        for block in source.blocks:
            blocks.append(block)
            n_samples += len(block)
            if n_samples * source.n_channels > MAX_WHOLE_SAMPLES:
                minutes = MAX_WHOLE_SAMPLES / source.n_channels / source.sample_rate_hz / 60
                raise InputError(f"{path}: is longer than {minutes:.0f} minutes, the limit for files read whole; split it.")
    if n_samples == 0:
        raise InputError(f"{path}: holds no samples; copy or download it again.")
    audio = np.empty((source.n_channels, n_samples), np.float32)
    for block in reversed(blocks):
        audio[:, n_samples - len(block) : n_samples] = block.T
        n_samples -= len(block)
    return audio, source.sample_rate_hz


@contextlib.contextmanager
def open_audio(path: Path) -> Iterator[Source]:
    """Open an audio file. Its content decides the reader: libsndfile if it supports the format and the length is known, otherwise ffmpeg.

    The amount of audio that was read is compared with the header. Raises InputError if neither can read the file, if it is truncated or
    contains non-finite samples, or if its rate or channel count is not one of audio.
    """
    container, reason = examine_audio(path), ""
    if container.by_sndfile:
        try:
            streams = sndfile_parts(path, container.parts)
        except sf.LibsndfileError as error:
            reason = error.error_string
        else:
            with contextlib.ExitStack() as opened:
                for stream in streams:
                    opened.enter_context(stream)
                first = streams[0]
                check_stream(path, first.samplerate, first.channels)
                yield Source(first.samplerate, first.channels, _checked(_sndfile_blocks(streams, path), first.samplerate, path))
            return
    source = _probe_song(path, container, reason)
    check_stream(path, source.sample_rate_hz, source.n_channels)
    blocks = decode_blocks(path, source, BLOCK_SAMPLES, container.kind, container.kind == "wav" and not container.parts)
    with contextlib.closing(_ffmpeg_blocks(blocks, source, container, path)) as counted:
        yield Source(source.sample_rate_hz, source.n_channels, _checked(counted, source.sample_rate_hz, path))


@dataclass(frozen=True)
class Song:
    """A decoded song on disk. Both arrays are float32 memory maps of shape (n_channels, n_samples).

    `original` has the file's own rate, `sample_rate_hz`. `audio` has the requested rate. Pages that were read count as resident until the
    system needs the memory. Only the blocks must stay in memory.
    """

    path: Path
    sample_rate_hz: int
    original: np.ndarray
    audio: np.ndarray


def load_song(path: Path | str, folder: Path | str, sample_rate_hz: int) -> Song:
    """Decode a song of any rate, channel count and length into `folder`, in bounded memory. Nothing else may use the folder.

    Raises InputError as `open_audio` does, if the file is empty or longer than a day, and if the disk is full.
    """
    path = Path(path)
    decoded = Path(folder) / "original.f32"
    with scratch_file(decoded) as stream, open_audio(path) as source:
        own_rate_hz, n_channels = source.sample_rate_hz, source.n_channels
        _write_blocks(source, stream, path)
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
    """Resample `audio` (n_channels, n) block by block to exactly `n_samples`, trimmed or zero-padded at the end.

    Returns a float32 memory map of shape (n_channels, n_samples), stored in the file `path`. Time zero does not move.
    Raises InputError if the disk is full.
    """
    n_channels, n_in = audio.shape
    resampler = soxr.ResampleStream(rate_in_hz, rate_out_hz, n_channels, dtype="float32")
    n_left = n_samples
    step = max(1, min(BLOCK_SAMPLES, BLOCK_SAMPLES * rate_in_hz // rate_out_hz))  # so that the output is not larger than a block either
    with scratch_file(Path(path)) as stream:
        for start in range(0, n_in, step):
            block = np.ascontiguousarray(audio[:, start : start + step].T, dtype=np.float32)
            block = resampler.resample_chunk(block, last=start + step >= n_in)[:n_left]
            n_left -= len(block)
            stream.write(block.tobytes())
        for start in range(0, n_left, BLOCK_SAMPLES):
            stream.write(bytes(4 * n_channels * min(BLOCK_SAMPLES, n_left - start)))
    return _map(Path(path), n_channels)


def _probe_song(path: Path, container: Container, sndfile_reason: str) -> AudioStream:
    expected = "expected an audio file such as wav, flac, ogg, mp3 or m4a"
    too = f"libsndfile cannot read it either ({sndfile_reason}); " if sndfile_reason else ""
    try:
        streams = probe(path, container.kind)
    except InputError as error:
        raise InputError(f"{str(error).removesuffix('.')}; {too}{expected}.") from None
    if not streams:
        raise InputError(f"{path}: ffmpeg finds no audio in it; {too}{expected}.")
    return streams[0]


def _sndfile_blocks(streams: list[sf.SoundFile], path: Path) -> Iterator[np.ndarray]:
    for stream in streams:
        n_read = 0
        try:
            while len(block := stream.read(BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                n_read += len(block)
                yield block
        except sf.LibsndfileError as error:
            raise InputError(f"{path}: is damaged ({error.error_string}); copy or export it again.") from None
        if n_read < stream.frames:
            reason = f"its header promises {stream.frames} samples and it holds {n_read}"
            raise InputError(f"{path}: the file is truncated: {reason}; copy or download it again.")


def _ffmpeg_blocks(blocks: Blocks, source: AudioStream, container: Container, path: Path) -> Blocks:
    """Yield the blocks and compare their length with the container's. For mp3 and aac this is only an estimate and is ignored."""
    n_read = 0
    with contextlib.closing(blocks):
        for block in blocks:
            n_read += len(block)
            yield block
    read_s, promised_s = n_read / source.sample_rate_hz, source.duration_s
    if promised_s is None or not container.parts or container.kind in ("mp3", "aac", None):
        return
    said = f"its header promises {promised_s:.1f} s of audio and it holds {read_s:.1f} s"
    if read_s < promised_s - TOLERANCE_S and container.kind != "ogg":
        raise InputError(f"{path}: the file is truncated: {said}; copy or download it again.")
    if abs(read_s - promised_s) > TOLERANCE_S:
        log.warning("%s: %s; all of it is read", path, said)


def _checked(blocks: Iterable[np.ndarray], sample_rate_hz: int, path: Path) -> Iterator[np.ndarray]:
    """Yield the blocks of shape (n, n_channels). Raises InputError at the first sample that is not finite."""
    n_before = 0
    for block in blocks:
        finite = np.isfinite(block)
        if not finite.all():
            time_s = (n_before + int(np.argmin(finite.all(axis=1)))) / sample_rate_hz
            raise InputError(f"{path}: holds NaN or infinite samples, the first at {time_s:.3f} s; export it again.")
        n_before += len(block)
        yield block


def _write_blocks(source: Source, raw: BinaryIO, path: Path) -> None:
    n_left = MAX_SONG_HOURS * 3600 * source.sample_rate_hz
    for block in source.blocks:
        n_left -= len(block)
        if n_left < 0:
            raise InputError(f"{path}: is longer than {MAX_SONG_HOURS} hours; split it.")
        raw.write(block.tobytes())


def _map(path: Path, n_channels: int) -> np.ndarray:
    return np.memmap(path, dtype=np.float32, mode="r").reshape(-1, n_channels).T
