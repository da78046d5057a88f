"""Compare runs with each other and, if they are on MUSDB18's test tracks, with the systems of SiSEC 2018."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from madsep.comparison.export import RECORD
from madsep.comparison.listening import listening_links
from madsep.comparison.page import Results, framing_of, render_page
from madsep.comparison.published import published_kinds, published_medians, published_track_medians
from madsep.comparison.reproduction_text import headline, reproduction_text
from madsep.comparison.runs import MARK, Group, Run, split_runs
from madsep.comparison.significance import LEVEL, with_attainable
from madsep.comparison.statistics import matrix, pairwise_tests, ranking, systems_medians
from madsep.comparison.trainings import reproductions, spread
from madsep.comparison.whole_track import whole_track_means
from madsep.core.errors import InputError, nearest
from madsep.core.files import new_folder, write_json, write_text
from madsep.core.intervals import Bootstrap
from madsep.core.logs import log
from madsep.core.pages import origin
from madsep.core.progress import Progress
from madsep.core.tables import write_table

SIGNIFICANT_DIGITS = 8
N_STEPS = 3  # progress steps per group
PARTS = ("index.html", RECORD, "tables", "figures")  # content of the written folder

Figures = dict[tuple[str, str, str], list[Path]]


@dataclass(frozen=True)
class Options:
    """Published system to check runs against (None: the one with the run's name), metrics to draw as files, listening page."""

    reproduces: str | None = None
    drawn: Sequence[str] = ()
    listening: bool = False  # whether the same run writes a listening page


def compare(runs: Sequence[Run], folder: Path, bootstrap: Bootstrap, options: Options = Options()) -> None:
    """Write index.html, comparison.json and tables/<group>/*.csv into `folder`, which is replaced completely or not at all.

    The page shows figures of SDR. Those of the metrics in `options.drawn` are also written to figures/<group>/*.{pdf,svg,png}.

    The group sisec18 holds runs on MUSDB18's 50 test tracks and the 31 published systems. other-1, ... hold runs on other tracks.
    Each run of sisec18 is checked against the published system `options.reproduces` or, if that is None, the one with its own name.
    comparison.json records the data and the scoring engines of each group. `madsep.comparison.export` reads it.

    Raises InputError if `options.reproduces` is unknown or no run is on MUSDB18's test tracks.
    """
    groups = split_runs(runs)
    _check_reproducible(groups, options.reproduces)
    links = listening_links(folder, sorted({track for run in runs for track in run.n_frames()}), options.listening)
    with new_folder(folder) as new, Progress("comparing", N_STEPS * len(groups) + 1) as progress:
        results = [_compare_group(group, new, bootstrap, options, progress) for group in groups]
        write_text(new / "index.html", render_page([replace(found, links=links) for found in results], new, bootstrap))
        write_json(new / RECORD, _record(results, bootstrap))
        progress.advance(1, "page")


def _record(results: Sequence[Results], bootstrap: Bootstrap) -> dict[str, Any]:
    groups = {}
    for found in results:
        engines = {found.names[run.name]: run.details.engine or "not recorded" for run in found.group.runs}
        framing = found.group.frames or "frames of 1 s every 1 s"
        groups[found.group.name] = {"title": found.title, "data": found.data, "frames": framing, "engines": engines}
    return {"made_by": origin(), "bootstrap": asdict(bootstrap), "groups": groups}


def _check_reproducible(groups: Sequence[Group], reproduces: str | None) -> None:
    known = published_kinds()
    if reproduces is not None and reproduces not in known:
        raise InputError(f"{reproduces}: not a system of SiSEC 2018{nearest(reproduces, known)}\nIts systems: {', '.join(known)}.")
    if reproduces is not None and not any(group.is_sisec18 for group in groups):
        raise InputError(f"{groups[0].runs[0].name}: cannot be checked against {reproduces}. {groups[0].reason}")


def _compare_group(group: Group, folder: Path, bootstrap: Bootstrap, options: Options, progress: Progress) -> Results:
    for line in ([group.reason] if group.reason else []) + group.notes:
        log.info("%s: %s", group.name, line)
    if options.reproduces and not group.is_sisec18:
        log.warning("%s: not checked against %s, which has other tracks", ", ".join(run.name for run in group.runs), options.reproduces)
    names = _names(group)
    tracks = _tracks(group, names)
    medians = _as_published(systems_medians(tracks, bootstrap))
    means = whole_track_means(group.runs, names, bootstrap)
    progress.advance(1, f"{group.name}: medians")
    pairs = with_attainable(pairwise_tests(tracks))
    progress.advance(1, f"{group.name}: paired tests")
    tables = {"medians": medians, "track_medians": tracks, "pairwise": pairs}
    if len(means):
        tables["whole_track"] = means
    checks = reproductions(group, published_track_medians(), options.reproduces)
    retrained = spread(group.runs)
    if len(retrained):
        tables["trainings"] = retrained
    if checks:
        keys = [(check.run, check.published) for check in checks]
        tables["reproduction"] = _stack([check.summary for check in checks], keys)
        tables["reproduction_tracks"] = _stack([check.tracks for check in checks], keys)
    paths = _write_tables(tables, folder / "tables" / group.name)
    for check in checks:
        log.info("%s", headline(check))
    if checks:
        texts = [reproduction_text(check, framing_of(group, check.run)) for check in checks]
        paths.append(folder / "tables" / group.name / "reproduction.txt")
        write_text(paths[-1], "\n\n".join(texts))
    order = ranking(medians)
    figures = _draw(tracks[tracks["metric"].isin(options.drawn)], pairs, order, folder / "figures" / group.name)
    progress.advance(1, f"{group.name}: figures")
    return Results(group, names, order, tracks, medians, means, pairs, checks, paths, figures)


def _write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    paths = [folder / f"{name}.csv" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        write_table(table, path, SIGNIFICANT_DIGITS)
    return paths


def _stack(tables: list[pd.DataFrame], names: list[tuple[str, str]]) -> pd.DataFrame:
    """Concatenate the tables of reproduction checks. The first columns are run and published."""
    return pd.concat(tables, keys=names, names=["run", "published"]).reset_index(["run", "published"])


def _names(group: Group) -> dict[str, str]:
    """Return the names of a group's runs in the comparison. A run with the name of a published system gets a mark."""
    taken = published_kinds() if group.is_sisec18 else {}
    return {run.name: run.name + MARK * (run.name in taken) for run in group.runs}


def _tracks(group: Group, names: Mapping[str, str]) -> pd.DataFrame:
    """Return the medians of all tracks of a group's systems: system, kind, track, target, metric, median, n_frames, nan_share."""
    own = [run.medians.assign(system=names[run.name], kind=run.kind) for run in group.runs]
    columns = ["system", "kind", "track", "target", "metric", "median", "n_frames", "nan_share"]
    published = [published_track_medians().assign(n_frames=np.nan, nan_share=np.nan)] if group.is_sisec18 else []
    return pd.concat([table[columns] for table in (*own, *published)], ignore_index=True)


def _as_published(medians: pd.DataFrame) -> pd.DataFrame:
    """Replace the medians of published systems by the published ones, because rounding may change the fifth decimal."""
    key = ["system", "kind", "target", "metric"]
    published = published_medians().set_index(key)["median"]
    of_rows = published.reindex(pd.MultiIndex.from_frame(medians[key])).to_numpy(float)
    return medians.assign(median=np.where(np.isnan(of_rows), medians["median"], of_rows))


def _draw(tracks: pd.DataFrame, pairs: pd.DataFrame, order: list[str], folder: Path) -> Figures:
    """Draw the boxplots and, for two systems or more, the matrix of tests, for each target and metric."""
    from madsep.comparison.boxplots import draw_boxplots  # imports parts of Matplotlib that the page does not need
    from madsep.comparison.pairwise import draw_pairwise

    figures: Figures = {}
    for target, metric in tracks[["target", "metric"]].drop_duplicates().itertuples(index=False):
        name = f"{target}_{metric}".replace("/", "_")
        boxes = draw_boxplots(tracks, target, metric, folder / f"boxplots_{name}", order)
        figures[target, metric, f"{target} {metric}, each track"] = boxes
        family = pairs[(pairs["target"] == target) & (pairs["metric"] == metric)]
        if len(family):
            systems = [system for system in order if system in {*family["system"], *family["other"]}]
            square = {column: matrix(family, systems, column) for column in ("p_holm", "p_attainable", "median_difference")}
            title = f"{target} {metric} (v4; frames=median): paired differences over {_counts(family['n_tracks'])}"
            tested = square["p_holm"].where(square["p_attainable"] < LEVEL)
            matrices = draw_pairwise(tested, square["median_difference"], title, folder / f"pairwise_{name}")
            figures[target, metric, title] = matrices
    return figures


def _counts(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} tracks" if low < high else f"{low} track{'s' * (low != 1)}"
