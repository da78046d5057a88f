"""ffmpeg and ffprobe as programs: are they here, what is in a file, and its samples in blocks."""

import json
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.core.logs import log


@dataclass(frozen=True)
class AudioStream:
    """What a container says about one audio stream; `duration_s` is None where it does not tell."""

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
    """Return the version that ffmpeg gives itself, such as "5.1.6". Raises InputError when it is not installed."""
    require_ffmpeg()
    text = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    return text.split()[2]


def probe(path: Path | str) -> list[AudioStream]:
    """Return the audio streams of a file as ffprobe reads them from its header.

    Raises InputError when ffprobe is missing or cannot read the file.
    """
    require_ffmpeg()
    entries = "stream=codec_type,sample_rate,channels,duration"
    command = ["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", f"file:{path}"]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if result.returncode != 0:
        reason = _last_line(result.stderr).removeprefix(f"file:{path}: ")
        raise InputError(f"{path}: cannot be read by ffprobe ({reason}); copy or download it again.")
    streams = [stream for stream in json.loads(result.stdout)["streams"] if stream.get("codec_type") == "audio"]
    return [
        AudioStream(
            sample_rate_hz=int(stream["sample_rate"]),
            n_channels=int(stream["channels"]),
            duration_s=float(stream["duration"]) if "duration" in stream else None,
        )
        for stream in streams
    ]


def check_mp4_size(path: Path | str) -> None:
    """Refuse an mp4 file that is shorter than its boxes say; ffmpeg would decode what is there.

    Raises InputError. Source: the box structure of ISO/IEC 14496-12.
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
            if size < 8 or (promised == 0 and kind != b"ftyp"):  # reaches to the file's end, or is no mp4 at all
                return
            promised += size
    if promised > found:
        reason = f"its header promises {promised} bytes and it has {found}"
        raise InputError(f"{path}: the file is truncated: {reason}; copy or download it again.")


def decode_blocks(path: Path | str, n_channels: int, block_samples: int) -> Iterator[np.ndarray]:
    """Yield the samples of the first audio stream, float32 of shape (up to block_samples, n_channels), own rate.

    Raises InputError at the end when ffmpeg gave up; warns when it only complained.
    """
    source = ["-i", f"file:{path}", "-map", "0:a:0"]
    command = ["ffmpeg", "-nostdin", "-v", "error", *source, "-f", "f32le", "pipe:1"]
    frame_bytes = 4 * n_channels
    with tempfile.TemporaryFile() as messages:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages) as process:
            assert process.stdout is not None
            while data := process.stdout.read(block_samples * frame_bytes):
                whole = len(data) // frame_bytes * frame_bytes
                yield np.frombuffer(data[:whole], dtype="<f4").reshape(-1, n_channels)
        messages.seek(0)
        complaint = messages.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise InputError(f"{path}: ffmpeg cannot decode it ({_last_line(complaint)}); copy or export it again.")
    if complaint:
        log.warning("%s: ffmpeg decoded it with a complaint: %s", path, _last_line(complaint))


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no reason given"
