"""The page and the plain text of a comparison."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from madsep.comparison.published import published_kinds
from madsep.comparison.runs import MARK, Group, named, recorded
from madsep.comparison.statistics import MIN_SHARE, REPRODUCED, TOLERANCE_DB, Reproduction
from madsep.core.intervals import CONFIDENCE_LEVEL, Bootstrap
from madsep.data.datasets import BASELINE
from madsep.scoring.scores import METRICS, decibels

HERE = Path(__file__).parent
N_FARTHEST = 5
KINDS = {
    "supervised+extra": "supervised, extra data",
    "run+oracle": "run, oracle",
    "run+blind": "run, blind",
    "run+extra": "run, extra data",
}
HOW = f"""BSSEval v4; frames=median; tracks=median, with {CONFIDENCE_LEVEL:.0%} bootstrap intervals over tracks; n: tracks with a number.
Difference: run - published. Distance: its absolute value. p: Wilcoxon signed-rank, two-sided, uncorrected.
Reproduced: the interval of the difference lies within +-{TOLERANCE_DB} dB and that of the distance below {TOLERANCE_DB} dB,
on at least {MIN_SHARE:.0%} of the published tracks.
Not reproduced: one of them lies wholly outside. Undecided: neither. In SiSEC 2018 the variants of one method
lie less than {TOLERANCE_DB} dB apart on the middle track; other methods of the same median lie as far apart or farther."""
# their authors' code separated whole batches only
ENDING_IN_SILENCE = ("MDL1", "MDLT")


@dataclass(frozen=True)
class Results:
    """What was found for one group of runs."""

    group: Group
    medians: pd.DataFrame  # of `systems_medians`
    reproductions: Sequence[Reproduction] = ()
    tables: Sequence[Path] = ()
    figures: Mapping[tuple[str, str, str], Sequence[Path]] = field(default_factory=dict)  # (target, metric, title) -> files


def render_page(results: Sequence[Results], folder: Path, bootstrap: Bootstrap) -> str:
    """Return the page as HTML that needs no other file; links to tables and figures are relative to `folder`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    groups = [_group_values(found, folder) for found in results]
    return environment.get_template("page.html").render(groups=groups, n_resamples=bootstrap.n_resamples, seed=bootstrap.seed)


def reproduction_text(found: Reproduction, framing: str | None) -> str:
    """Return a reproduction check in words; `framing` is that of the run, None if it is not recorded."""
    paragraphs = [headline(found), "\n".join(map(_paired_line, found.summary.to_dict("records"))), HOW]
    farthest = found.tracks[found.tracks["metric"] == METRICS[0]]
    for target, tracks in farthest.groupby("target", sort=False):
        compared = tracks[tracks["difference_db"].notna()]
        lines = [_track_line(row) for row in compared[compared["difference_db"] != 0].head(N_FARTHEST).to_dict("records")]
        paragraphs.append("\n".join([f"Tracks that differ most in {target} {METRICS[0]}:", *(lines or ["  none differs"])]))
        if len(compared) < len(tracks):
            absent = sorted(set(tracks["track"]) - set(compared["track"]))
            paragraphs.append(f"Tracks without a number in {target} {METRICS[0]} of this run: {named(absent)}.")
    if found.published in ENDING_IN_SILENCE:
        paragraphs.append(
            f"The published files of {found.published} end in up to 5.6 s of silence, whose frames have no score.\n"
            f"Framing of this run: {framing or 'not recorded'}; `separation: {{framing: legacy}}` leaves out the same end."
        )
    return "\n\n".join(paragraphs) + "\n"


def headline(found: Reproduction) -> str:
    """Return the verdict in one line: on SDR, by which the campaign ranks, on how few tracks, and which other metrics depart from it."""
    ranked = found.summary["metric"] == METRICS[0]
    others = found.summary[~ranked & (found.summary["verdict"] != REPRODUCED)]
    text = f"{found.run} against the published {found.published}: {METRICS[0]} {found.verdict}"
    for row in found.summary[ranked & (found.summary["n_tracks"] < found.summary["n_published"])].to_dict("records"):
        text += f"; {row['target']} on {row['n_tracks']} of {row['n_published']} tracks"
    for verdict, rows in others.groupby("verdict", sort=False):
        text += f"; {verdict}: {', '.join(rows['target'] + ' ' + rows['metric'])}"
    return text


def framing_of(group: Group, name: str) -> str | None:
    """Return how a run's tracks were cut into sequences, if it is recorded."""
    settings = next(run.settings for run in group.runs if run.name == name)
    return recorded(settings, "separation").get("framing")


