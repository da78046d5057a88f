"""The table that compares the couplings of several systems."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import write_text
from madsep.core.pages import render
from madsep.core.tables import Column, read_table, write_table

SIGNIFICANT_DIGITS = 8
COLUMNS: dict[str, Column] = {"kind": str, "measure": str, "mean": float, "low": float, "high": float, "n_groups": int}


def compare_couplings(summaries: Mapping[str, Path], table: Path, page: Path) -> None:
    """Write the summaries (summary.csv) of several systems as one CSV `table` and one HTML `page`.

    The CSV has the columns system, kind, measure, mean, low, high, n_groups. The page has one table per kind, with a row per measure and a
    column per system. Raises InputError for a summary with other columns or without rows.
    """
    tables = {system: read_table(path, COLUMNS) for system, path in summaries.items()}
    for system, summary in tables.items():
        if summary.empty:
            raise InputError(f"{summaries[system]}: has no rows. Compute the couplings again.")
    everything = pd.concat(tables, names=["system"]).reset_index("system")
    write_table(everything, table, SIGNIFICANT_DIGITS)
    texts = everything.assign(text=[_text(*row) for row in everything[["mean", "low", "high"]].to_numpy(float)])
    shown = []
    for kind, rows in texts.groupby("kind", sort=False):
        wide = rows.pivot(index="measure", columns="system", values="text").reindex(rows["measure"].unique())[list(tables)]
        n_groups = rows.groupby("system", sort=False)["n_groups"].max()
        headings = ["measure", *(f"{system} (n = {n_groups[system]})" for system in tables)]
        shown.append({"kind": kind, "headings": headings, "rows": wide.reset_index().to_numpy().tolist()})
    write_text(page, render("table.html", Path(__file__).parent, tables=shown))


def _text(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} ({low:.3f} .. {high:.3f})"
