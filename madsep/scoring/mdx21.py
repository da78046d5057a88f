"""The score of the Music Demixing Challenge 2021: the mean over tracks of the SDR of whole tracks, over all channels.

SDR = 10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)), in float64 for samples with full scale 1 (Mitsufuji et al., Frontiers in Signal
Processing 1, 2022). The 1e-7 is from the challenge's code. It keeps the SDR of a silent stem finite: 0 dB if its estimate is silent too.
The challenge ranks by the mean over the four stems.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from madsep.core.artefacts import Stage
from madsep.core.files import write_text
from madsep.core.intervals import Bootstrap, interval
from madsep.core.tables import Column, read_table
from madsep.data.datasets import STEMS
from madsep.data.prepared import PreparedTrack
from madsep.scoring.aggregate import read_global
from madsep.scoring.chain import check_chain, check_same_tracks, remove_others, write_tables
from madsep.scoring.protocols import MDX21
from madsep.scoring.scores import TARGETS, decibels, ordered

MEANS_TABLE, TRACKS_TABLE = "means.csv", "global.csv"
MEANS_COLUMNS: Mapping[str, Column] = {
    **{"target": str, "metric": str, "mean": float, "ci_low": float, "ci_high": float, "n_tracks": int},
    "definition": str,
}
ALL_STEMS = "mean of stems"


def aggregate_mdx21(tracks: Sequence[PreparedTrack], estimates: Path | None, scores: Path, out: Path, bootstrap: Bootstrap) -> None:
    """Write to `out` the tables means.csv, each target's mean SDR with its 95 % interval, and global.csv, the scores of each track.

    If all four stems are estimated, the target `mean of stems` is the challenge's score. `estimates` and `scores` are stages' folders. MIX
    has no estimates. The stage's scores of other tracks are removed. Raises InputError as `check_chain` does.
    """
    check_chain(tracks, estimates, scores)
    stage = Stage(scores)
    remove_others(stage, tracks)
    found = read_global([stage.record(track.slug) for track in tracks])
    sdr = found[found["metric"] == "SDR_global"].drop(columns="metric")
    tables = {MEANS_TABLE: mdx21_means(sdr, bootstrap), TRACKS_TABLE: ordered(found.sort_values("track"))}
    write_tables(tables, out, tracks, (estimates, scores), MDX21)


def mdx21_means(sdr: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Return the mean over tracks of `sdr` (track, target, value in dB), with the columns of means.csv."""
    by_track = sdr.pivot(index="track", columns="target", values="value").sort_index()
    if set(STEMS) <= set(by_track.columns):
        by_track[ALL_STEMS] = by_track[list(STEMS)].mean(axis="columns")
    rows = []
    for target in by_track.columns:
        values = by_track[target].to_numpy()
        low, high = interval([values], np.mean, bootstrap.seed, bootstrap.n_resamples, vectorized=True)
        definition = MDX21.definition("SDR", MDX21.average, len(values), 0.0)
        rows.append((target, "SDR", float(np.mean(values)), low, high, len(values), definition))
    return ordered(pd.DataFrame(rows, columns=list(MEANS_COLUMNS)))


def write_mdx21_overview(systems: Mapping[str, Path], path: Path) -> None:
    """Write the means of several systems as text, from the folders written by `aggregate_mdx21`.

    Raises InputError as `check_same_tracks` does.
    """
    check_same_tracks(systems, MDX21)
    write_text(path, mdx21_table({name: read_table(folder / MEANS_TABLE, MEANS_COLUMNS) for name, folder in systems.items()}))


def mdx21_table(systems: Mapping[str, pd.DataFrame]) -> str:
    """Return the means of `mdx21_means` of several systems as text, by name and in their order."""
    means = {name: table.set_index("target")["mean"] for name, table in systems.items()}
    present = {target for of_system in means.values() for target in of_system.index}
    targets = [target for target in (*TARGETS, ALL_STEMS) if target in present]
    table = Table(title=f"SDR, dB: {MDX21.title} ({MDX21.measure})")
    table.add_column("system")
    for target in targets:
        table.add_column(target, justify="right")
    for name, of_system in means.items():
        table.add_row(name, *(decibels(of_system.get(target, np.nan)) for target in targets))
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()
