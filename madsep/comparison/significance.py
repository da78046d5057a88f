"""Whether a paired test could be significant at all with a given number of tracks."""

import numpy as np
import pandas as pd

from madsep.comparison.statistics import KEY, holm

LEVEL = 0.05


def with_attainable(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return `pairwise_tests` with the column p_attainable: the smallest p_holm that is possible with these numbers of tracks.

    The smallest two-sided p of the signed-rank test of n tracks is 2 / 2^n, if one system is better on each of them. Holm's correction
    increases with each p, so the corrected smallest values are lower bounds. If p_attainable is LEVEL or more, an insignificant result
    means nothing.
    """
    attainable = np.full(len(pairs), np.nan)
    for rows in pairs.groupby(KEY, sort=False).indices.values():
        n_tracks = pairs["n_tracks"].to_numpy(float)[rows]
        attainable[rows] = holm(np.where(n_tracks > 0, np.minimum(2.0 ** (1 - n_tracks), 1.0), np.nan))
    return pairs.assign(p_attainable=attainable)


def cannot_show(pairs: pd.DataFrame) -> str:
    """Return a sentence if no pair of one family of `with_attainable` could be significant. Empty if one could."""
    tested = pairs[pairs["n_tracks"] > 0]
    if tested.empty or (tested["p_attainable"] < LEVEL).any():
        return ""
    most = int(tested["n_tracks"].max())
    lowest = min(2.0 ** (1 - most), 1.0)
    corrected = f", {tested['p_attainable'].min():.3g} after Holm's correction over {len(tested)} pairs" if len(tested) > 1 else ""
    tracks = "1 track" if most == 1 else f"{most} tracks"
    return f"With {tracks} the paired test's p cannot fall below {lowest:.3g}{corrected}, so it cannot tell these systems apart."
