"""One table that compares the couplings of several systems."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import atomic, write_text

COLUMNS = ["kind", "measure", "mean", "low", "high", "n_groups"]
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
<p>Means over groups of test tracks, with their 95 % bootstrap intervals. nca: the neural couplings of a system's dense layers. p1 and
student: the baselines. untrained: the couplings of the same network with its initial weights. jacobian: the Jacobian of the whole network,
averaged over frames. Shares and rows are fractions. Relative fits are L1 errors: 0 for a perfect fit, 1 for a matrix of zeros.</p>
{tables}
</body>
</html>
"""


def compare_couplings(summaries: Mapping[str, Path], table: Path, page: Path) -> None:
    """Write the summaries (summary.csv) of several systems as one CSV `table` and one HTML `page`.

    The CSV has the columns system, kind, measure, mean, low, high, n_groups. The page has one table per kind, with a row per measure and a
    column per system. Raises InputError for a summary with other columns.
    """
    tables = {system: _read(path) for system, path in summaries.items()}
    everything = pd.concat(tables, names=["system"]).reset_index("system")
    with atomic(table) as temporary:
        everything.to_csv(temporary, index=False, float_format="%.8g")
    texts = everything.assign(text=[_text(*row) for row in everything[["mean", "low", "high"]].to_numpy(float)])
    parts = []
    for kind, rows in texts.groupby("kind", sort=False):
        beside = rows.pivot(index="measure", columns="system", values="text").reindex(rows["measure"].unique())[list(tables)]
        n_groups = rows.groupby("system", sort=False)["n_groups"].max()
        beside.columns = pd.Index([f"{system} (n = {n_groups[system]})" for system in tables])
        parts.append(f"<h2>{kind}</h2>\n{beside.rename_axis(None).reset_index(names='measure').to_html(index=False, border=0)}")
    write_text(page, PAGE.format(tables="\n".join(parts)))


def _read(path: Path) -> pd.DataFrame:
    try:
        summary = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}). Compute the couplings again.") from None
    if list(summary.columns) != COLUMNS or summary.empty:
        raise InputError(f"{path}: expected rows of the columns {','.join(COLUMNS)}. Compute the couplings again.")
    return summary


def _text(mean: float, low: float, high: float) -> str:
    if np.isnan(mean):
        return "-"
    return f"{mean:.3f}" if np.isnan(low) else f"{mean:.3f} ({low:.3f} .. {high:.3f})"
