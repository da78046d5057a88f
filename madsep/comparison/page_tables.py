"""Tables of the page: systems of a target, tracks of the runs, and the numbers of the scatter plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from madsep.comparison.details import SI_SDR, USDR
from madsep.comparison.page_figures import spark_range, sparkline
from madsep.comparison.runs import MARK, Run
from madsep.data.datasets import BASELINE
from madsep.scoring.scores import decibels

KINDS = {
    "supervised+extra": "supervised, extra data",
    "run+oracle": "run, oracle",
    "run+blind": "run, blind",
    "run+extra": "run, extra data",
}
WHOLE_TRACK_METRICS = (USDR, SI_SDR)
SCATTER_DECIMALS = 2


def systems_values(medians: pd.DataFrame, means: pd.DataFrame) -> dict[str, Any]:
    """Return the table of a target, with one row per system in the order of SDR.

    `medians` are the target's rows of `systems_medians`, `means` those of `whole_track_means`. Metrics without rows have no column.
    """
    table = pd.concat([medians, means.rename(columns={"mean": "median"})])
    metrics = list(dict.fromkeys([*medians["metric"], *(metric for metric in WHOLE_TRACK_METRICS if metric in set(means["metric"]))]))
    cells = {(row["system"], row["metric"]): row for row in table.to_dict("records")}
    rows = [_row_values([cells.get((system, metric)) for metric in metrics]) for system in medians["system"].unique()]
    return {"metrics": metrics, "rows": rows, "has_means": not means.empty}


def _row_values(cells: Sequence[Mapping[Any, Any] | None]) -> dict[str, Any]:
    """Return the row of a system. A definition that all medians share is shown once."""
    known = [cell for cell in cells if cell is not None]
    system, kind = known[0]["system"], known[0]["kind"]
    framewise = [cell for cell in known if cell["metric"] not in WHOLE_TRACK_METRICS]
    definitions = dict.fromkeys(cell["definition"].removeprefix(cell["metric"]).strip("[]") for cell in framewise)
    return {
        "system": system,
        "kind": "mixture / 4" if "oracle" in kind and system.removesuffix(MARK) == BASELINE else KINDS.get(kind, kind),
        "is_run": kind.startswith("run"),
        "n_tracks": max(cell["n_tracks"] for cell in framewise),
        "definition": " / ".join(definitions),
        "cells": [_cell_values(cell) for cell in cells],
    }


def _cell_values(cell: Mapping[Any, Any] | None) -> dict[str, str]:
    if cell is None:
        return {"value": "", "text": "-", "interval": "", "definition": "not known: it needs the audio"}
    interval = "" if np.isnan(cell["ci_low"]) else f"{decibels(cell['ci_low'])} .. {decibels(cell['ci_high'])}"
    return {"value": _number(cell["median"]), "text": decibels(cell["median"]), "interval": interval, "definition": cell["definition"]}


def tracks_values(runs: Sequence[Run], target: str, names: Mapping[str, str], links: Mapping[str, str]) -> dict[str, Any]:
    """Return the table of a target's tracks, with one row per track and run that has the target.

    `names` are the names of the runs in the comparison. `links` maps names of tracks to the listening page.
    """
    those = [run for run in runs if target in set(run.medians["target"])]
    limits = spark_range([frames for run in those for (_, of), frames in run.details.frames.items() if of == target])
    tables = [_scores_of(run, target) for run in those]
    known = {metric for table in tables for metric in table.columns}
    metrics = [*dict.fromkeys(metric for run in those for metric in run.medians["metric"])]
    metrics += [metric for metric in WHOLE_TRACK_METRICS if metric in known]
    rows = []
    for run, table in zip(those, tables, strict=True):
        for track, scores in table.iterrows():
            frames = run.details.frames.get((str(track), target))
            cells = [scores.get(metric, np.nan) for metric in metrics]
            counts = {"n_frames": int(scores["n_frames"]), "nan_share": float(scores["nan_share"])}
            spark = sparkline(frames, limits) if frames is not None and len(frames) else None
            texts = [{"value": _number(cell), "text": decibels(cell)} for cell in cells]
            who = {"track": track, "link": links.get(str(track), ""), "system": names[run.name]}
            rows.append({**who, **counts, "cells": texts, "spark": spark})
    has_sparks = any(row["spark"] for row in rows)
    order = sorted(rows, key=lambda row: (row["track"], row["system"]))
    return {"metrics": metrics, "rows": order, "limits": limits, "has_sparks": has_sparks, "n_runs": len(those)}


def _scores_of(run: Run, target: str) -> pd.DataFrame:
    """Return a run's scores of a target, with one row per track: a column per metric, then n_frames and nan_share of SDR."""
    own = run.medians[run.medians["target"] == target]
    whole = run.details.whole_track
    of_target = whole[whole["target"] == target]
    scores = own.pivot(index="track", columns="metric", values="median")
    counts = own.drop_duplicates("track").set_index("track")[["n_frames", "nan_share"]]
    return scores.join(of_target.pivot(index="track", columns="metric", values="value").astype(float)).join(counts)


def scatter_values(tracks: pd.DataFrame, runs: Sequence[Run], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the numbers of the scatter plot by target: its tracks, and by system and metric their values in dB, or None."""
    whole = [run.details.whole_track.rename(columns={"value": "median"}).assign(system=names[run.name]) for run in runs]
    table = pd.concat([tracks[["system", "track", "target", "metric", "median"]], *(part for part in whole if len(part))])
    values: dict[str, Any] = {}
    for target, of_target in table.groupby("target", sort=False):
        wide = of_target.pivot(index="track", columns=["system", "metric"], values="median")
        systems: dict[str, dict[str, list[float | None]]] = {}
        for system, metric in ((key[0], key[1]) for key in wide.columns.to_list()):
            column = wide[system, metric]
            numbers = [None if np.isnan(value) else round(float(value), SCATTER_DECIMALS) for value in column]
            systems.setdefault(str(system), {})[str(metric)] = numbers
        own = [name for name in names.values() if name in systems]
        values[str(target)] = {"tracks": list(wide.index), "systems": systems, "own": own}
    return values


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.6f}"
