"""The sizes that a recipe's front end, segments and sources give a network."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """What a network is built for, in addition to its own settings."""

    n_bins: int  # N, non-negative frequencies
    n_frames: int  # T, frames of a sequence
    n_context: int  # L, frames of context at either end of a sequence, not estimated
    n_sources: int  # S, sources that the recipe trains with
