"""Songs that several data sets share, identified by the names of tracks.

All 100 songs of DSD100 are in MUSDB18, but the splits differ: of the 50 songs in Dev, 27 are in MUSDB18's train and 23 in its test. The
same numbers hold for Test. 46 songs of MUSDB18 are from MedleyDB.
"""

import re
import unicodedata
from collections.abc import Iterable

IN_MUSDB18 = "all 100 songs of DSD100 are in MUSDB18, 23 of its Dev in MUSDB18's test and 27 of its Test in MUSDB18's train"


def song_of(name: str) -> str:
    """Return the part of a song's name that DSD100, MUSDB18 and MedleyDB share: letters and digits, without DSD100's number."""
    bare = unicodedata.normalize("NFKC", re.sub(r"^\d{3} - ", "", name)).casefold()
    return "".join(letter for letter in bare if letter.isalnum()) or name


def same_songs(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the sorted `names` whose songs are among `others`."""
    songs = {song_of(other) for other in others}
    return sorted(name for name in names if song_of(name) in songs)
