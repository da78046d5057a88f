"""The sizes that a recipe's front end, segments and sources define for a network."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of a network that are not among its own settings."""

    n_bins: int  # N, non-negative frequencies
    n_frames: int  # T, frames per sequence
    n_context: int  # L, context frames at each end of a sequence, not estimated
    n_sources: int  # S, sources used in training
