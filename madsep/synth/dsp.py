"""Signal processing that the synthetic instruments share."""

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, fftconvolve, sosfilt

SAMPLE_RATE_HZ = 44100
Signal = npt.NDArray[np.float64]


def n_samples_of(duration_s: float) -> int:
    """Return the number of samples in `duration_s` seconds."""
    return round(duration_s * SAMPLE_RATE_HZ)


def frequency_hz(pitch: Signal | float) -> Signal:
    """Return the frequency in Hz of a MIDI pitch (69 is 440 Hz). Pitches may be fractional."""
    return np.asarray(440.0 * 2.0 ** ((np.asarray(pitch) - 69.0) / 12.0))


def harmonics(phase: Signal, ratio: Signal | float) -> Signal:
    """Return the sum over k >= 1 of ratio^k cos(k phase), scaled so that a constant ratio gives the power of one cosine.

    `phase` is in radians and has any shape. `ratio` in (0, 1) is the amplitude of each harmonic relative to the one below.
    Source: the closed form of Moorer, "The synthesis of complex audio spectra by means of discrete summation formulas", 1976. The series is
    infinite but decays exponentially, so that aliasing is inaudible.
    """
    cosine = np.cos(phase)
    return np.sqrt(1.0 - ratio**2) * (cosine - ratio) / (1.0 - 2.0 * ratio * cosine + ratio**2)


def band_noise(n_samples: int, low_hz: float, high_hz: float, rng: np.random.Generator) -> Signal:
    """Return noise (n_samples,) of unit standard deviation between two frequencies, falling by 12 dB per octave outside of them."""
    sos = butter(2, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    noise = sosfilt(sos, rng.standard_normal(n_samples))
    return noise / np.std(noise)


def place(mono: Signal, pan: float, delay_samples: int = 0) -> Signal:
    """Return `mono` (n_samples,) panned to stereo (n_samples, 2) with constant power.

    `pan` is -1 for left, 0 for centre, 1 for right. The farther channel is delayed by `delay_samples`.
    """
    angle = (pan + 1.0) * np.pi / 4.0
    stereo = np.stack([np.cos(angle) * mono, np.sin(angle) * mono], axis=1)
    far = 0 if pan > 0 else 1
    if delay_samples:
        stereo[delay_samples:, far] = stereo[:-delay_samples, far].copy()
        stereo[:delay_samples, far] = 0.0
    return stereo


def reverberate(stereo: Signal, decay_s: float, level: float, rng: np.random.Generator) -> Signal:
    """Return `stereo` (n_samples, 2) with the reverberation of a small room, cut to the length of the input.

    `decay_s` is the time in which the reverberation falls by 60 dB. `level` is its energy relative to the direct sound.
    """
    length = n_samples_of(decay_s)
    room = rng.standard_normal((length, 2)) * 10.0 ** (-3.0 * np.arange(length) / length)[:, None]
    room[: n_samples_of(0.008)] = 0.0  # first reflection
    room *= np.sqrt(level / np.sum(room**2, axis=0))
    return stereo + fftconvolve(stereo, room, axes=0)[: len(stereo)]


def add_at(track: Signal, start: int, sound: Signal) -> None:
    """Add `sound` to `track` (both time first) from sample `start`. Anything beyond the end of the track is dropped."""
    stop = min(start + len(sound), len(track))
    if start < stop:
        track[start:stop] += sound[: stop - start]


def rms(signal: Signal) -> float:
    """Return the root mean square of all samples."""
    return float(np.sqrt(np.mean(signal**2)))
