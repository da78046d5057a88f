"""Vowels and consonants of the synthetic singers."""

from dataclasses import dataclass

# first three formants in Hz: means of 33 men, Peterson and Barney, "Control methods used in a study of the vowels", 1952
VOWELS: dict[str, tuple[float, float, float]] = {
    "ee": (270, 2290, 3010),
    "ih": (390, 1990, 2550),
    "eh": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "ah": (730, 1090, 2440),
    "aw": (570, 840, 2410),
    "oo": (300, 870, 2240),
    "uh": (640, 1190, 2390),
    "er": (490, 1350, 1690),
}
NEUTRAL = (500.0, 1500.0, 2500.0)
NOISE_BANDS_HZ = ((900, 2400), (2300, 5500), (5000, 11000))  # of p and k; of sh and t; of s


@dataclass(frozen=True)
class Consonant:
    """The sound of a consonant before its vowel: an optional closure, then `duration_s` seconds of sound.

    `voicing` and `aspiration` are the levels of voice and breath through the vocal tract, relative to a full vowel.
    `noise` is the level of the noise from lips and teeth in each of NOISE_BANDS_HZ.
    `formants_hz` is the shape of the vocal tract, or None for the vowel's shape.
    """

    duration_s: float
    closure_s: float = 0.0
    voicing: float = 0.0
    aspiration: float = 0.0
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)
    formants_hz: tuple[float, float, float] | None = None


CONSONANTS: dict[str, Consonant] = {
    "": Consonant(0.0),
    "h": Consonant(0.07, aspiration=0.5),
    "s": Consonant(0.10, noise=(0.0, 0.2, 1.0), formants_hz=(300, 1700, 2600)),
    "sh": Consonant(0.10, noise=(0.0, 1.0, 0.5), formants_hz=(300, 1900, 2500)),
    "f": Consonant(0.08, noise=(0.1, 0.2, 0.35), formants_hz=(300, 1100, 2200)),
    "v": Consonant(0.06, voicing=0.35, noise=(0.1, 0.1, 0.15), formants_hz=(300, 1100, 2200)),
    "z": Consonant(0.07, voicing=0.3, noise=(0.0, 0.1, 0.6), formants_hz=(300, 1700, 2600)),
    "p": Consonant(0.02, closure_s=0.06, noise=(0.9, 0.3, 0.1), formants_hz=(350, 900, 2200)),
    "t": Consonant(0.025, closure_s=0.05, noise=(0.1, 0.9, 1.0), formants_hz=(350, 1800, 2700)),
    "k": Consonant(0.03, closure_s=0.05, noise=(1.0, 0.7, 0.1), formants_hz=(350, 2000, 2300)),
    "b": Consonant(0.012, closure_s=0.05, voicing=0.2, noise=(0.4, 0.1, 0.0), formants_hz=(300, 900, 2200)),
    "d": Consonant(0.012, closure_s=0.05, voicing=0.2, noise=(0.1, 0.5, 0.3), formants_hz=(300, 1800, 2700)),
    "g": Consonant(0.016, closure_s=0.05, voicing=0.2, noise=(0.5, 0.3, 0.0), formants_hz=(300, 2000, 2300)),
    "m": Consonant(0.08, voicing=0.45, formants_hz=(250, 1000, 2200)),
    "n": Consonant(0.07, voicing=0.45, formants_hz=(250, 1500, 2500)),
    "l": Consonant(0.07, voicing=0.65, formants_hz=(350, 1050, 2800)),
    "r": Consonant(0.07, voicing=0.65, formants_hz=(350, 1100, 1550)),
    "w": Consonant(0.07, voicing=0.6, formants_hz=(300, 650, 2200)),
    "y": Consonant(0.06, voicing=0.65, formants_hz=(280, 2250, 3000)),
}
