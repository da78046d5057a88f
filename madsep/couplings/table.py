"""One table that compares the couplings of several systems."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import write_text
from madsep.core.tables import Column, read_table, write_table

SIGNIFICANT_DIGITS = 8
COLUMNS: dict[str, Column] = {"kind": str, "measure": str, "mean": float, "low": float, "high": float, "n_groups": int}
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Couplings</title>
<style>
body {{ font-family: sans-serif; font-size: 14px; margin: 1.5em; color: #222; background: #fff; }}
p {{ max-width: 60em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
th, td {{ padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
th:nth-child(1), td:nth-child(1) {{ text-align: left; }}
</style>
</head>
<body>
<h1>Couplings</h1>
<p>Means over groups of test tracks, with their 95 % intervals. nca: the neural couplings of a system's dense layers. p1 and
student: the baselines. untrained: the couplings of the same network with its initial weights. jacobian: the Jacobian of the whole network,
averaged over frames. Shares and rows are fractions. Relative fits are L1 errors: 0 for a perfect fit, 1 for a matrix of zeros.</p>
{tables}
</body>
</html>
"""


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
    parts = []
    for kind, rows in texts.groupby("kind", sort=False):
        wide = rows.pivot(index="measure", columns="system", values="text").reindex(rows["measure"].unique())[list(tables)]
        n_groups = rows.groupby("system", sort=False)["n_groups"].max()
        wide.columns = pd.Index([f"{system} (n = {n_groups[system]})" for system in tables])
        parts.append(f"<h2>{kind}</h2>\n{wide.rename_axis(None).reset_index(names='measure').to_html(index=False, border=0)}")
    write_text(page, PAGE.format(tables="\n".join(parts)))


def _text(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} ({low:.3f} .. {high:.3f})"