def _paired_line(row: dict[Any, Any]) -> str:
    if row["n_tracks"] < 2:  # an interval needs two
        return f"{row['target']:<13} {row['metric']}: n = {row['n_tracks']}, too few tracks with a number in this run: {row['verdict']}"
    difference = f"{row['median_difference']:+.3f} dB ({row['ci_low']:+.3f} .. {row['ci_high']:+.3f})"
    distance = f"{row['median_distance']:.3f} dB ({row['distance_ci_low']:.3f} .. {row['distance_ci_high']:.3f})"
    known = f"p = {row['p_value']:.2g}, n = {row['n_tracks']}"
    return f"{row['target']:<13} {row['metric']}: difference {difference}, distance {distance}, {known}: {row['verdict']}"


def _track_line(row: dict[Any, Any]) -> str:
    return f"  {row['difference_db']:+8.2f} dB  {row['track']} (run {row['run_db']:.2f}, published {row['published_db']:.2f})"


def _group_values(found: Results, folder: Path) -> dict[str, Any]:
    """Return what the template needs to know of a group."""
    group, n_tracks = found.group, len(found.group.n_frames)
    if group.is_sisec18:
        title = f"MUSDB18: {_runs(group)} and the systems of SiSEC 2018"
        paragraphs = [f"The {n_tracks} test tracks of MUSDB18."]
    else:
        title = f"Other data ({group.name}): {_runs(group)}"
        paragraphs = [
            f"{group.reason} Scores depend on the tracks, so what follows has no part in SiSEC 2018's tables and figures, "
            "which are of MUSDB18's 50 test tracks."
        ]
    lines = [f"{run.name}: {run.about or 'only the scores of this run are recorded'}" for run in group.runs]
    lines += [f"{note} One frame is tolerated: decoders differ in a track's last samples." for note in group.notes]
    namesakes = [run.name for run in group.runs if run.name in published_kinds()]
    if namesakes and not group.is_sisec18:
        lines.append(f"Not checked against the published systems of the same names: {', '.join(namesakes)}.")
    if group.is_sisec18 and any("wav" in run.layouts for run in group.runs):
        lines.append(
            "Some of the data were read from uncompressed wavs, as MUSDB18-HQ has them. Compare with care: SiSEC 2018 used the stem files, "
            "whose compression changes scores a little."
        )
    return {
        "name": group.name,
        "title": title,
        "paragraphs": paragraphs,
        "lines": lines,
        "tables": [path.relative_to(folder).as_posix() for path in found.tables],
        "reproductions": [
            {
                "title": headline(check),
                "text": reproduction_text(check, framing_of(group, check.run)),
            }
            for check in found.reproductions
        ],
        "targets": [_target_values(found, str(target), folder) for target in found.medians["target"].unique()],
    }


def _runs(group: Group) -> str:
    return "one run" if len(group.runs) == 1 else f"{len(group.runs)} runs"


def _target_values(found: Results, target: str, folder: Path) -> dict[str, Any]:
    """Return a target's table, a row for each system in the order of its SDR, and its figures; those of SDR are shown."""
    table = found.medians[found.medians["target"] == target]
    metrics = list(table["metric"].unique())
    cells = {(row["system"], row["metric"]): row for row in table.to_dict("records")}
    figures = []
    for (of_target, metric, title), files in found.figures.items():
        if of_target == target:
            links = [{"path": path.relative_to(folder).as_posix(), "name": path.suffix[1:].upper()} for path in files]
            shown = next(path for path in files if path.suffix == ".png") if metric == METRICS[0] else None
            figures.append({"title": title, "files": links, "png": base64.b64encode(shown.read_bytes()).decode() if shown else ""})
    rows = [_row_values([cells[system, metric] for metric in metrics]) for system in table["system"].unique()]
    return {"name": target, "metrics": metrics, "rows": rows, "figures": figures}


def _row_values(cells: list[dict[Any, Any]]) -> dict[str, Any]:
    """Return a system's row; the definition stands once if all metrics have the same."""
    system, kind = cells[0]["system"], cells[0]["kind"]
    definitions = dict.fromkeys(cell["definition"].removeprefix(cell["metric"]).strip("[]") for cell in cells)
    return {
        "system": system,
        "kind": "mixture / 4" if "oracle" in kind and system.removesuffix(MARK) == BASELINE else KINDS.get(kind, kind),
        "is_run": kind.startswith("run"),
        "n_tracks": max(cell["n_tracks"] for cell in cells),
        "definition": " / ".join(definitions),
        "cells": [
            {
                "value": "" if np.isnan(cell["median"]) else f"{cell['median']:.6f}",
                "text": decibels(cell["median"]),
                "interval": "" if np.isnan(cell["ci_low"]) else f"{decibels(cell['ci_low'])} .. {decibels(cell['ci_high'])}",
                "definition": cell["definition"],
            }
            for cell in cells
        ],
    }
