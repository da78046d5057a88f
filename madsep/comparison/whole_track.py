"""Means over tracks of whole-track scores, by which the Music Demixing challenges rank systems."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from madsep.comparison.runs import Run
from madsep.comparison.statistics import KEY
from madsep.core.intervals import Bootstrap, interval
from madsep.scoring.scores import ordered

COLUMNS = [*KEY, "system", "kind", "mean", "ci_low", "ci_high", "n_tracks", "definition"]


def whole_track_means(runs: Sequence[Run], names: Mapping[str, str], bootstrap: Bootstrap) -> pd.DataFrame:
    """Return the mean over tracks of uSDR and SI-SDR of the runs whose audio was scored, in dB, with 95 % bootstrap intervals.

    uSDR is the SDR of a whole track over all its samples and channels. Its mean over tracks ranked the Music Demixing challenge
    (Y. Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in Signal Processing 1, 2022). SI-SDR is scale-invariant (J. Le Roux
    et al., "SDR - half-baked or well done?", ICASSP 2019). `madsep.scoring.score` defines both.

    `names` are the names of the runs in the comparison. Columns: target, metric, system, kind, mean, ci_low, ci_high, n_tracks, definition.
    """
    rows = [row for run in runs for row in _rows(run, names[run.name], bootstrap)]
    return ordered(pd.DataFrame(rows, columns=COLUMNS))


def _rows(run: Run, name: str, bootstrap: Bootstrap) -> Iterator[tuple[str, str, str, str, float, float, float, int, str]]:
    for (target, metric), group in run.details.whole_track.groupby(KEY, sort=False):
        values = group["value"].dropna().to_numpy(float)
        low, high = interval([values], np.mean, bootstrap.seed, bootstrap.n_resamples, vectorized=True)
        mean = float(np.mean(values)) if len(values) else np.nan
        yield str(target), str(metric), name, run.kind, mean, low, high, len(values), f"{metric}[whole track; tracks=mean; n={len(values)}]"
