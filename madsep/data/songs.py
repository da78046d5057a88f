"""Whether data sets hold the same songs, told by the names of their tracks.

All 100 songs of DSD100 are in MUSDB18, and each half of DSD100 holds songs of both halves of MUSDB18: of Dev's songs 27 are in train and 23
in test, and so are Test's. 46 songs of MUSDB18 are MedleyDB's.
"""

import re
import unicodedata
from collections.abc import Iterable

IN_MUSDB18 = "all 100 songs of DSD100 are in MUSDB18, 23 of its Dev in MUSDB18's test and 27 of its Test in MUSDB18's train"


def song_of(name: str) -> str:
    """Return what the names of a song have in common in DSD100, MUSDB18 and MedleyDB: letters and digits, without DSD100's number."""
    bare = unicodedata.normalize("NFKC", re.sub(r"^\d{3} - ", "", name)).casefold()
    return "".join(letter for letter in bare if letter.isalnum()) or name


def same_songs(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return those of `names` whose songs are among `others`, sorted."""
    songs = {song_of(other) for other in others}
    return sorted(name for name in names if song_of(name) in songs)
