"""Drums, bass and chords: single sounds, and the patterns in which they are played."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from madsep.synth.composition import Composition
from madsep.synth.dsp import (
    SAMPLE_RATE_HZ,
    Signal,
    add_at,
    band_noise,
    frequency_hz,
    harmonics,
    n_samples_of,
    place,
    reverberate,
)

GROOVES = (  # sixteenths of a bar: x hard stroke, o soft stroke
    {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.o.x.o.x.o.x.o."},
    {"kick": "x.....x.x.......", "snare": "....x.......x..o", "hat": "x.x.x.x.x.x.x.x."},
    {"kick": "x...x...x...x...", "snare": "....x.......x...", "hat": "..x...x...x...x."},
    {"kick": "x..x......x..x..", "snare": "....x..o.o..x...", "hat": "xoxoxoxoxoxoxoxo"},
    {"kick": "x.........x.....", "snare": "........x.......", "hat": "x...o...x...o..."},
    {"kick": "x..o..x...x.....", "snare": "....x.......x.o.", "hat": "x.xox.xox.xox.xo"},
)
FILL = {"kick": "x...x...x.......", "snare": "....x.......xoxx", "tom": "........x.o.x.o."}
STROKES = {"x": 1.0, "o": 0.45, ".": 0.0}
BASS_LINES = (  # (eighth of the bar, length in eighths, interval above the root in semitones)
    ((0, 8, 0),),
    ((0, 3, 0), (3, 3, 0), (6, 2, 0)),
    ((0, 2, 0), (2, 2, 0), (4, 2, 7), (6, 2, 0)),
    tuple((eighth, 1, 0) for eighth in range(8)),
    ((0, 2, 0), (2, 1, 12), (3, 1, 0), (4, 2, 0), (6, 1, 12), (7, 1, 7)),
)
CHORD_RHYTHMS = (  # (eighth of the bar, length in eighths)
    ((0, 8),),
    ((0, 4), (4, 4)),
    ((0, 3), (3, 3), (6, 2)),
    ((0, 1), (3, 1), (5, 1), (7, 1)),
    ((0, 2), (2, 2), (4, 2), (6, 2)),
)


@dataclass(frozen=True)
class Timbre:
    """A pitched sound: two detuned series of exponentially decaying harmonics with an envelope."""

    brightness: float  # amplitude of each harmonic relative to the one below, at the attack
    darkening_s: float  # time in which the brightness falls to 1/e
    attack_s: float
    decay_s: float  # time in which the level falls to 1/e
    detune_cents: float = 0.0
    bell: float = 0.0  # depth of the frequency modulation at the attack, radians; the modulator is the third harmonic


BASSES = (
    Timbre(0.75, 0.35, 0.004, 1.2),  # plucked
    Timbre(0.88, 0.15, 0.003, 0.8),  # with a pick
    Timbre(0.85, 0.6, 0.008, 4.0, detune_cents=5.0),  # filtered saw
)
KEYBOARDS_AND_GUITARS = (
    Timbre(0.7, 30.0, 0.25, 30.0, detune_cents=8.0),  # string pad
    Timbre(0.45, 30.0, 0.4, 30.0, detune_cents=12.0),  # soft pad
    Timbre(0.35, 30.0, 0.01, 30.0, detune_cents=3.0),  # organ
    Timbre(0.25, 0.8, 0.003, 0.9, detune_cents=2.0, bell=1.5),  # electric piano
    Timbre(0.8, 0.25, 0.002, 0.6, detune_cents=1.0),  # plucked guitar
    Timbre(0.6, 0.7, 0.002, 0.8, detune_cents=1.5),  # piano
    Timbre(0.88, 0.2, 0.005, 0.4, detune_cents=9.0),  # plucked synthesizer
)


def tone(pitch: int, duration_s: float, timbre: Timbre) -> Signal:
    """Return one note (n_samples,) of MIDI `pitch`, released within its last 40 ms."""
    time_s = np.arange(n_samples_of(duration_s)) / SAMPLE_RATE_HZ
    ratio = timbre.brightness * np.exp(-time_s / timbre.darkening_s)
    sound = np.zeros_like(time_s)
    for cents in (-timbre.detune_cents, timbre.detune_cents):
        phase = 2.0 * np.pi * frequency_hz(pitch + cents / 100.0) * time_s
        if timbre.bell:
            phase = phase + timbre.bell * np.exp(-time_s / 0.3) * np.sin(3.0 * phase)
        sound += harmonics(phase + cents, ratio)
    envelope = (1.0 - np.exp(-time_s / timbre.attack_s)) * np.exp(-time_s / timbre.decay_s)
    release = np.clip((time_s[-1:] - time_s) / 0.04, 0.0, 1.0)
    return np.asarray(sound * envelope * np.sin(release * np.pi / 2.0) ** 2)


def play_bass(song: Composition, n_samples: int, rng: np.random.Generator) -> Signal:
    """Return the bass (n_samples, 2): a line on the roots of the chords."""
    timbre = _varied(BASSES[rng.integers(len(BASSES))], rng)
    line = BASS_LINES[rng.integers(len(BASS_LINES))]
    track = np.zeros(n_samples)
    for bar, chord in enumerate(song.chords):
        root = 28 + (chord[0] - 28) % 12
        for eighth, length, interval in line:
            start_s = song.time_s(8 * bar + eighth)
            duration_s = 0.97 * (song.time_s(8 * bar + eighth + length) - start_s)
            add_at(track, n_samples_of(start_s), rng.uniform(0.85, 1.0) * tone(root + interval, duration_s, timbre))
    return place(track, rng.uniform(-0.1, 0.1), int(rng.integers(0, 4)))


def play_chords(song: Composition, n_samples: int, rng: np.random.Generator) -> Signal:
    """Return two chord instruments (n_samples, 2), panned to opposite sides, each with its own rhythm."""
    first, second = rng.choice(len(KEYBOARDS_AND_GUITARS), 2, replace=False)
    side = float(rng.choice([-1.0, 1.0]))
    track = np.zeros((n_samples, 2))
    for index, pan, octave in ((first, side, 48), (second, -side, 55)):
        timbre = _varied(KEYBOARDS_AND_GUITARS[index], rng)
        rhythm = CHORD_RHYTHMS[rng.integers(len(CHORD_RHYTHMS)) if timbre.attack_s < 0.1 else 0]
        part = _chord_part(song, timbre, rhythm, octave, n_samples, rng)
        track += place(part, pan * rng.uniform(0.2, 0.6), int(rng.integers(4, 16)))
    return track


def play_drums(song: Composition, n_samples: int, rng: np.random.Generator) -> Signal:
    """Return the drums (n_samples, 2): one groove, a fill in every fourth bar and a cymbal after the fill."""
    kit = _drum_kit(rng)
    groove = GROOVES[rng.integers(len(GROOVES))]
    track = np.zeros((n_samples, 2))
    for bar in range(song.n_bars):
        pattern = {**groove, **FILL} if bar % 4 == 3 else groove
        if bar % 4 == 0:
            pattern = {**pattern, "cymbal": "x..............."}
        for drum, steps in pattern.items():
            for step, stroke in enumerate(steps):
                level = STROKES[stroke] * rng.uniform(0.85, 1.0)
                start_s = song.time_s(8 * bar + step / 2) + rng.uniform(0.0, 0.006)
                if level:
                    add_at(track, n_samples_of(start_s), level * kit[drum])
    return np.tanh(2.0 * track)  # tape saturation


def _chord_part(
    song: Composition,
    timbre: Timbre,
    rhythm: Sequence[tuple[int, int]],
    octave: int,
    n_samples: int,
    rng: np.random.Generator,
) -> Signal:
    """Return a mono chord instrument (n_samples,) that plays `rhythm` with notes within an octave from MIDI pitch `octave`."""
    strum_s = rng.uniform(0.0, 0.02)
    track = np.zeros(n_samples)
    for bar, chord in enumerate(song.chords):
        pitches = sorted(octave + (pitch_class - octave) % 12 for pitch_class in chord)
        for eighth, length in rhythm:
            start_s = song.time_s(8 * bar + eighth)
            duration_s = song.time_s(8 * bar + eighth + length) - start_s + 0.03
            for order, pitch in enumerate(pitches):
                level = rng.uniform(0.8, 1.0)
                add_at(track, n_samples_of(start_s + order * strum_s), level * tone(pitch, duration_s, timbre))
    return track


def _varied(timbre: Timbre, rng: np.random.Generator) -> Timbre:
    return replace(
        timbre,
        brightness=timbre.brightness * rng.uniform(0.9, 1.05),
        darkening_s=timbre.darkening_s * rng.uniform(0.7, 1.4),
        detune_cents=timbre.detune_cents * rng.uniform(0.7, 1.3),
    )


def _drum_kit(rng: np.random.Generator) -> dict[str, Signal]:
    """Return one stereo sound (n_samples, 2) for each drum."""
    low_hz = rng.uniform(3000.0, 7000.0)
    side = float(rng.choice([-1.0, 1.0]))
    kick = _drum(0.35, rng.uniform(45.0, 60.0), rng.uniform(80.0, 160.0), 0.12)
    click = 0.25 * _noise_hit(0.35, (1500.0, 5000.0), 0.004, rng)
    snare = 0.5 * _drum(0.3, rng.uniform(170.0, 220.0), 60.0, 0.07)
    snare += 0.35 * _noise_hit(0.3, (rng.uniform(800.0, 1800.0), 9000.0), rng.uniform(0.05, 0.1), rng)
    snare = np.concatenate([snare, np.zeros(n_samples_of(0.3))])
    hat = 0.18 * _noise_hit(0.15, (low_hz, 15000.0), rng.uniform(0.02, 0.05), rng)
    cymbal = 0.16 * _noise_hit(1.6, (2500.0, 16000.0), 0.45, rng)
    tom = 0.7 * _drum(0.4, rng.uniform(85.0, 130.0), 40.0, 0.15)
    return {
        "kick": place(kick + click, rng.uniform(-0.05, 0.05), 1),
        "snare": reverberate(place(snare, 0.15 * side, 3), 0.35, 0.08, rng),
        "hat": place(hat, 0.45 * side, 9),
        "cymbal": place(cymbal, -0.5 * side, 11),
        "tom": place(tom, -0.4 * side, 7),
    }


def _drum(length_s: float, end_hz: float, sweep_hz: float, decay_s: float) -> Signal:
    """Return the sound of a drum skin: a sine that falls by `sweep_hz` to `end_hz` and decays."""
    time_s = np.arange(n_samples_of(length_s)) / SAMPLE_RATE_HZ
    phase = 2.0 * np.pi * (end_hz * time_s - sweep_hz * 0.03 * np.exp(-time_s / 0.03))
    return np.asarray(np.sin(phase - phase[0]) * np.exp(-time_s / decay_s) * (1.0 - time_s / length_s))


def _noise_hit(length_s: float, band_hz: tuple[float, float], decay_s: float, rng: np.random.Generator) -> Signal:
    time_s = np.arange(n_samples_of(length_s)) / SAMPLE_RATE_HZ
    attack = 1.0 - np.exp(-time_s / 0.0005)
    return attack * np.exp(-time_s / decay_s) * (1.0 - time_s / length_s) * band_noise(len(time_s), *band_hz, rng)
