"""Calls of ffmpeg and ffprobe: check that they are installed, inspect a file, decode it in blocks."""

import contextlib
import json
import shutil
import struct
import subprocess
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.core.processes import Program, Stalled, program

# Containers that hold samples. Playlists (concat, hls, dash) are excluded because they name other files.
DEMUXERS = (
    *("aac", "ac3", "aiff", "amr", "ape", "asf", "au", "avi", "caf", "dsf", "dts", "eac3", "flac", "flv", "iff", "loas", "matroska,webm"),
    *("mov", "mp3", "mpc", "mpc8", "mpeg", "mpegts", "ogg", "tak", "truehd", "tta", "voc", "w64", "wav", "wv", "xwma"),
)
MAX_PROBE_BYTES = 1 << 22
MAX_ALLOCATION_BYTES = 1 << 28


@dataclass(frozen=True)
class AudioStream:
    """Properties of one audio stream. `duration_s` is None if the container does not state it."""

    sample_rate_hz: int
    n_channels: int
    duration_s: float | None


def require_ffmpeg() -> None:
    """Raise InputError unless both ffmpeg and ffprobe are on the PATH."""
    missing = [name for name in ("ffmpeg", "ffprobe") if shutil.which(name) is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not found on the PATH. Install ffmpeg, which brings both: "
            "'sudo apt-get install ffmpeg' on Debian or Ubuntu, 'brew install ffmpeg' on macOS."
        )


def ffmpeg_version() -> str:
    """Return the version that ffmpeg reports, such as "5.1.6". Raises InputError if ffmpeg is not installed."""
    require_ffmpeg()
    text = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    return text.split()[2]


def probe(path: Path | str, demuxer: str | None = None) -> list[AudioStream]:
    """Return the audio streams of a file as ffprobe finds them in its header.

    `demuxer` names the file's format if it is known. Raises InputError if ffprobe is missing, cannot read the file, or takes it for a
    playlist.
    """
    require_ffmpeg()
    entries = "format=duration:stream=codec_type,sample_rate,channels,duration"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", *_reading(path, demuxer)]
    with _not_stalled(path), program(command) as running:
        text = next(running.blocks(MAX_PROBE_BYTES), b"")
        status = running.status if len(text) < MAX_PROBE_BYTES else 1
    if status != 0:
        reason = _last_line(running.complaint).removeprefix(f"file:{path}: ")
        raise InputError(f"{path}: cannot be read by ffprobe ({reason}); copy or download it again.")
    found = json.loads(text)
    streams = [found.get("format", {}) | stream for stream in found.get("streams", ()) if stream.get("codec_type") == "audio"]
    return [
        AudioStream(
            sample_rate_hz=int(stream.get("sample_rate", 0)),
            n_channels=int(stream.get("channels", 0)),
            duration_s=float(stream["duration"]) if "duration" in stream else None,
        )
        for stream in streams
    ]


def check_mp4_size(path: Path | str) -> None:
    """Raise InputError if an mp4 file is shorter than its boxes say. ffmpeg would decode the part that exists.

    Source: the box structure of ISO/IEC 14496-12.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    found, promised = path.stat().st_size, 0
    with path.open("rb") as stream:
        while promised < found:
            stream.seek(promised)
            size, kind, large_size = struct.unpack(">I4sQ", stream.read(16).ljust(16, b"\0"))
            size = large_size if size == 1 else size
            if size < 8 or (promised == 0 and kind != b"ftyp"):  # the last box extends to the end of the file, or this is not mp4
                return
            promised += size
    if promised > found:
        reason = f"its header promises {promised} bytes and it has {found}"
        raise InputError(f"{path}: the file is truncated: {reason}; copy or download it again.")


def decode_blocks(
    path: Path | str, source: AudioStream, block_samples: int, demuxer: str | None = None, ignore_length: bool = False
) -> Generator[np.ndarray, None, None]:
    """Yield the samples of the first audio stream, float32 of shape (up to block_samples, source.n_channels), at the rate of `source`.

    With `ignore_length`, a wav is read to the end of the file, whatever length its header states.
    Raises InputError at the end if ffmpeg failed or wrote nothing for a minute. Logs a warning if ffmpeg succeeded but complained.
    """
    reading = [*(["-ignore_length", "1"] if ignore_length else []), *_reading(path, demuxer)]
    # later parts of a chained file may have another rate or channel count
    form = ["-ac", str(source.n_channels), "-ar", str(source.sample_rate_hz), "-f", "f32le"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-max_alloc", str(MAX_ALLOCATION_BYTES), *reading, "-map", "0:a:0", *form, "pipe:1"]
    frame_bytes = 4 * source.n_channels
    with _not_stalled(path), program(command) as running:
        yield from _samples(running, block_samples * frame_bytes, source.n_channels)
        status = running.status
    if status != 0:
        raise InputError(f"{path}: ffmpeg cannot decode it ({_last_line(running.complaint)}); copy or export it again.")
    if running.complaint:
        log.warning("%s: ffmpeg decoded it with a complaint: %s", path, _last_line(running.complaint))


def _samples(running: Program, n_bytes: int, n_channels: int) -> Iterator[np.ndarray]:
    for data in running.blocks(n_bytes):
        whole = len(data) // (4 * n_channels) * 4 * n_channels
        yield np.frombuffer(data[:whole], dtype="<f4").reshape(-1, n_channels)


def _reading(path: Path | str, demuxer: str | None) -> list[str]:
    """Return options that make ffmpeg read this one file and nothing else, without network access."""
    limits = ["-protocol_whitelist", "file,pipe", "-format_whitelist", ",".join(DEMUXERS)]
    return [*limits, *(["-f", demuxer] if demuxer else []), "-i", f"file:{path}"]


@contextlib.contextmanager
def _not_stalled(path: Path | str) -> Iterator[None]:
    try:
        yield
    except Stalled:
        raise InputError(f"{path}: ffmpeg gave no audio for a minute and was stopped; export it again.") from None


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
