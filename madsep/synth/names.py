"""Invented artists and titles that contain the special characters of real track names."""

import numpy as np

FIRST = ("Nora", "Tobin", "Maris", "Ewan", "Linnea", "Otis", "Priya", "Casper", "Jolene", "Idris", "Sunniva", "Bram")
LAST = ("Vale", "Okoro", "Lindqvist", "Harrow", "Castellan", "Brandt", "Merrow", "Tindall", "Ashby", "Quill", "Sorel")
ADJECTIVES = ("Pale", "Hollow", "Silver", "Restless", "Distant", "Paper", "Crooked", "Quiet", "Electric", "Borrowed")
NOUNS = ("Harbour", "Lantern", "Signal", "Orchard", "Mirror", "Meridian", "Weather", "Carousel", "Satellite", "Garden")
STYLES = (
    "{first} {last} & {other}'s {noun} Trio",
    "The {adjective} {noun}s ({last}) feat. {first}",
    "{initials} {noun}",
    "{first}'s {adjective} {noun}",
    "{first} {last} & {other}",
    "{other} {last}",
)
SUBSETS = ("train", "test")


def track_name(subset: str, index: int, seed: int) -> str:
    """Return "artist - title" of a track, which is unique in the data set and independent of the data set's size.

    Styles alternate so that the first tracks of the subsets already contain apostrophe, ampersand, parentheses and dots.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, SUBSETS.index(subset), index)))
    first, other = rng.choice(FIRST, 2, replace=False)
    last = rng.choice(LAST)
    artist = STYLES[(index + SUBSETS.index(subset)) % len(STYLES)].format(
        first=first,
        other=other,
        last=last,
        adjective=rng.choice(ADJECTIVES),
        noun=rng.choice(NOUNS),
        initials=f"{first[0]}.{other[0]}.{last[0]}.",
    )
    return f"{artist} - {_title(2 * index + SUBSETS.index(subset), seed)}"


def _title(number: int, seed: int) -> str:
    """Return title `number`. Each pair of words occurs once in a random order. Further titles repeat them with a count."""
    lap, place = divmod(number, len(ADJECTIVES) * len(NOUNS))
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,))).permutation(len(ADJECTIVES) * len(NOUNS))
    adjective, noun = divmod(int(order[place]), len(NOUNS))
    return f"{ADJECTIVES[adjective]} {NOUNS[noun]}" + (f" No. {lap + 1}" if lap else "")
