"""The composition of a synthetic song: tempo, key, chords and sung melody."""

from dataclasses import dataclass

import numpy as np

from madsep.synth.phonemes import CONSONANTS, VOWELS

LEAD_IN_S = 0.12  # before the first beat, time for the first consonant
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
PROGRESSIONS = {  # scale degrees from 0, one chord per bar
    "major": ((0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 1, 4), (3, 4, 2, 5), (0, 2, 3, 4)),
    "minor": ((0, 5, 2, 6), (0, 6, 5, 6), (0, 3, 6, 2), (0, 3, 0, 4), (5, 6, 0, 0)),
    "dorian": ((0, 3, 0, 6), (0, 2, 3, 3), (0, 6, 3, 0)),
}
EIGHTHS_PER_PHRASE = 16  # two bars of four beats


@dataclass(frozen=True)
class Composition:
    """Tempo, key, chords and length, which all instruments of a song share. Pitches are MIDI numbers. A bar has four beats."""

    beat_s: float
    swing: float  # delay of every second eighth, as a fraction of an eighth
    scale: tuple[int, ...]  # pitch classes, from the tonic upwards
    chords: tuple[tuple[int, ...], ...]  # pitch classes of each bar's chord, root first
    duration_s: float

    @property
    def n_bars(self) -> int:
        """Number of bars that start within the song."""
        return len(self.chords)

    def time_s(self, eighth: float) -> float:
        """Return the time in seconds of a position, which is counted in eighths from the first beat."""
        late = self.swing if eighth % 2 == 1 else 0.0
        return LEAD_IN_S + (eighth + late) * self.beat_s / 2.0


@dataclass(frozen=True)
class Syllable:
    """One sung note. Its vowel starts at `start_s` and its consonant before that."""

    start_s: float
    duration_s: float
    pitch: int
    consonant: str
    vowel: str
    glide: str  # vowel at its end; the same as `vowel` if it does not change


def compose(duration_s: float, rng: np.random.Generator) -> Composition:
    """Draw the tempo, key and chord progression of a song of `duration_s` seconds."""
    mode = str(rng.choice(list(SCALES)))
    tonic = int(rng.integers(12))
    scale = tuple((tonic + step) % 12 for step in SCALES[mode])
    progression = PROGRESSIONS[mode][rng.integers(len(PROGRESSIONS[mode]))]
    n_chord_tones = int(rng.choice([3, 4]))
    beat_s = 60.0 / rng.uniform(84.0, 136.0)
    n_bars = int(np.ceil(duration_s / (4 * beat_s)))
    degrees = [progression[bar % len(progression)] for bar in range(n_bars)]
    chords = tuple(tuple(scale[(degree + 2 * i) % 7] for i in range(n_chord_tones)) for degree in degrees)
    return Composition(beat_s, float(rng.choice([0.0, 0.0, 0.12, 0.2])), scale, chords, duration_s)


def write_melody(song: Composition, lowest: int, highest: int, rng: np.random.Generator) -> list[Syllable]:
    """Draw two-bar phrases that end in a rest, for a singer with a range from MIDI pitch `lowest` to `highest`."""
    rhythms = [_rhythm(0, rng), _rhythm(int(rng.integers(2)), rng)]
    pitch = (lowest + highest) // 2
    syllables: list[Syllable] = []
    for phrase in range((song.n_bars + 1) // 2):
        for eighth, length in rhythms[(0, 0, 1, 0)[phrase % 4]]:
            position = phrase * EIGHTHS_PER_PHRASE + eighth
            start_s = song.time_s(position)
            if start_s >= song.duration_s:
                return syllables
            bar = min(position // 8, song.n_bars - 1)
            allowed = song.chords[bar] if eighth % 4 == 0 else song.scale
            pitch = _next_pitch(pitch, allowed, lowest, highest, rng)
            duration_s = song.time_s(position + length) - start_s
            syllables.append(_syllable(start_s, duration_s, pitch, rng))
    return syllables


def _rhythm(first: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return (start, length), in eighths, of the notes of one phrase.

    The last note is long. It is followed by a rest of at least two eighths.
    """
    end = EIGHTHS_PER_PHRASE - 2
    notes = []
    position = first
    while position < end - 4:
        length = min(int(rng.choice([1, 2, 3, 4], p=[0.45, 0.35, 0.1, 0.1])), end - 3 - position)
        notes.append((position, length))
        position += length
        if position < end - 4 and rng.random() < 0.12:
            position += 1  # a short rest inside the phrase
    notes.append((position, end - position))
    return notes


def _next_pitch(pitch: int, allowed: tuple[int, ...], lowest: int, highest: int, rng: np.random.Generator) -> int:
    candidates = np.array([p for p in range(lowest, highest + 1) if p % 12 in allowed])
    middle = (lowest + highest) / 2
    weights = np.exp(-np.abs(candidates - pitch) / 2.5 - np.abs(candidates - middle) / 8.0)
    weights[candidates == pitch] *= 0.4
    return int(rng.choice(candidates, p=weights / weights.sum()))


def _syllable(start_s: float, duration_s: float, pitch: int, rng: np.random.Generator) -> Syllable:
    vowels = list(VOWELS)
    vowel = str(rng.choice(vowels))
    glide = str(rng.choice(vowels)) if duration_s > 0.4 or rng.random() < 0.3 else vowel
    return Syllable(start_s, duration_s, pitch, str(rng.choice(list(CONSONANTS))), vowel, glide)
