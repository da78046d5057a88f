"""Statistics of several systems scored on the same tracks: medians and paired tests."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from madsep.core.intervals import Bootstrap, interval
from madsep.scoring.scores import METRICS, TARGETS, ordered

KEY = ["target", "metric"]
RESOLUTION_DB = 1e-5  # the last decimal of the published scores; smaller differences count as none


def systems_medians(tracks: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Return the median over tracks of each system's medians over frames, in dB, with a 95 % bootstrap interval over tracks.

    `tracks` has the columns system, kind, track, target, metric, median, n_frames, nan_share, the last two NaN if they are not known.
    Columns: target, metric, system, kind, median, ci_low, ci_high, n_tracks, nan_share, definition. The highest median comes first. Tracks
    without a number are not counted in n_tracks.
    """
    rows = []
    for (system, kind, target, metric), group in tracks.groupby(["system", "kind", *KEY], sort=False):
        values = group["median"].dropna().to_numpy(float)
        low, high = interval([values], np.median, bootstrap.seed, bootstrap.n_resamples, vectorized=True)
        median = float(np.median(values)) if len(values) else np.nan
        share = float(np.average(group["nan_share"], weights=group["n_frames"])) if group["n_frames"].notna().all() else np.nan
        definition = f"{metric}[v4; frames=median; tracks=median; n={len(values)}; nan={_share(share)}]"
        rows.append((target, metric, system, kind, median, low, high, len(values), share, definition))
    columns = [*KEY, "system", "kind", "median", "ci_low", "ci_high", "n_tracks", "nan_share", "definition"]
    table = pd.DataFrame(rows, columns=columns)
    return ordered(table.sort_values(["median", "system"], ascending=[False, True]))


def ranking(medians: pd.DataFrame) -> list[str]:
    """Return all systems of `systems_medians` by descending vocals SDR. Those without one come last."""
    vocals = medians[(medians["target"] == TARGETS[0]) & (medians["metric"] == METRICS[0])]
    ranked = list(vocals["system"])
    return ranked + sorted(set(medians["system"]) - set(ranked))


def pairwise_tests(tracks: pd.DataFrame) -> pd.DataFrame:
    """Test every pair of systems on the tracks for which both have a number: two-sided Wilcoxon signed-rank test, Holm-corrected.

    `tracks` has the columns system, track, target, metric, median (dB). Columns: target, metric, system, other, n_tracks,
    median_difference (system - other, dB), p_value, p_holm, definition. The pairs of one target and metric are one family of tests.
    F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945; S. Holm, "A simple sequentially
    rejective multiple test procedure", Scandinavian Journal of Statistics 6(2), 1979.
    """
    tables = [_family(str(target), str(metric), group) for (target, metric), group in tracks.groupby(KEY, sort=False)]
    columns = [*KEY, "system", "other", "n_tracks", "median_difference", "p_value", "p_holm", "definition"]
    return ordered(pd.DataFrame([row for table in tables for row in table], columns=columns))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p-values of one family of tests, (tests,), adjusted by Holm's step-down method. NaN (not tested) stays NaN.

    The k-th smallest of m p-values is multiplied by m - k + 1, and is no smaller than its predecessor and no larger than 1.
    """
    ascending = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN come last in sorted order
    adjusted = np.full(len(p_values), np.nan)
    factors = np.arange(len(ascending), 0, -1)
    adjusted[ascending] = np.minimum(np.maximum.accumulate(p_values[ascending] * factors), 1.0)
    return adjusted


def matrix(pairs: pd.DataFrame, systems: Sequence[str], column: str) -> pd.DataFrame:
    """Return a column of `pairwise_tests` for one target and metric as a matrix (systems, systems) with NaN on its diagonal.

    Entries of `median_difference` are the row's system minus the column's.
    """
    square = pd.DataFrame(np.nan, index=list(systems), columns=list(systems))
    sign = -1.0 if column == "median_difference" else 1.0
    for system, other, value in zip(pairs["system"], pairs["other"], pairs[column], strict=True):
        square.loc[system, other], square.loc[other, system] = value, sign * value
    return square


def differences_db(one: pd.Series, other: pd.Series) -> pd.Series:
    """Return one - other, or 0 if they differ by no more than the published scores' rounding."""
    differences = one - other
    return differences.mask(differences.abs() < RESOLUTION_DB, 0.0)


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test: 1 if nothing differs, NaN without tracks."""
    if not len(differences):
        return np.nan
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def _family(target: str, metric: str, group: pd.DataFrame) -> Iterator[tuple[str, str, str, str, int, float, float, float, str]]:
    """Yield a row of `pairwise_tests` for each pair of systems of one target and metric."""
    scores = group.pivot(index="track", columns="system", values="median")
    pairs = list(combinations(group["system"].unique(), 2))
    if not pairs:
        return
    ones, others = (scores[list(systems)].to_numpy(float) for systems in zip(*pairs, strict=True))
    differences = np.where(np.abs(ones - others) < RESOLUTION_DB, 0.0, ones - others)
    p_values = _signed_rank_ps(differences)
    for number, (p_value, p_holm) in enumerate(zip(p_values, holm(p_values), strict=True)):
        known = differences[~np.isnan(differences[:, number]), number]
        difference = float(np.median(known)) if len(known) else np.nan
        definition = (
            f"{metric}[v4; frames=median; tracks=median of paired differences; n={len(known)}; "
            f"p=Wilcoxon signed-rank, two-sided; p_holm=Holm over {len(pairs)} pairs]"
        )
        yield target, metric, *pairs[number], len(known), difference, p_value, p_holm, definition


def _signed_rank_ps(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `signed_rank_p` of each column of (tracks, pairs). Columns without NaN, zeros and ties are computed together."""
    ascending = np.sort(np.abs(differences), axis=0)  # NaN come last in sorted order
    is_plain = (ascending[0] > 0) & (np.diff(ascending, axis=0) > 0).all(axis=0) & ~np.isnan(ascending[-1])
    p_values = np.full(differences.shape[1], np.nan)
    if is_plain.any():
        p_values[is_plain] = wilcoxon(differences[:, is_plain], axis=0).pvalue
    for number in np.flatnonzero(~is_plain):
        p_values[number] = signed_rank_p(differences[~np.isnan(differences[:, number]), number])
    return p_values


def _share(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{share:.1%}"
