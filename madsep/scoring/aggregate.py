"""The tables of a system's scores: medians over frames and tracks, the other averages in use, and their uncertainty."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.files import atomic
from madsep.core.intervals import interval
from madsep.core.logs import log
from madsep.scoring.medians import nan_share_of, sisec_medians, track_medians
from madsep.scoring.scores import ordered, read_scores

GLOBAL_COLUMNS = ["track", "target", "metric", "value"]

AVERAGES: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
# id: how the frames of a track become one value, how those of the tracks become one number
NESTED_AVERAGES = {
    "sisec": ("median", "median"),
    "mean_of_medians": ("median", "mean"),
    "median_of_means": ("mean", "median"),
    "mean_of_means": ("mean", "mean"),
}


def summarise(scores: pd.DataFrame, seed: int, n_resamples: int) -> pd.DataFrame:
    """Return five averages in use per target and metric, with 95 % bootstrap intervals over tracks.

    `aggregation` is sisec (median over tracks of the median over frames), mean_of_medians, median_of_means,
    mean_of_means (likewise, tracks of frames) or pooled_median (all frames of all tracks together). Columns: target,
    metric, recipe, aggregation, value, ci_low, ci_high, n_tracks, n_frames, nan_share; values in dB. `n_tracks`
    counts tracks with a number, `n_frames` all frames, NaN ones too. Every interval draws the same resamples of
    tracks; that of a single track is NaN.
    """
    rows: list[dict[str, Any]] = []
    for (target, metric), group in scores.groupby(["target", "metric"], sort=True):
        frames = [track.dropna().to_numpy() for _, track in group.groupby("track", sort=True)["score"]]
        frames = [track for track in frames if len(track)]
        known = {"n_tracks": len(frames), "n_frames": len(group), "nan_share": nan_share_of(group["score"])}
        counts = f"n={len(frames)}; nan={known['nan_share']:.1%}"
        for aggregation, how, value, bounds in _averages(frames, seed, n_resamples):
            recipe = f"{metric}[v4; {how}; {counts}]"
            rows.append(_summary_row((target, metric), recipe, aggregation, (value, *bounds), known))
    return ordered(pd.DataFrame(rows))


def summarise_global(global_scores: pd.DataFrame, seed: int, n_resamples: int) -> pd.DataFrame:
    """Return median and mean over tracks of whole-track metrics, with the columns and intervals of `summarise`.

    `global_scores` has the columns track, target, metric, value (dB). A whole track counts as one frame.
    """
    rows: list[dict[str, Any]] = []
    for (target, metric), group in global_scores.groupby(["target", "metric"], sort=True):
        values = group.sort_values("track")["value"].dropna().to_numpy()
        known = {"n_tracks": len(values), "n_frames": len(group), "nan_share": nan_share_of(group["value"])}
        for name, average in AVERAGES.items():
            recipe = f"{metric}[whole track; tracks={name}; n={len(values)}; nan={known['nan_share']:.1%}]"
            numbers = (_value(average, values), *interval([values], average, seed, n_resamples, vectorized=True))
            rows.append(_summary_row((target, metric), recipe, name, numbers, known))
    return ordered(pd.DataFrame(rows))


def aggregate(score_dir: Path, global_csvs: list[Path], names: dict[str, str], out_dir: Path, seed: int, n_resamples: int) -> None:
    """Write medians.csv, summary.csv, track_medians.csv and global.csv of one system to `out_dir`.

    Reads `<score_dir>/<slug>.json` for exactly the slugs in `names` (slug -> true name), and whole-track CSVs with the
    columns track (true name), target, metric, value; the tables hold true names. Raises InputError for a track that is
    missing; scores of other slugs, left by an earlier run, are left out with a warning.
    """
    scores = read_scores(score_dir)
    others = set(scores["track"]) - set(names)
    if others:
        log.warning("%s: scores of an earlier run are left out: %s", score_dir, ", ".join(sorted(others)))
        scores = scores[scores["track"].isin(names)]
    _check_tracks(set(scores["track"]), set(names), score_dir)
    scores = scores.assign(track=scores["track"].map(names))
    global_scores = _read_global(global_csvs)
    _check_tracks(set(global_scores["track"]), set(names.values()), global_csvs[0].parent)
    summary = [summarise(scores, seed, n_resamples), summarise_global(global_scores, seed, n_resamples)]
    _write(sisec_medians(scores), out_dir / "medians.csv")
    _write(pd.concat(summary, ignore_index=True), out_dir / "summary.csv")
    _write(track_medians(scores), out_dir / "track_medians.csv")
    _write(ordered(global_scores.sort_values("track")), out_dir / "global.csv")


def _averages(frames: list[NDArray[np.float64]], seed: int, n_resamples: int) -> Iterator[tuple[str, str, float, tuple[float, float]]]:
    """Yield id, recipe, value and interval of each average; `frames` holds the non-NaN frames of each track."""
    for aggregation, (over_frames, over_tracks) in NESTED_AVERAGES.items():
        values = np.array([AVERAGES[over_frames](track) for track in frames])
        average = AVERAGES[over_tracks]
        bounds = interval([values], average, seed, n_resamples, vectorized=True)
        yield aggregation, f"frames={over_frames}; tracks={over_tracks}", _value(average, values), bounds

    def pooled(tracks: NDArray[np.int64]) -> float:
        return float(np.median(np.concatenate([frames[track] for track in tracks])))

    tracks = np.arange(len(frames))
    bounds = interval([tracks], pooled, seed, n_resamples, vectorized=False)
    yield "pooled_median", "all frames=median", _value(pooled, tracks), bounds


def _value(average: Callable[..., Any], values: NDArray[Any]) -> float:
    return float(average(values)) if len(values) else np.nan


def _summary_row(
    key: tuple[Any, ...], recipe: str, aggregation: str, numbers: tuple[float, float, float], known: dict[str, Any]
) -> dict[str, Any]:
    target, metric = key
    value, low, high = numbers
    row = {"target": target, "metric": metric, "recipe": recipe, "aggregation": aggregation}
    return {**row, "value": value, "ci_low": low, "ci_high": high, **known}


def _read_global(paths: list[Path]) -> pd.DataFrame:
    """Read whole-track CSVs into one table. Raises InputError for one that cannot be read or has other columns."""
    tables = []
    for path in paths:
        try:
            table = pd.read_csv(path, dtype={"track": str})
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read as CSV ({error}). Score the track again.") from None
        if list(table.columns) != GLOBAL_COLUMNS or not pd.api.types.is_numeric_dtype(table["value"]):
            raise InputError(f"{path}: expected the columns {','.join(GLOBAL_COLUMNS)} with numbers in the last one.")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _check_tracks(found: set[str], expected: set[str], where: Path) -> None:
    """Raise InputError when the tracks found are not exactly those expected."""
    if expected - found:
        raise InputError(f"{where}: no scores of {', '.join(sorted(expected - found))}. Score that track first.")
    if found - expected:
        raise InputError(
            f"{where}: has scores of {', '.join(sorted(found - expected))}, not among the tracks of this run. Take those away."
        )


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")
