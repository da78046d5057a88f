"""The averages shown in a protocol's tables. In SiSEC 2018, this is the median over tracks of the median over frames."""

import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from madsep.core.logs import log
from madsep.core.tables import Column
from madsep.scoring.protocols import SISEC16, SISEC18, Protocol
from madsep.scoring.scores import NO_ARTEFACTS_DB, TARGETS, decibels, ordered

MEDIANS_COLUMNS: Mapping[str, Column] = {
    **{"target": str, "metric": str, "median": float, "n_tracks": int, "nan_share": float},
    "definition": str,
}


def track_medians(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the median over non-NaN frames of each track: track, target, metric, median, n_frames, nan_share.

    `n_frames` counts all frames. `nan_share` is the fraction of them that is NaN (0..1). The median of a track with
    only NaN frames is NaN.
    """
    groups = scores.groupby(["track", "target", "metric"], sort=True)["score"]
    medians = groups.agg(median="median", n_frames="size", nan_share=nan_share_of).reset_index()
    return ordered(medians)


def protocol_medians(scores: pd.DataFrame, protocol: Protocol) -> pd.DataFrame:
    """Return a protocol's average over non-NaN frames in dB: target, metric, median, n_tracks, nan_share, definition.

    In sisec18 it is the median over tracks of the median over frames (Stöter, Liutkus & Ito, "The 2018 Signal Separation Evaluation
    Campaign", section 3). In sisec16 it is the median over the frames of all tracks. A track with only NaN frames is not counted, and a
    warning names it.
    """
    by_track = track_medians(scores)
    _warn_of_empty_tracks(by_track)
    medians = by_track.groupby(["target", "metric"])["median"].agg(median="median", n_tracks="count")
    frames = scores.groupby(["target", "metric"])["score"]
    if protocol == SISEC16:
        medians["median"] = frames.median()
    found = medians.join(frames.agg(nan_share=nan_share_of)).reset_index()
    rows = zip(found["metric"], found["n_tracks"], found["nan_share"], strict=True)
    found["definition"] = [protocol.definition(metric, protocol.average, n_tracks, share) for metric, n_tracks, share in rows]
    return ordered(found)


def sisec_medians(scores: pd.DataFrame) -> pd.DataFrame:
    """Return `protocol_medians` for SiSEC 2018."""
    return protocol_medians(scores, SISEC18)


def format_table(medians: pd.DataFrame, baseline: pd.DataFrame | None, protocol: Protocol = SISEC18) -> str:
    """Return `protocol_medians` of a system as text. If `baseline` is given, add the medians of MIX and the gain over them.

    If MIX lacks a target or metric, a dash is shown.
    """
    compared = [] if baseline is None else ["MIX, dB", "gain, dB"]
    if baseline is not None:
        medians = medians.merge(baseline[["target", "metric", "median"]], how="left", on=["target", "metric"], suffixes=("", "_mix"))
    table = Table(title=f"{protocol.title.capitalize()} ({protocol.measure})")
    table.add_column("target")
    table.add_column("metric")
    for heading in ("system, dB", *compared, "tracks", "NaN frames"):
        table.add_column(heading, justify="right")
    for row in ordered(medians).to_dict("records"):
        numbers = [decibels(row["median"])]
        if compared:
            system, mix = row["median"], row["median_mix"]
            gain = np.nan if max(system, mix) > NO_ARTEFACTS_DB else system - mix
            numbers += [decibels(mix), decibels(gain, "+")]
        table.add_row(row["target"], row["metric"], *numbers, str(row["n_tracks"]), f"{row['nan_share']:.1%}")
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()


def format_overview(medians: Mapping[str, pd.DataFrame], protocol: Protocol = SISEC18) -> str:
    """Return the SDR of several systems, `protocol_medians` by name, as text: a row per system, a column per target."""
    found = {str(target) for table in medians.values() for target in table["target"]}
    targets = [target for target in TARGETS if target in found]
    table = Table(title=f"SDR, dB: {protocol.title} ({protocol.measure})")
    table.add_column("system")
    for target in targets:
        table.add_column(target, justify="right")
    for system, scores in medians.items():
        sdr = scores[scores["metric"] == "SDR"].set_index("target")["median"]
        table.add_row(system, *(decibels(sdr.get(target, np.nan)) for target in targets))
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()


def nan_share_of(values: pd.Series) -> float:
    """Return the fraction of the values that is NaN, 0 to 1."""
    return float(values.isna().mean())


def _warn_of_empty_tracks(by_track: pd.DataFrame) -> None:
    empty = by_track[by_track["median"].isna()]
    for (track, target), rows in empty.groupby(["track", "target"]):
        metrics = ", ".join(rows["metric"])
        log.warning("%s: every frame of %s is NaN (%s); the track is not counted in its median", track, target, metrics)
