"""The page and the plain text of a comparison."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from madsep.comparison.later import later_values
from madsep.comparison.published import published_kinds
from madsep.comparison.reproduction import Reproduction
from madsep.comparison.reproduction_text import headline, reproduction_text
from madsep.comparison.runs import MARK, Group, recorded
from madsep.comparison.trainings import spread_lines
from madsep.core.intervals import Bootstrap
from madsep.data.datasets import BASELINE
from madsep.scoring.scores import METRICS, decibels

HERE = Path(__file__).parent
KINDS = {
    "supervised+extra": "supervised, extra data",
    "run+oracle": "run, oracle",
    "run+blind": "run, blind",
    "run+extra": "run, extra data",
}


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
    later = later_values() if any(found.group.is_sisec18 for found in results) else {}
    template = environment.get_template("page.html")
    return template.render(groups=groups, later=later, n_resamples=bootstrap.n_resamples, seed=bootstrap.seed)


def framing_of(group: Group, name: str) -> str | None:
    """Return how a run's tracks were cut into sequences, if it is recorded."""
    settings = next(run.settings for run in group.runs if run.name == name)
    return recorded(settings, "separation").get("framing")


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
    lines += spread_lines(group.runs)
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
