"""One synthetic song: four stems at the levels of produced music."""

import numpy as np

from madsep.synth.composition import compose, write_melody
from madsep.synth.dsp import SAMPLE_RATE_HZ, Signal, n_samples_of, place, reverberate, rms
from madsep.synth.instruments import play_bass, play_chords, play_drums
from madsep.synth.voice import draw_singer, sing

STEMS = ("vocals", "drums", "bass", "other")
HISS = 2.0 / 32768.0  # standard deviation of the noise added to each stem, so that no stem is ever digital silence
PEAK = 0.9


def render_song(duration_s: float, rng: np.random.Generator) -> dict[str, Signal]:
    """Return the stems of one song, keyed by STEMS, each (n_samples, 2) at 44.1 kHz. All stems and their sum stay below 0.95.

    The unprocessed mixture scores between -2 and 2 dB vocals SDR (`mixture_sdr_db`).
    """
    n_samples = n_samples_of(duration_s)
    song = compose(duration_s, rng)
    singer = draw_singer(rng)
    melody = write_melody(song, singer.lowest, singer.highest, rng)
    voice = place(sing(melody, singer, n_samples, rng), rng.uniform(-0.15, 0.15), int(rng.integers(1, 4)))
    stems = {
        "vocals": reverberate(voice, rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.12), rng),
        "drums": play_drums(song, n_samples, rng),
        "bass": play_bass(song, n_samples, rng),
        "other": play_chords(song, n_samples, rng),
    }
    for stem, level_db in (("drums", 0.0), ("bass", -2.0), ("other", -1.0)):
        stems[stem] *= 10.0 ** ((level_db + rng.uniform(-1.5, 1.5)) / 20.0) / rms(stems[stem])
    accompaniment = stems["drums"] + stems["bass"] + stems["other"]
    gain_db = rng.uniform(-2.0, 2.0) - mixture_sdr_db(stems["vocals"], accompaniment)
    stems["vocals"] *= 10.0 ** (gain_db / 20.0)
    return _mastered(stems, rng)


def mixture_sdr_db(vocals: Signal, accompaniment: Signal) -> float:
    """Return the vocals SDR in dB of the unprocessed mixture: the median over whole frames of one second.

    Both signals are (n_samples, 2). Signals shorter than one second are one frame. If the mixture is the estimate, the error is the
    accompaniment, so that the SDR (Vincent et al., "First stereo audio source separation evaluation campaign", 2007) is a ratio of
    energies.
    """
    length = min(SAMPLE_RATE_HZ, len(vocals))
    energies = [np.sum(stem[: len(stem) // length * length].reshape(-1, 2 * length) ** 2, axis=1) for stem in (vocals, accompaniment)]
    return float(np.median(10.0 * np.log10(energies[0] / energies[1])))


def _mastered(stems: dict[str, Signal], rng: np.random.Generator) -> dict[str, Signal]:
    signals = [*stems.values(), np.sum(list(stems.values()), axis=0)]
    scale = PEAK / max(np.max(np.abs(signal)) for signal in signals)
    return {name: scale * stem + HISS * rng.standard_normal(stem.shape) for name, stem in stems.items()}
