"""Print the numbers of a comparison with their definitions, as a table for a paper, a page or a program."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from madsep.comparison.details import SI_SDR, USDR
from madsep.core.errors import InputError, nearest
from madsep.core.files import read_json
from madsep.core.reading import is_there
from madsep.core.tables import Column, read_table, table_text
from madsep.scoring.scores import decibels

Format = Literal["markdown", "latex", "csv", "json"]

RECORD = "comparison.json"
NAMES: Mapping[str, Column] = {"target": str, "metric": str, "system": str, "kind": str}
BOUNDS: Mapping[str, Column] = {"ci_low": float, "ci_high": float, "n_tracks": int}
MEDIANS: Mapping[str, Column] = {**NAMES, "median": float, **BOUNDS, "nan_share": float, "definition": str}
MEANS: Mapping[str, Column] = {**NAMES, "mean": float, **BOUNDS, "definition": str}
PUBLISHED_ENGINE = "museval, by SiSEC 2018"
DEFINITIONS = {
    USDR: "10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)) over all samples and channels of a track",
    SI_SDR: "uSDR after the reference s is scaled by <s', s> / (<s, s> + 1e-7)",
}
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


@dataclass(frozen=True)
class Wanted:
    """The parts of a comparison to print. Empty means all. Empty `targets` means those that a run has."""

    groups: Sequence[str] = ()
    targets: Sequence[str] = ()
    metrics: Sequence[str] = ()
    systems: Sequence[str] = ()
    has_intervals: bool = False


def comparison_table(folder: Path, wanted: Wanted, form: Format) -> str:
    """Return the numbers of a comparison as text. `folder` is one that `compare` wrote.

    CSV and JSON have one row per number: group, target, metric, system, kind, value, ci_low, ci_high (dB, 95 % bootstrap interval over
    tracks), n_tracks, definition, aggregation, protocol, engine, data. Markdown and LaTeX (which needs the package booktabs) have one
    table per group with one row per system, followed by the definitions of the numbers. The best number of each column, except oracles
    and MIX, is bold.

    Raises InputError if the folder holds no comparison, or if a wanted part is not in it.
    """
    record = _record(folder)
    groups = _chosen("group", wanted.groups, list(record["groups"]))
    tables = {group: _group_rows(folder, group, record["groups"][group]) for group in groups}
    rows = _selected(pd.concat(tables, names=["group"]).reset_index("group"), wanted)
    if form == "csv":
        return table_text(rows)
    if form == "json":
        values = [{key: None if value != value else value for key, value in row.items()} for row in rows.to_dict("records")]
        return json.dumps({"made_by": record["made_by"], "numbers": values}, indent=2, ensure_ascii=False) + "\n"
    write = _markdown if form == "markdown" else _latex
    parts = [write(of_group, record["groups"][group]["title"], wanted) for group, of_group in rows.groupby("group", sort=False)]
    return "\n".join(parts)


def _record(folder: Path) -> dict[str, Any]:
    if not is_there(folder / RECORD):
        raise InputError(
            f"{folder}: holds no {RECORD}, which `madsep compare` writes. Give the folder of a comparison, such as results/compare."
        )
    record = read_json(folder / RECORD)
    try:
        faulty = [name for name, group in record["groups"].items() if not {"title", "data", "frames", "engines"} <= group.keys()]
        if faulty or not record["groups"] or "made_by" not in record:
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{folder / RECORD}: is not the record of a comparison. Compare the runs again.") from None
    return dict(record)


def _group_rows(folder: Path, name: str, group: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a group, those of medians first."""
    tables = folder / "tables" / name
    medians = read_table(tables / "medians.csv", MEDIANS).rename(columns={"median": "value"})
    engines = medians["system"].map(group["engines"]).fillna(PUBLISHED_ENGINE)
    protocol = f"BSSEval v4, {group['frames']}"
    parts = [medians.assign(aggregation="median over frames, median over tracks", protocol=protocol, engine=engines)]
    if is_there(tables / "whole_track.csv"):
        means = read_table(tables / "whole_track.csv", MEANS).rename(columns={"mean": "value"})
        parts.append(means.assign(aggregation="mean over tracks", protocol=means["metric"].map(DEFINITIONS), engine="madsep"))
    columns = [*NAMES, "value", *BOUNDS, "definition", "aggregation", "protocol", "engine"]
    return pd.concat([part[columns] for part in parts], ignore_index=True).assign(data=group["data"])


def _selected(rows: pd.DataFrame, wanted: Wanted) -> pd.DataFrame:
    own = rows[rows["kind"].str.startswith("run")]["target"]
    targets = _chosen("target", wanted.targets, list(rows["target"].unique())) if wanted.targets else list(own.unique())
    metrics = _chosen("metric", wanted.metrics, list(rows["metric"].unique()))
    systems = _chosen("system", wanted.systems, list(rows["system"].unique()))
    kept = rows[rows["target"].isin(targets) & rows["metric"].isin(metrics) & rows["system"].isin(systems)]
    if kept.empty:
        raise InputError("The comparison has no number for this choice of groups, targets, metrics and systems.")
    return kept


