"""Write excerpts of audio for the page: as FLAC if they fit into the allowed size, or else as Opus.

A page that was opened from a folder (file://) cannot fetch files or process the sound of `<audio>`, but it can run scripts. So each excerpt
is written twice. FLAC or Opus is for pages from a server, and for other programs. A script with the same bytes in a string, read with the
charset x-user-defined, is for pages from a folder.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyloudnorm
import soundfile as sf
import soxr

from madsep.core.files import atomic
from madsep.core.logs import log
from madsep.core.progress import Progress

MB = 1_000_000
FULL_SCALE = 1 << 15  # of 16-bit samples
OPUS_RATE_HZ = 48_000
OPUS_BIT_RATES = (6_000, 256_000)  # bit/s of each channel between which libsndfile interpolates by `compression_level`, 1 to 0
BEST_BIT_RATE, LEAST_BIT_RATE = 128_000, 32_000  # bit/s of each channel
MARGIN = 0.95  # share of the allowed size that the first bit rate aims at, because Opus varies its bit rate
COPIES = 2 + 1 / 64  # of each byte: one in the file, one in its script, which escapes four of 256 bytes
BLOCK_S = 0.4  # length of a block in ITU-R BS.1770; shorter signals have no loudness
ESCAPED = ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"))  # for JavaScript strings; the backslash comes first


@dataclass(frozen=True)
class Excerpt:
    """One written excerpt. `loudness_lufs` is integrated (ITU-R BS.1770-4), None for silence. `peak` is the largest magnitude."""

    path: Path  # without the suffix
    sample_rate_hz: int
    loudness_lufs: float | None
    peak: float


@dataclass(frozen=True)
class Coding:
    """The coding of the excerpts, in words. If they do not fit, it is empty, and `share` is the part of their length that would fit."""

    words: str
    share: float = 1.0


def write_flac(samples: np.ndarray, sample_rate_hz: int, path: Path) -> Excerpt:
    """Write `samples` (n_channels, n_samples) at full scale 1 as 16-bit FLAC to `path`.flac. 16-bit samples are written exactly."""
    whole = np.round(samples.T.astype(np.float64) * FULL_SCALE)
    n_clipped = int(((whole < -FULL_SCALE) | (whole > FULL_SCALE - 1)).sum())
    if n_clipped:
        log.warning("%s: %d samples are above full scale and were clipped in the excerpt", path, n_clipped)
    with atomic(path.with_name(f"{path.name}.flac")) as temporary:
        sf.write(temporary, np.clip(whole, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16), sample_rate_hz, format="FLAC", subtype="PCM_16")
    peak = float(np.abs(samples).max(initial=0.0))
    return Excerpt(path, sample_rate_hz, _loudness(samples, sample_rate_hz), peak)


def longest_s(n_channels: float, max_bytes: float) -> float:
    """Return the maximum length in seconds of excerpts with `n_channels` in total, so that Opus at LEAST_BIT_RATE fits."""
    return MARGIN * max_bytes * 8 / (COPIES * LEAST_BIT_RATE * n_channels)


def fit(excerpts: Sequence[Excerpt], max_bytes: float) -> Coding:
    """Fit all excerpts, with their scripts, into `max_bytes`. Keep FLAC if it fits, or else replace it by Opus of up to 128 kbit/s.

    If even Opus at 32 kbit/s per channel is too large, nothing is written, and the coding gives the share to which to cut the excerpts.
    """
    flacs = [_file(excerpt, "flac") for excerpt in excerpts]
    n_bytes = COPIES * sum(path.stat().st_size for path in flacs)
    if n_bytes <= max_bytes:
        _write_scripts(flacs)
        return Coding("FLAC, 16 bit, lossless")
    mean_s = sum(info.duration * info.channels for info in map(sf.info, flacs)) / len(flacs)  # of all channels of an excerpt
    rate = min(BEST_BIT_RATE, LEAST_BIT_RATE * longest_s(len(flacs), max_bytes) / mean_s)  # bit/s of each channel
    while rate >= LEAST_BIT_RATE and (excess := COPIES * sum(_write_opus(excerpts, rate)) / max_bytes) > 1:
        rate *= MARGIN / excess
    if rate < LEAST_BIT_RATE:
        return Coding("", rate / LEAST_BIT_RATE)
    for path in flacs:
        path.unlink()
    _write_scripts([_file(excerpt, "opus") for excerpt in excerpts])
    reason = f"FLAC would have taken {n_bytes / MB:.0f} MB, and {max_bytes / MB:g} MB are allowed"
    return Coding(f"Opus, about {rate / 1000:.0f} kbit/s per channel ({reason})")


def script(path: Path) -> bytes:
    """Return the script that passes a file to the page: a call with the file's name and a string, one character per byte."""
    content = path.read_bytes()
    for letter, escaped in ESCAPED:
        content = content.replace(letter, escaped)
    return b'madsepExcerpt("' + path.name.encode("ascii") + b'","' + content + b'")\n'


def _write_scripts(paths: Sequence[Path]) -> None:
    for path in paths:
        with atomic(path.with_name(f"{path.name}.js")) as temporary:
            temporary.write_bytes(script(path))


def _write_opus(excerpts: Sequence[Excerpt], bit_rate: float) -> list[int]:
    """Write each FLAC also as Opus at `bit_rate` per channel. Return the sizes in bytes."""
    low, high = OPUS_BIT_RATES
    level = 1 - (bit_rate - low) / (high - low)
    with Progress("encoding excerpts", len(excerpts)) as progress:
        for excerpt in excerpts:
            samples, rate_hz = sf.read(_file(excerpt, "flac"), dtype="float32", always_2d=True)
            samples = soxr.resample(samples, rate_hz, OPUS_RATE_HZ)
            with atomic(_file(excerpt, "opus")) as temporary:
                sf.write(temporary, samples, OPUS_RATE_HZ, format="OGG", subtype="OPUS", compression_level=level)
            progress.advance(1, excerpt.path.parent.name)
    return [_file(excerpt, "opus").stat().st_size for excerpt in excerpts]


def _file(excerpt: Excerpt, suffix: str) -> Path:
    return excerpt.path.with_name(f"{excerpt.path.name}.{suffix}")


def _loudness(samples: np.ndarray, sample_rate_hz: int) -> float | None:
    if samples.shape[1] <= BLOCK_S * sample_rate_hz or not samples.any():
        return None
    found = float(pyloudnorm.Meter(sample_rate_hz).integrated_loudness(samples.T.astype(np.float64)))
    return found if np.isfinite(found) else None
