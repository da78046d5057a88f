"""Synthetic clips in the layout in which MIR-1K is published."""

from pathlib import Path

import numpy as np
import soundfile as sf

RATE_HZ = 16_000


def make_clips(folder: Path, names: list[str], duration_s: float = 0.1, peak: int = 6000) -> Path:
    """Write 16-bit noise (left accompaniment, right voice) to `folder`/Wavfile/<name>, .flac and .wav by turns. Return `folder`."""
    (folder / "Wavfile").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, name in enumerate(names):
        samples = rng.integers(-peak, peak, (round(duration_s * RATE_HZ) + 160 * number, 2), dtype=np.int16)
        suffix = ".flac" if number % 2 == 0 else ".wav"
        sf.write(folder / "Wavfile" / f"{name}{suffix}", samples, RATE_HZ, subtype="PCM_16")
    return folder
