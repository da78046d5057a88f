"""Tables of a system's scores: medians over frames and tracks, other common averages, and their uncertainty."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madsep.core.artefacts import Record, Stage
from madsep.core.files import write_text
from madsep.core.intervals import Bootstrap, interval
from madsep.core.tables import read_table
from madsep.data.datasets import BASELINE
from madsep.data.prepared import PreparedTrack
from madsep.scoring.chain import check_chain, check_same_tracks, remove_others, write_tables
from madsep.scoring.icassp2018 import LAYOUT, format_table1
from madsep.scoring.medians import MEDIANS_COLUMNS, format_overview, format_table, nan_share_of, protocol_medians, track_medians
from madsep.scoring.protocols import SISEC16, SISEC18, Protocol
from madsep.scoring.scores import ordered, read_track

GLOBAL_COLUMNS = ["track", "target", "metric", "value"]

AVERAGES: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
# id: the average over the frames of a track, and the average over tracks
NESTED_AVERAGES = {
    "sisec": ("median", "median"),
    "mean_of_medians": ("median", "mean"),
    "median_of_means": ("mean", "median"),
    "mean_of_means": ("mean", "mean"),
}


def summarise(scores: pd.DataFrame, seed: int, n_resamples: int, protocol: Protocol = SISEC18) -> pd.DataFrame:
    """Return five common averages per target and metric, with 95 % bootstrap intervals over tracks.

    `aggregation` is sisec (median over tracks of the median over frames), mean_of_medians, median_of_means or
    mean_of_means (over tracks, of the average over frames), or pooled_median (over the frames of all tracks). The
    columns are target, metric, definition, aggregation, value, ci_low, ci_high, n_tracks, n_frames, nan_share, with
    values in dB. `n_tracks` counts the tracks with a number, and `n_frames` all frames, including NaN. All intervals
    use the same resamples of tracks. The interval of a single track is NaN.
    """
    rows: list[dict[str, Any]] = []
    for (target, metric), group in scores.groupby(["target", "metric"], sort=True):
        frames = [track.dropna().to_numpy() for _, track in group.groupby("track", sort=True)["score"]]
        frames = [track for track in frames if len(track)]
        n_tracks, nan_share = len(frames), nan_share_of(group["score"])
        known = {"n_tracks": n_tracks, "n_frames": len(group), "nan_share": nan_share}
        for aggregation, how, value, bounds in _averages(frames, seed, n_resamples):
            definition = protocol.definition(str(metric), how, n_tracks, nan_share)
            rows.append(_summary_row((target, metric), definition, aggregation, (value, *bounds), known))
    return ordered(pd.DataFrame(rows))


def summarise_global(global_scores: pd.DataFrame, seed: int, n_resamples: int, protocol: Protocol = SISEC18) -> pd.DataFrame:
    """Return the median and mean over tracks of whole-track metrics, with the columns and intervals of `summarise`.

    `global_scores` has the columns track, target, metric, value (dB). A whole track counts as one frame.
    """
    rows: list[dict[str, Any]] = []
    for (target, metric), group in global_scores.groupby(["target", "metric"], sort=True):
        values = group.sort_values("track")["value"].dropna().to_numpy()
        known = {"n_tracks": len(values), "n_frames": len(group), "nan_share": nan_share_of(group["value"])}
        for name, average in AVERAGES.items():
            how = f"whole track{', mono' if protocol.mono else ''}; tracks={name}"
            definition = f"{metric}[{how}; n={len(values)}; nan={known['nan_share']:.1%}]"
            numbers = (_value(average, values), *interval([values], average, seed, n_resamples, vectorized=True))
            rows.append(_summary_row((target, metric), definition, name, numbers, known))
    return ordered(pd.DataFrame(rows))


def aggregate(
    tracks: Sequence[PreparedTrack], estimates: Path | None, scores: Path, out: Path, bootstrap: Bootstrap, protocol: Protocol = SISEC18
) -> None:
    """Write medians.csv, summary.csv, track_medians.csv and global.csv of one system to `out`, with the tracks' true names.

    `estimates` and `scores` are stages' folders. MIX has no estimates. The stage's scores of other tracks are removed, so that its folder
    holds only the scores of this run. Raises InputError as `check_chain` does.
    """
    check_chain(tracks, estimates, scores)
    stage = Stage(scores)
    remove_others(stage, tracks)
    records = [stage.record(track.slug) for track in tracks]
    framewise = pd.concat([read_track(scores / file, protocol) for record in records for file in record.files], ignore_index=True)
    global_scores = read_global(records)
    resampling = bootstrap.seed, bootstrap.n_resamples, protocol
    summary = [summarise(framewise, *resampling), summarise_global(global_scores, *resampling)]
    tables = {
        "medians.csv": protocol_medians(framewise, protocol),
        "summary.csv": pd.concat(summary, ignore_index=True),
        "track_medians.csv": track_medians(framewise),
        "global.csv": ordered(global_scores.sort_values("track")),
    }
    write_tables(tables, out, tracks, (estimates, scores), protocol)


def write_overview(systems: Mapping[str, Path], baseline: Path, path: Path, protocol: Protocol = SISEC18) -> None:
    """Write the medians of several systems, compared with those of MIX, as text.

    `systems` and `baseline` are folders written by `aggregate`. For sisec16 on DSD100, the published figures of ICASSP 2018 are added.
    Raises InputError as `check_same_tracks` does.
    """
    folders = {**systems, BASELINE: baseline}
    records = check_same_tracks(folders, protocol)
    medians = {name: read_table(folder / "medians.csv", MEDIANS_COLUMNS) for name, folder in folders.items()}
    texts = [f"{name}\n{format_table(medians[name], medians[BASELINE], protocol)}" for name in systems]
    if protocol == SISEC16 and records[BASELINE].facts["layouts"] == [LAYOUT]:
        texts.append(format_table1(medians))
    elif len(systems) > 1:
        texts.append(format_overview(medians, protocol))
    write_text(path, "\n\n".join(texts) + "\n")


def _averages(frames: list[NDArray[np.float64]], seed: int, n_resamples: int) -> Iterator[tuple[str, str, float, tuple[float, float]]]:
    """Yield id, definition, value and interval of each average; `frames` holds the non-NaN frames of each track."""
    for aggregation, (over_frames, over_tracks) in NESTED_AVERAGES.items():
        values = np.array([AVERAGES[over_frames](track) for track in frames])
        average = AVERAGES[over_tracks]
        bounds = interval([values], average, seed, n_resamples, vectorized=True)
        yield aggregation, f"frames={over_frames}; tracks={over_tracks}", _value(average, values), bounds

    pooled, tracks = _pooled_median(frames), np.arange(len(frames))
    bounds = interval([tracks], pooled, seed, n_resamples, vectorized=True)
    yield "pooled_median", "all frames=median", _value(pooled, tracks), bounds


def _pooled_median(frames: list[NDArray[np.float64]]) -> Callable[..., Any]:
    """Return a function from chosen tracks, as numbers (..., n_tracks), to the median over all their frames, (...,).

    All frames are sorted once. Each resample then only counts how often a frame occurs, which is much faster than sorting again.
    """
    pool = np.concatenate(frames) if frames else np.empty(0)
    order = np.argsort(pool, kind="stable")
    ordered_frames, owner = pool[order], np.repeat(np.arange(len(frames)), [len(track) for track in frames])[order]

    def of_choice(chosen: NDArray[np.int64]) -> float:
        ends = np.cumsum(np.bincount(chosen, minlength=len(frames))[owner])
        middle = np.searchsorted(ends, [(ends[-1] - 1) // 2, ends[-1] // 2], side="right")
        return float(ordered_frames[middle].mean())

    return lambda chosen, axis=-1: np.apply_along_axis(of_choice, axis, chosen)


def _value(average: Callable[..., Any], values: NDArray[Any]) -> float:
    return float(average(values)) if len(values) else np.nan


def _summary_row(
    key: tuple[Any, ...], definition: str, aggregation: str, numbers: tuple[float, float, float], known: dict[str, Any]
) -> dict[str, Any]:
    target, metric = key
    value, low, high = numbers
    row = {"target": target, "metric": metric, "definition": definition, "aggregation": aggregation}
    return {**row, "value": value, "ci_low": low, "ci_high": high, **known}


def read_global(records: Sequence[Record]) -> pd.DataFrame:
    """Return the whole-track metrics in dB from records of scores: track, target, metric, value."""
    return pd.DataFrame([row for record in records for row in _global_rows(record.facts)], columns=GLOBAL_COLUMNS)


def _global_rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    """Yield the rows of global.csv from the facts of a score record."""
    for target, values in facts["whole_track"].items():
        yield facts["name"], target, "SDR_global", values["SDR"]
        yield facts["name"], target, "SI-SDR", values["SI-SDR"]