def _chosen(what: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the wanted names, or all if none are given. Raises InputError for an unknown name."""
    for name in names:
        if name not in known:
            raise InputError(f"{name}: not a {what} of the comparison{nearest(name, known)}\nIt has: {', '.join(known)}.")
    return list(names) or list(known)


def _wide(rows: pd.DataFrame, wanted: Wanted) -> tuple[list[tuple[str, str]], list[tuple[str, list[str], list[bool]]]]:
    """Return the columns (target, metric), and per system its name, its cells, and whether each cell is the best of its column."""
    keys = list(dict.fromkeys(zip(rows["target"], rows["metric"], strict=True)))
    targets = list(dict.fromkeys(target for target, _ in keys))
    columns = sorted(keys, key=lambda key: targets.index(key[0]))  # stable sort: metrics keep their order
    values = {(row["system"], row["target"], row["metric"]): row for row in rows.to_dict("records")}
    best = {}
    for column in columns:
        ranked = rows[(rows["target"] == column[0]) & (rows["metric"] == column[1]) & ~rows["kind"].str.contains("oracle")]
        best[column] = decibels(ranked["value"].max()) if ranked["value"].notna().any() else ""
    lines = []
    for system in dict.fromkeys(rows["system"]):
        found = [values.get((system, *column)) for column in columns]
        cells = [_cell(row, wanted.has_intervals) for row in found]
        is_best = [
            row is not None and "oracle" not in row["kind"] and decibels(row["value"]) == best[column] != ""
            for row, column in zip(found, columns, strict=True)
        ]
        lines.append((str(system), cells, is_best))
    return columns, lines


def _cell(row: Mapping[Any, Any] | None, has_interval: bool) -> str:
    if row is None or np.isnan(row["value"]):
        return "-"
    interval = f" [{row['ci_low']:.2f}, {row['ci_high']:.2f}]" if has_interval and not np.isnan(row["ci_low"]) else ""
    return decibels(row["value"]) + interval


def _notes(rows: pd.DataFrame) -> list[str]:
    """Return sentences that define the numbers of a table. What differs between systems is listed per system."""
    notes = ["All values in dB. Brackets hold 95 % bootstrap intervals over tracks. Bold: the best of a column, except oracles and MIX."]
    for (aggregation, protocol), part in rows.groupby(["aggregation", "protocol"], sort=False):
        notes.append(f"{', '.join(part['metric'].unique())}: {protocol}; {aggregation}.")
    for column, word in (("engine", "Scored by"), ("data", "Data"), ("n_tracks", "Tracks with a number")):
        by_value = rows.groupby(column, sort=False)["system"].unique()
        told = [f"{value} ({', '.join(systems)})" if len(by_value) > 1 else str(value) for value, systems in by_value.items()]
        notes.append(f"{word}: {'; '.join(told)}.")
    return notes


def _markdown(rows: pd.DataFrame, title: str, wanted: Wanted) -> str:
    columns, lines = _wide(rows, wanted)
    table = [["system", *(_in_markdown(f"{target} {metric}") for target, metric in columns)], ["---", *["---:"] * len(columns)]]
    for system, cells, best in lines:
        table.append([_in_markdown(system), *(f"**{cell}**" if bold else cell for cell, bold in zip(cells, best, strict=True))])
    text = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return "\n".join([f"**{_in_markdown(title)}**", "", text, "", *(f"- {_in_markdown(note)}" for note in _notes(rows)), ""])


def _in_markdown(text: str) -> str:
    return re.sub(r"([|<>*_`\\\[\]])", r"\\\1", text)


def _latex(rows: pd.DataFrame, title: str, wanted: Wanted) -> str:
    columns, lines = _wide(rows, wanted)
    targets = list(dict.fromkeys(target for target, _ in columns))
    widths = [sum(of == target for of, _ in columns) for target in targets]
    spans = " & ".join(f"\\multicolumn{{{width}}}{{c}}{{{_in_latex(target)}}}" for target, width in zip(targets, widths, strict=True))
    ends = np.cumsum(widths) + 1
    rules = "".join(f"\\cmidrule(lr){{{end - width + 1}-{end}}}" for end, width in zip(ends, widths, strict=True))
    body = []
    for system, cells, best in lines:
        shown = [f"\\textbf{{{cell}}}" if bold else cell.replace("> ", "$>$ ") for cell, bold in zip(cells, best, strict=True)]
        body.append(" & ".join([_in_latex(system), *shown]) + r" \\")
    head = " & ".join(["system", *(_in_latex(metric) for _, metric in columns)]) + r" \\"
    notes = [f"% {note}" for note in (title, *_notes(rows))]
    begin = [f"\\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule", f" & {spans} \\\\", rules, head, r"\midrule"]
    return "\n".join([*notes, "% needs \\usepackage{booktabs}", *begin, *body, r"\bottomrule", r"\end{tabular}", ""])


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in text)
