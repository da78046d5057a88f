"""Compare runs with each other and, if they are on MUSDB18's test tracks, with the systems of SiSEC 2018."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.comparison.boxplots import draw_boxplots
from madsep.comparison.page import Results, framing_of, render_page
from madsep.comparison.pairwise import draw_pairwise
from madsep.comparison.published import published_kinds, published_medians, published_track_medians
from madsep.comparison.reproduction_text import headline, reproduction_text
from madsep.comparison.runs import MARK, Group, Run, split_runs
from madsep.comparison.statistics import matrix, pairwise_tests, ranking, systems_medians
from madsep.comparison.trainings import reproductions, spread
from madsep.core.errors import InputError, nearest
from madsep.core.files import new_folder, write_text
from madsep.core.intervals import Bootstrap
from madsep.core.logs import log
from madsep.core.tables import write_table
from madsep.scoring.scores import METRICS

SIGNIFICANT_DIGITS = 8
PARTS = ("index.html", "tables", "figures")  # of the folder that is written

Figures = dict[tuple[str, str, str], list[Path]]


def compare(
    runs: Sequence[Run], folder: Path, bootstrap: Bootstrap, reproduces: str | None = None, drawn: Sequence[str] = METRICS[:1]
) -> None:
    """Write `folder`/{index.html, tables/<group>/*.csv, figures/<group>/*.{pdf,svg,png}}; it is replaced whole or not at all.

    Figures are drawn of the metrics `drawn`, by default of SDR alone, which the page shows.

    The group sisec18 holds runs on MUSDB18's 50 test tracks and the 31 published systems; other-1, ... hold runs on other tracks.
    Each run of sisec18 is checked against the published system `reproduces`, or, if that is None, against the one with its own name.

    Raises InputError if `reproduces` is unknown or no run is on MUSDB18's test tracks.
    """
    groups = split_runs(runs)
    _check_reproducible(groups, reproduces)
    with new_folder(folder) as new:
        results = [_compare_group(group, new, bootstrap, reproduces, drawn) for group in groups]
        write_text(new / "index.html", render_page(results, new, bootstrap))


def _check_reproducible(groups: Sequence[Group], reproduces: str | None) -> None:
    known = published_kinds()
    if reproduces is not None and reproduces not in known:
        raise InputError(f"{reproduces}: not a system of SiSEC 2018{nearest(reproduces, known)}\nIts systems: {', '.join(known)}.")
    if reproduces is not None and not any(group.is_sisec18 for group in groups):
        raise InputError(f"{groups[0].runs[0].name}: cannot be checked against {reproduces}. {groups[0].reason}")


def _compare_group(group: Group, folder: Path, bootstrap: Bootstrap, reproduces: str | None, drawn: Sequence[str]) -> Results:
    for line in ([group.reason] if group.reason else []) + group.notes:
        log.info("%s: %s", group.name, line)
    if reproduces and not group.is_sisec18:
        log.warning("%s: not checked against %s, whose tracks are others", ", ".join(run.name for run in group.runs), reproduces)
    tracks = _tracks(group)
    medians, pairs = _as_published(systems_medians(tracks, bootstrap)), pairwise_tests(tracks)
    tables = {"medians": medians, "track_medians": tracks, "pairwise": pairs}
    checks = reproductions(group, published_track_medians(), reproduces)
    retrained = spread(group.runs)
    if len(retrained):
        tables["trainings"] = retrained
    if checks:
        names = [(check.run, check.published) for check in checks]
        tables["reproduction"] = _stack([check.summary for check in checks], names)
        tables["reproduction_tracks"] = _stack([check.tracks for check in checks], names)
    paths = []
    for name, table in tables.items():
        paths.append(folder / "tables" / group.name / f"{name}.csv")
        write_table(table, paths[-1], SIGNIFICANT_DIGITS)
    for check in checks:
        log.info("%s", headline(check))
    if checks:
        texts = [reproduction_text(check, framing_of(group, check.run)) for check in checks]
        paths.append(folder / "tables" / group.name / "reproduction.txt")
        write_text(paths[-1], "\n\n".join(texts))
    log.info("%s: drawing the figures", group.name)
    figures = _draw(tracks[tracks["metric"].isin(drawn)], pairs, ranking(medians), folder / "figures" / group.name)
    return Results(group, medians, checks, paths, figures)


def _stack(tables: list[pd.DataFrame], names: list[tuple[str, str]]) -> pd.DataFrame:
    """Concatenate the tables of reproduction checks; the first columns are run and published."""
    return pd.concat(tables, keys=names, names=["run", "published"]).reset_index(["run", "published"])


def _tracks(group: Group) -> pd.DataFrame:
    """Medians of all tracks of a group's systems: system, kind, track, target, metric, median, n_frames, nan_share.

    A run that has a published system's name gets a mark.
    """
    published = published_track_medians() if group.is_sisec18 else pd.DataFrame()
    taken = set(published.get("system", []))
    own = [run.medians.assign(system=run.name + MARK * (run.name in taken), kind=run.kind) for run in group.runs]
    columns = ["system", "kind", "track", "target", "metric", "median", "n_frames", "nan_share"]
    tables = [*own, published.assign(n_frames=np.nan, nan_share=np.nan)] if group.is_sisec18 else own
    return pd.concat([table[columns] for table in tables], ignore_index=True)


def _as_published(medians: pd.DataFrame) -> pd.DataFrame:
    """Give the published systems the medians as published: those over their tracks' rounded medians may differ in the fifth decimal."""
    key = ["system", "kind", "target", "metric"]
    published = published_medians().set_index(key)["median"]
    of_rows = published.reindex(pd.MultiIndex.from_frame(medians[key])).to_numpy(float)
    return medians.assign(median=np.where(np.isnan(of_rows), medians["median"], of_rows))


def _draw(tracks: pd.DataFrame, pairs: pd.DataFrame, order: list[str], folder: Path) -> Figures:
    """Draw the boxplots and, of two systems or more, the matrix of tests, for each target and metric."""
    figures: Figures = {}
    for target, metric in tracks[["target", "metric"]].drop_duplicates().itertuples(index=False):
        name = f"{target}_{metric}".replace("/", "_")
        boxes = draw_boxplots(tracks, target, metric, folder / f"boxplots_{name}", order)
        figures[target, metric, f"{target} {metric}, each track"] = boxes
        family = pairs[(pairs["target"] == target) & (pairs["metric"] == metric)]
        if len(family):
            systems = [system for system in order if system in {*family["system"], *family["other"]}]
            square = {column: matrix(family, systems, column) for column in ("p_holm", "median_difference")}
            title = f"{target} {metric} (v4; frames=median): paired differences over {_counts(family['n_tracks'])}"
            matrices = draw_pairwise(square["p_holm"], square["median_difference"], title, folder / f"pairwise_{name}")
            figures[target, metric, title] = matrices
    return figures


def _counts(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    return f"{low} to {high} tracks" if low < high else f"{low} track{'s' * (low != 1)}"
