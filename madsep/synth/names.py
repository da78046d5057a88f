"""Invented artists and titles, with the characters that real track names hold."""

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
    """Return "artist - title" of a track: unique in the dataset and independent of its size.

    The styles take turns, so that the first track of each subset already brings quote, ampersand, parentheses and dot.
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
    """Return the title of that number: each pair of words once, in a drawn order, then again with a count."""
    lap, place = divmod(number, len(ADJECTIVES) * len(NOUNS))
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,))).permutation(len(ADJECTIVES) * len(NOUNS))
    adjective, noun = divmod(int(order[place]), len(NOUNS))
    return f"{ADJECTIVES[adjective]} {NOUNS[noun]}" + (f" No. {lap + 1}" if lap else "")
