"""A sung voice: a glottal source and a moving vocal tract, with consonants, breath and rests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d
from scipy.signal import lfilter

from madsep.synth.composition import Syllable
from madsep.synth.dsp import SAMPLE_RATE_HZ, Signal, band_noise, frequency_hz, harmonics, rms
from madsep.synth.phonemes import CONSONANTS, NEUTRAL, NOISE_BANDS_HZ, VOWELS, Consonant

BLOCK = 128  # samples between two values of a control track
BLOCKS_PER_S = SAMPLE_RATE_HZ / BLOCK
BREATH_S = 0.28
BANDWIDTHS_HZ = (70.0, 90.0, 130.0, 180.0, 220.0)
FRAME, FFT = 1024, 2048  # samples filtered with one shape of the vocal tract, without and with the filter's tail
UPPER_FORMANTS_HZ = np.arange(5300.0, 16000.0, 1100.0)  # these do not move


@dataclass(frozen=True)
class Singer:
    """Characteristics of one singer. Pitches are MIDI numbers."""

    lowest: int
    highest: int
    tract: float  # formant frequencies relative to those of a man
    tilt_hz: float  # above this frequency the source falls by 6 dB per octave
    breathiness: float  # breath noise relative to the voiced source
    vibrato_hz: float
    vibrato_depth: float  # semitones, up and down
    glide_rad_s: float  # natural frequency of the pitch control; larger values slide faster
    glide_damping: float  # values below 1 overshoot


@dataclass(frozen=True)
class Controls:
    """Control signals with one row per block of BLOCK samples."""

    pitch: Signal  # (n_blocks,) MIDI, before slides and vibrato
    vibrato: Signal  # (n_blocks,) fraction of the singer's depth
    voicing: Signal  # (n_blocks,)
    aspiration: Signal  # (n_blocks,)
    noise: Signal  # (n_blocks, 3) level in each of NOISE_BANDS_HZ
    formants_hz: Signal  # (n_blocks, 3) for a man


def draw_singer(rng: np.random.Generator) -> Singer:
    """Draw the voice of a man or a woman."""
    woman = bool(rng.integers(2))
    lowest = int(rng.integers(56, 60) if woman else rng.integers(45, 50))
    return Singer(
        lowest=lowest,
        highest=lowest + int(rng.integers(14, 18)),
        tract=rng.uniform(1.12, 1.2) if woman else rng.uniform(0.95, 1.04),
        tilt_hz=rng.uniform(500.0, 1200.0),
        breathiness=rng.uniform(0.02, 0.08),
        vibrato_hz=rng.uniform(5.0, 6.5),
        vibrato_depth=rng.uniform(0.3, 0.7),
        glide_rad_s=rng.uniform(28.0, 45.0),
        glide_damping=rng.uniform(0.6, 0.9),
    )


def sing(syllables: Sequence[Syllable], singer: Singer, n_samples: int, rng: np.random.Generator) -> Signal:
    """Return the voice (n_samples,), mono, at 44.1 kHz, with a root mean square of 1.

    The syllables must be in order and must not overlap.
    """
    controls = articulate(syllables, n_samples // BLOCK + 1)
    f0_hz = fundamental_hz(controls, singer, rng)
    source = _source(controls, f0_hz, singer, n_samples, rng)
    voice = _vocal_tract(source, controls, f0_hz, singer)
    voice /= rms(voice)
    for band, (low_hz, high_hz) in enumerate(NOISE_BANDS_HZ):
        voice += 0.35 * _upsampled(controls.noise[:, band], n_samples) * band_noise(n_samples, low_hz, high_hz, rng)
    voice = _compressed(voice)
    return voice / rms(voice)


def articulate(syllables: Sequence[Syllable], n_blocks: int) -> Controls:
    """Turn syllables into control signals of `n_blocks` blocks, smoothed like the movements of lips and tongue."""
    pitch = np.full(n_blocks, float(syllables[0].pitch))
    vibrato, voicing, aspiration = np.zeros((3, n_blocks))
    noise = np.zeros((n_blocks, 3))
    formants_hz = np.tile(NEUTRAL, (n_blocks, 1))
    previous_end = 0
    for syllable in syllables:
        consonant = CONSONANTS[syllable.consonant]
        onset, end = _block(syllable.start_s), _block(syllable.start_s + syllable.duration_s)
        burst = max(onset - _block(consonant.duration_s), 0)
        begin = max(burst - _block(consonant.closure_s), 0)
        pitch[begin:] = syllable.pitch
        if begin - previous_end > _block(0.2):  # after a rest: breathe in, then slide into the first note
            aspiration[max(previous_end, begin - _block(BREATH_S)) : begin - _block(0.04)] = 0.12
            pitch[begin : onset + _block(0.03)] -= 1.5
        voicing[onset:end] = np.linspace(1.0, 0.7, end - onset)[: max(n_blocks - onset, 0)]
        vibrato[onset + _block(0.15) : end] = float(syllable.duration_s > 0.35)
        _pronounce(consonant, slice(begin, onset), slice(burst, onset), (voicing, aspiration, noise))
        formants_hz[begin:] = VOWELS[syllable.vowel]
        formants_hz[onset + (end - onset) // 2 :] = VOWELS[syllable.glide]
        if consonant.formants_hz:
            formants_hz[begin:onset] = consonant.formants_hz
        previous_end = end
    return Controls(
        pitch,
        _smoothed(vibrato, 0.12),
        _smoothed(voicing, 0.02),
        _smoothed(aspiration, 0.03),
        _smoothed(noise, 0.006),
        _smoothed(formants_hz, 0.05),
    )


def fundamental_hz(controls: Controls, singer: Singer, rng: np.random.Generator) -> Signal:
    """Return the sung fundamental frequency (n_blocks,) with slides, overshoot, vibrato and a slow random drift.

    Source: second-order pitch control as in Saitou, Unoki and Akagi, "Development of an F0 control model based on F0 dynamic
    characteristics for singing-voice synthesis", 2005.
    """
    n_blocks = len(controls.pitch)
    omega, damping, step = singer.glide_rad_s, singer.glide_damping, 1.0 / BLOCKS_PER_S
    decay = np.exp(-damping * omega * step)
    feedback = [1.0, -2.0 * decay * np.cos(omega * np.sqrt(1.0 - damping**2) * step), decay**2]
    start = controls.pitch[0]
    contour = start + lfilter([sum(feedback)], feedback, controls.pitch - start)
    drift = _smoothed(rng.standard_normal((n_blocks, 2)), 0.08)
    drift /= np.std(drift, axis=0)
    rate_hz = singer.vibrato_hz * (1.0 + 0.03 * drift[:, 0])
    wave = np.sin(2.0 * np.pi * np.cumsum(rate_hz) / BLOCKS_PER_S)
    return frequency_hz(contour + singer.vibrato_depth * controls.vibrato * wave + 0.06 * drift[:, 1])


def _pronounce(consonant: Consonant, whole: slice, sounding: slice, tracks: tuple[Signal, Signal, Signal]) -> None:
    voicing, aspiration, noise = tracks
    voicing[whole] = consonant.voicing
    aspiration[sounding] = consonant.aspiration
    noise[sounding] = consonant.noise


def _source(controls: Controls, f0_hz: Signal, singer: Singer, n_samples: int, rng: np.random.Generator) -> Signal:
    """Return the sum of glottal pulses and breath noise, weighted by their controls. Both have about unit power at full level."""
    phase = 2.0 * np.pi * np.cumsum(_upsampled(f0_hz, n_samples)) / SAMPLE_RATE_HZ
    ratio = 10.0 ** (-2.0 * f0_hz / (SAMPLE_RATE_HZ / 2))  # harmonics 40 dB down at half the sample rate
    shimmer = 1.0 + 0.04 * _smoothed(rng.standard_normal(len(f0_hz)), 0.01)
    pole = np.exp(-2.0 * np.pi * singer.tilt_hz / SAMPLE_RATE_HZ)
    pulses = lfilter([1.0 - pole], [1.0, -pole], harmonics(phase, _upsampled(ratio, n_samples)))
    pulses /= rms(pulses)
    voicing = _upsampled(controls.voicing * shimmer, n_samples)
    breath = singer.breathiness * voicing + _upsampled(controls.aspiration, n_samples)
    return voicing * pulses + 0.5 * breath * rng.standard_normal(n_samples)


def _vocal_tract(source: Signal, controls: Controls, f0_hz: Signal, singer: Singer) -> Signal:
    """Filter `source` (n_samples,) with a cascade of formants, as in Klatt, "Software for a synthesizer", 1980."""
    formants_hz = np.empty((len(f0_hz), 5))
    formants_hz[:, :3] = controls.formants_hz * singer.tract
    formants_hz[:, 0] = np.maximum(formants_hz[:, 0], 1.05 * f0_hz)  # singers raise the first formant above the pitch
    formants_hz[:, 3:] = np.array([3400.0, 4200.0]) * singer.tract
    upper_hz = UPPER_FORMANTS_HZ * singer.tract
    upper = _response(upper_hz, 0.08 * upper_hz)
    window = np.hanning(FRAME + 1)[:-1]  # windows that overlap by half add up to 1
    padded = np.pad(source, (FRAME // 2, FFT))
    voice = np.zeros(len(padded) + FFT)
    for start in range(0, len(source) + FRAME // 2, FRAME // 2):  # `start` is the sample of `source` at the frame's centre
        formants = formants_hz[min(start // BLOCK, len(f0_hz) - 1)]
        spectrum = np.fft.rfft(window * padded[start : start + FRAME], FFT)
        voice[start : start + FFT] += np.fft.irfft(spectrum * upper * _response(formants, np.array(BANDWIDTHS_HZ)))
    return voice[FRAME // 2 : FRAME // 2 + len(source)]


def _response(centre_hz: Signal, bandwidth_hz: Signal) -> npt.NDArray[np.complex128]:
    """Return the response (FFT // 2 + 1,) of two-pole resonators (n_formants,) in cascade, each 1 at 0 Hz."""
    delay = np.exp(-2j * np.pi * np.arange(FFT // 2 + 1) / FFT)
    radius = np.exp(-np.pi * bandwidth_hz / SAMPLE_RATE_HZ)[:, None]
    first = -2.0 * radius * np.cos(2.0 * np.pi * centre_hz / SAMPLE_RATE_HZ)[:, None]
    sections = (1.0 + first + radius**2) / (1.0 + delay * (first + radius**2 * delay))
    return np.asarray(np.prod(sections, axis=0))


def _compressed(voice: Signal) -> Signal:
    """Return `voice` with reduced level differences, as in a studio recording."""
    level = np.sqrt(uniform_filter1d(voice**2, round(0.06 * SAMPLE_RATE_HZ)) + 0.05)
    return voice / np.sqrt(level)


def _smoothed(track: Signal, width_s: float) -> Signal:
    width = max(_block(width_s), 1)
    return uniform_filter1d(uniform_filter1d(track, width, axis=0, mode="nearest"), width, axis=0, mode="nearest")


def _upsampled(track: Signal, n_samples: int) -> Signal:
    return np.interp(np.arange(n_samples) / BLOCK, np.arange(len(track)), track)


def _block(time_s: float) -> int:
    return round(time_s * BLOCKS_PER_S)
