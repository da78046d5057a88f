"""Test whether a run reproduces a published system: equivalence tests on paired tracks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit  # Student's t, much faster than scipy.stats.t
from scipy.stats import binom, trim_mean

from madsep.comparison.statistics import KEY, differences_db
from madsep.scoring.scores import ordered

Floats = NDArray[np.float64]


class Margin(NamedTuple):
    """Limits for equivalence, in dB."""

    difference: float  # of the trimmed mean over tracks
    distance: float  # of the SHARE_WITHIN quantile of absolute differences


# Only SDR and SIR are judged. The closest two published systems, JY1 and JY2, differ by 0.25 dB in SDR and 0.57 dB in SIR of the bass.
# Nothing is published on how much two trainings of one system differ on single tracks. Demucs, trained with five seeds, spans 0.4 dB in
# the median vocals SDR. Differences in SIR between systems are about twice those in SDR.
MARGINS: Mapping[str, Margin] = {"SDR": Margin(0.25, 1.0), "SIR": Margin(0.5, 2.0)}
TRIM = 0.2  # share of tracks cut at either end; otherwise a few tracks with little voice would decide
LEVEL = 0.05  # of each one-sided test; the confidence of intervals is 1 - 2 * LEVEL
SHARE_WITHIN = 0.8
MIN_SHARE = 0.9  # minimum share of the published tracks that must have a number in the run
REPRODUCED, UNDECIDED, NOT_REPRODUCED, NOT_JUDGED = "reproduced", "undecided", "not reproduced", "not judged"


@dataclass(frozen=True)
class Reproduction:
    """Paired comparison of a run with a published system."""

    run: str
    published: str
    n_trainings: int
    verdict: str  # the worst of the verdicts on SDR and SIR of all targets: not reproduced, undecided or reproduced
    summary: pd.DataFrame  # one row per target and metric; see `check_reproduction`
    tracks: pd.DataFrame  # target, metric, track, run_db, published_db, difference_db; largest differences first


class Location(NamedTuple):
    """A trimmed mean over tracks, in dB."""

    mean: float
    error: float  # its standard error
    freedom: float  # degrees of freedom of the error
    spread: float  # standard deviation of the trainings' trimmed means; NaN for one training


def check_reproduction(trainings: Sequence[pd.DataFrame], published: pd.DataFrame, names: tuple[str, str]) -> Reproduction:
    """Compare one or several trainings of a system with a published one track by track, on all targets of the published one.

    Each table has the columns track, target, metric, median (dB). `names` are those of the run and of the published system. The columns of
    the summary, in dB, are target, metric, n_tracks (with a number in all tables), n_published, difference (trimmed mean over tracks of
    run - published) with ci_low and ci_high (90 %), spread (see `Location`), p_value (of the test for equivalence), distance (SHARE_WITHIN
    quantile of absolute differences) with distance_ci_low and distance_ci_high (90 %), verdict, definition. `paired` defines the intervals.

    A row is reproduced if the difference's interval lies within +-MARGINS[metric].difference (the result of two one-sided tests at LEVEL),
    the distance's interval lies below MARGINS[metric].distance, and MIN_SHARE of the published tracks are compared. It is not reproduced if
    either interval lies wholly outside. Otherwise it is undecided, as for a target that the run lacks. Metrics without a margin are not
    judged. The run is reproduced only if all rows are, so the level holds for the whole run (intersection-union test).

    Source: D.J. Schuirmann, "A comparison of the two one-sided tests procedure and the power approach for assessing the equivalence of
    average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
    """
    key, both = ["track", *KEY], published[["track", *KEY, "median"]].rename(columns={"median": "published_db"})
    runs = [f"run_{number}" for number in range(len(trainings))]
    for name, training in zip(runs, trainings, strict=True):
        both = both.merge(training[[*key, "median"]].rename(columns={"median": name}), how="left", on=key)
    apart = both[runs].apply(lambda scores: differences_db(scores, both["published_db"]))
    rows = [
        {"target": target, "metric": metric, **paired(str(metric), apart.loc[group.index].to_numpy(float).T)}
        for (target, metric), group in both.groupby(KEY, sort=False)
    ]
    summary = ordered(pd.DataFrame(rows))
    verdicts = set(summary["verdict"])
    verdict = next((found for found in (NOT_REPRODUCED, UNDECIDED, REPRODUCED) if found in verdicts), UNDECIDED)
    tracks = both[["target", "metric", "track"]].assign(
        run_db=both[runs].mean(axis=1, skipna=False), published_db=both["published_db"], difference_db=apart.mean(axis=1, skipna=False)
    )
    farthest = tracks.sort_values("difference_db", key=lambda column: -column.abs(), kind="stable")
    return Reproduction(*names, len(trainings), verdict, summary, ordered(farthest))


def location(differences: Floats) -> Location:
    """Return the trimmed mean of paired differences (n_trainings, n_tracks), in dB, with the error from tracks and trainings.

    The error from tracks follows from the winsorised variance (K.K. Yuen, Biometrika 61, 1974). Trainings count as random draws, so the
    variance of their trimmed means, divided by their number, is added. The degrees of freedom are those of F.E. Satterthwaite, Biometrics
    Bulletin 2, 1946. One training adds nothing, so the result holds for this training alone. Expects at least two tracks and no NaN.
    """
    n_trainings, n_tracks = differences.shape
    tracks = np.sort(differences.mean(axis=0))
    n_cut = int(TRIM * n_tracks)
    n_kept = n_tracks - 2 * n_cut
    winsorised = np.clip(tracks, tracks[n_cut], tracks[-n_cut - 1])
    variances, freedoms = [winsorised.var(ddof=1) * n_tracks / n_kept**2], [n_kept - 1]
    spread = np.nan
    if n_trainings > 1:
        spread = float(trim_mean(differences, TRIM, axis=1).std(ddof=1))
        variances, freedoms = [*variances, spread**2 / n_trainings], [*freedoms, n_trainings - 1]
    total = sum(variances)
    freedom = total**2 / sum(variance**2 / n for variance, n in zip(variances, freedoms, strict=True)) if total else freedoms[0]
    return Location(float(tracks[n_cut : n_tracks - n_cut].mean()), float(np.sqrt(total)), float(freedom), spread)


def equivalence_p(found: Location, margin: float) -> float:
    """Return the p-value for |mean| < margin, which is the larger one of two one-sided t tests."""
    return float(stdtr(found.freedom, (abs(found.mean) - margin) / found.error)) if found.error else float(abs(found.mean) >= margin)


def quantile_interval(values: Floats) -> tuple[float, float]:
    """Return the 90 % interval of the SHARE_WITHIN quantile of the population from which `values` (n,) were drawn.

    The bounds are two of the values, for any distribution. A bound is NaN if there are too few values. Source: W.J. Conover, "Practical
    Nonparametric Statistics", section 3.2.
    """
    low, high = _ranks(len(values))
    ascending = np.sort(values)
    return float(ascending[low]) if low >= 0 else np.nan, float(ascending[high]) if high < len(values) else np.nan


@cache
def _ranks(n: int) -> tuple[int, int]:
    """Return the indices of those of n ascending values that bound the quantile, each with an error of LEVEL."""
    low, high = (int(binom.ppf(level, n, SHARE_WITHIN)) for level in (LEVEL, 1 - LEVEL))
    return low - 1, high


def paired(metric: str, differences: Floats) -> dict[str, object]:
    """Return a row of the summary, without target and metric, from differences (n_trainings, n_published). Tracks with NaN are left out.

    The interval of the difference is Student's, with the error of `location`. That of the distance is `quantile_interval`.
    """
    n_published = differences.shape[1]
    differences = differences[:, ~np.isnan(differences).any(axis=0)]
    n_tracks = differences.shape[1]
    found, distances = Location(*[np.nan] * 4), np.empty(0)
    interval = distance_interval = (np.nan, np.nan)
    if n_tracks > 1:
        found, distances = location(differences), np.abs(differences).mean(axis=0)
        reach = found.error * float(stdtrit(found.freedom, 1 - LEVEL))
        interval = (found.mean - reach, found.mean + reach)
        distance_interval = quantile_interval(distances)
    margin = MARGINS.get(metric)
    return {
        "n_tracks": n_tracks,
        "n_published": n_published,
        "difference": found.mean,
        "ci_low": interval[0],
        "ci_high": interval[1],
        "spread": found.spread,
        "p_value": equivalence_p(found, margin.difference) if margin and n_tracks > 1 else np.nan,
        "distance": float(np.quantile(distances, SHARE_WITHIN)) if n_tracks > 1 else np.nan,
        "distance_ci_low": distance_interval[0],
        "distance_ci_high": distance_interval[1],
        "verdict": _verdict(margin, interval, distance_interval, n_tracks / n_published) if margin else NOT_JUDGED,
        "definition": f"{metric}[v4; frames=median; tracks={TRIM:.0%} trimmed mean of paired differences; n={n_tracks}]",
    }


def _verdict(margin: Margin, difference: tuple[float, float], distance: tuple[float, float], share: float) -> str:
    """Return the verdict, given the intervals of difference and distance, in dB, and the share of tracks that were compared."""
    if difference[0] > margin.difference or difference[1] < -margin.difference or distance[0] > margin.distance:
        return NOT_REPRODUCED
    is_equivalent = difference[0] >= -margin.difference and difference[1] <= margin.difference
    is_close = distance[1] <= margin.distance
    return REPRODUCED if is_equivalent and is_close and share >= MIN_SHARE else UNDECIDED
