"""Statistics of several systems scored on the same tracks: medians, paired tests, and whether a run reproduces a published system."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from madsep.core.intervals import Bootstrap, interval
from madsep.scoring.scores import METRICS, TARGETS, ordered

KEY = ["target", "metric"]
RESOLUTION_DB = 1e-5  # the last decimal of the published scores: what differs by less does not differ
# Reproduced within half a decibel. In SiSEC 2018 the variants that one group submitted (MDL1 and MDLT, JY1 to JY3, UHL1 and UHL2,
# TAK2 and TAK3) lie 0.14 to 0.31 dB apart in vocals SDR on the middle track, with intervals up to 0.44 dB; other systems of the same
# median lie further apart (MDL1 and WK 0.51 dB, up to 0.68 dB), although their median difference is 0.02 dB. So both are asked for:
# no difference on the whole, and little on the single track.
TOLERANCE_DB = 0.5
MIN_SHARE = 0.9  # of the published tracks must have a number in the run for it to reproduce them
REPRODUCED, UNDECIDED, NOT_REPRODUCED = "reproduced", "undecided", "not reproduced"


@dataclass(frozen=True)
class Reproduction:
    """Paired comparison of a run with a published system."""

    run: str
    published: str
    verdict: str  # the worst of the targets' verdicts on SDR, by which the campaign ranks: not reproduced, undecided or reproduced
    summary: pd.DataFrame  # one row per target and metric; see `check_reproduction`
    tracks: pd.DataFrame  # target, metric, track, run_db, published_db, difference_db; those that differ most come first


def systems_medians(tracks: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Return the median over tracks of each system's medians over frames, in dB, with a 95 % bootstrap interval over tracks.

    `tracks` has the columns system, kind, track, target, metric, median, n_frames, nan_share, the last two NaN if they are not known.
    Columns: target, metric, system, kind, median, ci_low, ci_high, n_tracks, nan_share, definition; the highest median comes first. Tracks
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
    """Return all systems of `systems_medians`, the highest vocals SDR first, those without one last."""
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
    """Return the p-values of one family of tests, (tests,), adjusted by Holm's step-down method; NaN (not tested) stays NaN.

    The k-th smallest of m p-values is multiplied by m - k + 1, and is no smaller than its predecessor and no larger than 1.
    """
    ascending = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]  # NaN come last
    adjusted = np.full(len(p_values), np.nan)
    factors = np.arange(len(ascending), 0, -1)
    adjusted[ascending] = np.minimum(np.maximum.accumulate(p_values[ascending] * factors), 1.0)
    return adjusted


def matrix(pairs: pd.DataFrame, systems: Sequence[str], column: str) -> pd.DataFrame:
    """Return a column of `pairwise_tests` for one target and metric as a matrix, (systems, systems); NaN on its diagonal.

    Of `median_difference`, each row holds the row's system minus the column's.
    """
    square = pd.DataFrame(np.nan, index=list(systems), columns=list(systems))
    sign = -1.0 if column == "median_difference" else 1.0
    for system, other, value in zip(pairs["system"], pairs["other"], pairs[column], strict=True):
        square.loc[system, other], square.loc[other, system] = value, sign * value
    return square


def check_reproduction(run: pd.DataFrame, published: pd.DataFrame, names: tuple[str, str], bootstrap: Bootstrap) -> Reproduction:
    """Compare a run with a published system track by track, on all targets of the published one.

    `run` and `published` have the columns track, target, metric, median (dB); `names` are theirs. The summary's columns: target, metric,
    n_tracks (with a number in both), n_published, median_difference (run - published) with ci_low and ci_high, median_distance (of the
    difference's absolute value) with distance_ci_low and distance_ci_high, p_value (Wilcoxon signed-rank, two-sided, uncorrected),
    verdict, definition; dB, 95 % bootstrap intervals over tracks. A row is reproduced if the median difference's interval lies within
    +-TOLERANCE_DB, the median distance's below TOLERANCE_DB, and MIN_SHARE of the published tracks are compared; not reproduced if
    either interval lies wholly outside; undecided otherwise, as for a target that the run lacks.

    Source of the test for equivalence by an interval: D.J. Schuirmann, "A comparison of the two one-sided tests procedure and the power
    approach for assessing the equivalence of average bioavailability", Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
    """
    both = run.merge(published, how="right", on=["track", *KEY], suffixes=("_run", "_published"))
    tracks = pd.DataFrame({**both[[*KEY, "track"]], "run_db": both["median_run"], "published_db": both["median_published"]})
    tracks["difference_db"] = _differences(tracks["run_db"], tracks["published_db"])
    summary = ordered(
        pd.DataFrame(
            {"target": target, "metric": metric, **_paired(str(metric), group["difference_db"].to_numpy(float), bootstrap)}
            for (target, metric), group in tracks.groupby(KEY, sort=False)
        )
    )
    verdicts = set(summary.loc[summary["metric"] == METRICS[0], "verdict"])
    verdict = next((found for found in (NOT_REPRODUCED, UNDECIDED) if found in verdicts), REPRODUCED)
    farthest = tracks.sort_values("difference_db", key=lambda column: -column.abs(), kind="stable")
    return Reproduction(*names, verdict, summary, ordered(farthest))


def signed_rank_p(differences: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test: 1 if nothing differs, NaN without a track."""
    if not len(differences):
        return np.nan
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def _family(target: str, metric: str, group: pd.DataFrame) -> Iterator[tuple[str, str, str, str, int, float, float, float, str]]:
    """Yield a row of `pairwise_tests` for each pair of systems of one target and metric."""
    scores = group.pivot(index="track", columns="system", values="median")
    pairs = list(combinations(group["system"].unique(), 2))
    differences = [_differences(scores[one], scores[other]).dropna().to_numpy(float) for one, other in pairs]
    p_values = np.array([signed_rank_p(values) for values in differences])
    for (one, other), values, p_value, p_holm in zip(pairs, differences, p_values, holm(p_values), strict=True):
        difference = float(np.median(values)) if len(values) else np.nan
        definition = (
            f"{metric}[v4; frames=median; tracks=median of paired differences; n={len(values)}; "
            f"p=Wilcoxon signed-rank, two-sided; p_holm=Holm over {len(pairs)} pairs]"
        )
        yield target, metric, one, other, len(values), difference, p_value, p_holm, definition


def _differences(one: pd.Series, other: pd.Series) -> pd.Series:
    """Return one - other, or 0 if they differ by no more than the published scores' rounding."""
    differences = one - other
    return differences.mask(differences.abs() < RESOLUTION_DB, 0.0)


def _paired(metric: str, differences: NDArray[np.float64], bootstrap: Bootstrap) -> dict[str, object]:
    """Return a row of the summary of `check_reproduction`, but for its target and metric; NaN differences are of tracks not compared."""
    n_published = len(differences)
    differences = differences[~np.isnan(differences)]
    bounds = {
        name: interval([values], np.median, bootstrap.seed, bootstrap.n_resamples, vectorized=True)
        for name, values in (("difference", differences), ("distance", np.abs(differences)))
    }
    return {
        "n_tracks": len(differences),
        "n_published": n_published,
        "median_difference": float(np.median(differences)) if len(differences) else np.nan,
        "ci_low": bounds["difference"][0],
        "ci_high": bounds["difference"][1],
        "median_distance": float(np.median(np.abs(differences))) if len(differences) else np.nan,
        "distance_ci_low": bounds["distance"][0],
        "distance_ci_high": bounds["distance"][1],
        "p_value": signed_rank_p(differences),
        "verdict": _verdict(bounds["difference"], bounds["distance"], len(differences) / n_published),
        "definition": f"{metric}[v4; frames=median; tracks=median of paired differences; n={len(differences)}]",
    }


def _verdict(difference: tuple[float, float], distance: tuple[float, float], share: float) -> str:
    """Judge by the intervals of the median difference and of the median distance, in dB, and by the share of tracks that were compared."""
    if difference[0] >= -TOLERANCE_DB and difference[1] <= TOLERANCE_DB and distance[1] <= TOLERANCE_DB:
        return REPRODUCED if share >= MIN_SHARE else UNDECIDED
    if difference[0] > TOLERANCE_DB or difference[1] < -TOLERANCE_DB or distance[0] > TOLERANCE_DB:
        return NOT_REPRODUCED
    return UNDECIDED


def _share(share: float) -> str:
    return "unknown" if np.isnan(share) else f"{share:.1%}"
