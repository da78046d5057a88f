"""Render the page of a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from madsep.comparison.later import later_values
from madsep.comparison.page_figures import boxes_values, matrix_values
from madsep.comparison.page_tables import scatter_values, systems_values, tracks_values
from madsep.comparison.published import published_kinds
from madsep.comparison.reproduction import Reproduction
from madsep.comparison.reproduction_text import headline, reproduction_text
from madsep.comparison.runs import Group, layout_title, recorded
from madsep.comparison.trainings import spread_lines
from madsep.core.intervals import Bootstrap
from madsep.core.pages import render
from madsep.scoring.scores import METRICS

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Results:
    """Results of one group of runs."""

    group: Group
    names: Mapping[str, str]  # names of the runs in the comparison
    order: Sequence[str]  # of all systems, the best first
    track_medians: pd.DataFrame  # of all systems
    medians: pd.DataFrame  # of `systems_medians`
    means: pd.DataFrame  # of `whole_track_means`
    pairs: pd.DataFrame  # of `with_attainable`
    reproductions: Sequence[Reproduction] = ()
    tables: Sequence[Path] = ()
    figures: Mapping[tuple[str, str, str], Sequence[Path]] = field(default_factory=dict)  # (target, metric, title) -> files
    links: Mapping[str, str] = field(default_factory=dict)  # from names of tracks to the listening page

    @property
    def title(self) -> str:
        """Title of the group."""
        runs = "one run" if len(self.group.runs) == 1 else f"{len(self.group.runs)} runs"
        return f"MUSDB18: {runs} and SiSEC 2018" if self.group.is_sisec18 else f"Other data ({self.group.name}): {runs}"

    @property
    def data(self) -> str:
        """Description of the tracks and of the files that they were read from."""
        layouts = sorted({layout for run in self.group.runs for layout in run.layouts})
        tracks = (
            f"{len(self.group.n_frames)} test tracks of MUSDB18" if self.group.is_sisec18 else f"{len(self.group.n_frames)} other tracks"
        )
        return f"{tracks}, read from {' and '.join(map(layout_title, layouts))}" if layouts else f"{tracks}, as stems or wavs not recorded"

    @property
    def engines(self) -> str:
        """Scoring engines of the runs, in words."""
        engines = {name: run.details.engine or "not recorded" for run in self.group.runs for name in [self.names[run.name]]}
        by_engine = {engine: [name for name, used in engines.items() if used == engine] for engine in dict.fromkeys(engines.values())}
        return "; ".join(f"{engine} ({', '.join(names)})" if len(by_engine) > 1 else engine for engine, names in by_engine.items())


def render_page(results: Sequence[Results], folder: Path, bootstrap: Bootstrap) -> str:
    """Return the page as HTML that needs no other file. Links to tables and figures are relative to `folder`."""
    groups = [_group_values(found, folder) for found in results]
    later = later_values() if any(found.group.is_sisec18 for found in results) else {}
    return render("page.html", HERE, groups=groups, later=later, n_resamples=bootstrap.n_resamples, seed=bootstrap.seed)


def framing_of(group: Group, name: str) -> str | None:
    """Return the framing of a run, which is how its tracks were cut into sequences, or None if it is not recorded."""
    settings = next(run.settings for run in group.runs if run.name == name)
    return recorded(settings, "separation").get("framing")


def _group_values(found: Results, folder: Path) -> dict[str, Any]:
    """Return the values of the template for a group."""
    group = found.group
    files = [(title, path) for (_, _, title), paths in found.figures.items() for path in paths]
    targets = [_target_values(found, str(target)) for target in found.medians["target"].unique()]
    return {
        **{"name": group.name, "title": found.title, "data": found.data, "engines": found.engines, "lines": _lines(group)},
        "reason": group.reason,
        "tables": [path.relative_to(folder).as_posix() for path in found.tables],
        "figures": [{"title": title, "path": path.relative_to(folder).as_posix()} for title, path in files],
        "reproductions": [
            {
                "title": headline(check),
                "text": reproduction_text(check, framing_of(group, check.run)),
            }
            for check in found.reproductions
        ],
        "targets": targets,
        "scatter": scatter_values(found.track_medians, group.runs, found.names),
    }


def _lines(group: Group) -> list[str]:
    """Return remarks on the runs of a group, one sentence each."""
    lines = [f"{run.name}: {run.about or 'only the scores of this run are recorded'}" for run in group.runs]
    lines += spread_lines(group.runs)
    lines += [f"{note} One frame is tolerated: decoders differ in a track's last samples." for note in group.notes]
    namesakes = [run.name for run in group.runs if run.name in published_kinds()]
    if namesakes and not group.is_sisec18:
        lines.append(f"Not checked against the published systems of the same names: {', '.join(namesakes)}.")
    if group.is_sisec18 and any("wav" in run.layouts for run in group.runs):
        lines.append(
            "Some of the data were read from uncompressed files, like those of MUSDB18-HQ. Compare with care: SiSEC 2018 used the stem "
            "files, whose compression changes scores slightly."
        )
    return lines


def _target_values(found: Results, target: str) -> dict[str, Any]:
    """Return the tables of a target and its figures of SDR."""
    medians, means, pairs = (table[table["target"] == target] for table in (found.medians, found.means, found.pairs))
    family = pairs[pairs["metric"] == METRICS[0]]
    has_sdr = METRICS[0] in set(medians["metric"])
    return {
        "name": target,
        "systems": systems_values(medians, means),
        "boxes": boxes_values(found.track_medians, target, METRICS[0], found.order) if has_sdr else None,
        "matrix": matrix_values(family, found.order) if len(family) else None,
        "tracks": tracks_values(found.group.runs, target, found.names, found.links),
    }
