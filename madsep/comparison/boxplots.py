"""Boxes over tracks: one figure for a target and a metric."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cbook import boxplot_stats
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from madsep.core.errors import InputError
from madsep.core.figures import STYLE, save
from madsep.scoring.scores import decibels

# a system whose median lies further than this from the middle system's is named at the edge of the axis instead of drawn:
# the SAR of MIX is 30 dB in the campaign's table, and 80 dB and more if the mixture is the exact sum of its stems
MAX_GAP_DB = 20.0
WIDTH_INCHES, LETTER_INCHES, ROW_INCHES, GAP_ROWS = 6.3, 0.07, 0.19, 1.4
# what a system is -> text of the legend, colour of its box (grey, and sky blue and vermilion of Okabe & Ito), hatch;
# a kind of several words, joined by "+", has the colour of the first of them in this order, and every word's hatch
LOOKS = {
    "oracle": ("oracle, or MIX", "#56B4E9", ""),
    "run": ("own run", "#D55E00", ""),
    "blind": ("blind", "white", "//////"),
    "extra": ("trained with extra data", "0.85", "....."),
    "supervised": ("trained on MUSDB18 alone", "0.85", ""),
}


@dataclass(frozen=True)
class _Row:
    """One system of the boxplots: its place down the figure and what matplotlib draws a box from (None without any number)."""

    system: str
    words: frozenset[str]
    place: float
    n_tracks: int
    box: dict[str, Any] | None

    @property
    def look(self) -> str:
        """The key of LOOKS."""
        return next(word for word in LOOKS if word in self.words)


def draw_boxplots(track_medians: pd.DataFrame, target: str, metric: str, stem_path: Path, order: Sequence[str]) -> list[Path]:
    """Draw one box over tracks for each system, as the 2018 Signal Separation Evaluation Campaign did, as PDF, SVG and PNG.

    `track_medians` has the columns system, kind, track, target, metric, median (dB; NaN if a track has no number).
    A kind is one or several, joined by "+", of run, oracle, blind, extra, supervised. `order` names the systems from the
    top down; oracles follow below a gap, and systems without a row for this target and metric are left out. The files
    are `stem_path` with .pdf, .svg and .png added; they are returned in this order.

    Raises InputError if there is nothing to draw, if a kind is unknown, or if one name stands for several systems;
    ValueError if `order` does not name every system once.

    Source: F.-R. Stöter, A. Liutkus, N. Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018.
    """
    rows = _rows(track_medians, target, metric, order)
    with mpl.rc_context(STYLE):
        width = WIDTH_INCHES + LETTER_INCHES * max(len(row.system) for row in rows)
        figure = Figure(figsize=(width, 1.5 + ROW_INCHES * (rows[-1].place + 1)), layout="constrained")
        axes = figure.subplots()
        axes.set_ylim(rows[-1].place + 0.8, -0.8)
        low, high = _value_range(rows)
        _draw_boxes(axes, rows, low, high)
        _name_what_is_outside(axes, rows, low, high)
        _name_rows(axes, rows)
        axes.set_xlabel(_caption(rows, target, metric))
        figure.legend(handles=_legend(rows), loc="outside lower center", ncols=3, frameon=False)
        return save(figure, stem_path)


def _rows(track_medians: pd.DataFrame, target: str, metric: str, order: Sequence[str]) -> list[_Row]:
    """Return the systems from the top down, oracles last. Raises as `draw_boxplots` says."""
    scores = track_medians[(track_medians["target"] == target) & (track_medians["metric"] == metric)]
    if scores.empty:
        given = sorted({f"{t} {m}" for t, m in zip(track_medians["target"], track_medians["metric"], strict=True)})
        raise InputError(f"No system has a score for {target} {metric}; there is {', '.join(given) or 'nothing'}.")
    tables = {str(system): table for system, table in scores.groupby("system", observed=True)}
    if len(set(order)) < len(order) or not tables.keys() <= set(order):
        raise ValueError(f"order must name every system once; it names {list(order)} of {sorted(tables)}")
    words = {system: _words(system, tables[system]) for system in order if system in tables}
    rows: list[_Row] = []
    for system in sorted(words, key=lambda name: "oracle" in words[name]):  # stable: `order` within either block
        gap = GAP_ROWS if rows and "oracle" in words[system] and "oracle" not in rows[-1].words else 0.0
        values = tables[system]["median"].dropna().to_numpy(float)
        box = boxplot_stats(values)[0] if len(values) else None
        rows.append(_Row(system, words[system], rows[-1].place + 1 + gap if rows else 0.0, len(values), box))
    return rows


def _words(system: str, table: pd.DataFrame) -> frozenset[str]:
    """Return the words of a system's kind. Raises InputError if it has several kinds, an unknown one, or a track twice."""
    kinds = sorted({str(kind) for kind in table["kind"]})
    if len(kinds) > 1 or table["track"].duplicated().any():
        raise InputError(f"{system}: more than one system has this name ({', '.join(kinds)}); give each another name.")
    words = frozenset(kinds[0].split("+"))
    if not words <= LOOKS.keys():
        raise InputError(f"{system}: its kind {kinds[0]!r} is unknown; expected one or several, joined by '+', of {', '.join(LOOKS)}.")
    return words


def _value_range(rows: list[_Row]) -> tuple[float, float]:
    """Return a range that holds the boxes and whiskers of all systems but those far from the middle one."""
    boxes = [row.box for row in rows if row.box]
    if not boxes:
        return 0.0, 1.0
    middle = median_low([box["med"] for box in boxes])
    near = [box for box in boxes if abs(box["med"] - middle) <= MAX_GAP_DB]
    low, high = min(box["whislo"] for box in near), max(box["whishi"] for box in near)
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def _draw_boxes(axes: Axes, rows: list[_Row], low: float, high: float) -> None:
    """Draw the boxes whose median lies between `low` and `high`, with the single tracks in that range."""
    drawn = [(row, row.box) for row in rows if row.box and low <= row.box["med"] <= high]
    boxes = [{**box, "fliers": [value for value in box["fliers"] if low <= value <= high]} for _, box in drawn]
    artists = axes.bxp(
        boxes,
        positions=[row.place for row, _ in drawn],
        widths=0.68,
        orientation="horizontal",
        patch_artist=True,
        boxprops={"linewidth": 0.6},
        medianprops={"color": "black", "linewidth": 1.4},
        whiskerprops={"linewidth": 0.6},
        capprops={"linewidth": 0.6},
        flierprops={"marker": "o", "markersize": 2, "markerfacecolor": "0.2", "markeredgewidth": 0, "zorder": 3},
        manage_ticks=False,
    )
    for (row, _), patch in zip(drawn, artists["boxes"], strict=True):
        _, colour, _ = LOOKS[row.look]
        patch.set(facecolor=colour, hatch="".join(LOOKS[word][2] for word in row.words))
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _name_what_is_outside(axes: Axes, rows: list[_Row], low: float, high: float) -> None:
    """Set the axis; name medians and single tracks beyond its range in a grey strip at that end."""
    texts = {row.place: _beyond(row.box, low, high) for row in rows if row.box}
    strip = 0.1 * (high - low)
    left = low - strip * any(below for below, _ in texts.values())
    right = high + strip * any(above for _, above in texts.values())
    axes.set_xlim(left, right)
    axes.set_xticks([tick for tick in MaxNLocator(12, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high])
    over: dict[str, Any] = {"zorder": 3, "ha": "center", "va": "center_baseline", "fontsize": 7}
    for start, end in ((left, low), (high, right)):
        axes.axvspan(start, end, color="0.93", linewidth=0, zorder=2.5)
    for place, (below, above) in texts.items():
        axes.text(low - strip / 2, place, below, **over)
        axes.text(high + strip / 2, place, above, **over)


def _beyond(box: dict[str, Any], low: float, high: float) -> tuple[str, str]:
    """Return the texts for the left and the right end: a median that lies beyond it, or else the farthest track that does."""
    if box["med"] < low:
        return f"← {box['med']:.0f}", ""
    if box["med"] > high:
        return "", f"{box['med']:.0f} →"
    first, last = min([*box["fliers"], box["whislo"]]), max([*box["fliers"], box["whishi"]])
    return f"← {first:.0f}" if first < low else "", f"{last:.0f} →" if last > high else ""


def _name_rows(axes: Axes, rows: list[_Row]) -> None:
    """Write the systems at the left, with their number of tracks if it is not the largest, and the medians at the right."""
    most = max(row.n_tracks for row in rows)
    names = [row.system if row.n_tracks == most else f"{row.system} ({row.n_tracks})" for row in rows]
    axes.set_yticks([row.place for row in rows], names)
    place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right", "fontsize": 7.5}
    axes.annotate("median", (1, -1.2), (36, 0), va="center_baseline", **place)
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        weight = "bold" if "run" in row.words else "normal"
        label.set_fontweight(weight)
        axes.annotate(_median_text(row), (1, row.place), (36, 0), va="center_baseline", fontweight=weight, **place)


def _median_text(row: _Row) -> str:
    return "-" if row.box is None else decibels(row.box["med"])


def _caption(rows: list[_Row], target: str, metric: str) -> str:
    """Return what is drawn and how its numbers came about."""
    most = max(row.n_tracks for row in rows)
    fewer = ", or as many as a name is followed by" if any(row.n_tracks < most for row in rows) else ""
    tracks = f"{most} track" if most == 1 else f"{most} tracks"
    return (
        f"{target} {metric}, dB (BSSEval v4; median over frames; box over {tracks}{fewer})\n"
        "line: median; box: quartiles; whiskers: up to 1.5 times the box's length; dots: single tracks beyond;\n"
        "at the ends of the axis: the farthest track outside it, or the median if that lies outside"
    )


def _legend(rows: list[_Row]) -> list[Patch]:
    looks = [look for word, look in LOOKS.items() if any(word == row.look or (word in row.words and look[2]) for row in rows)]
    return [Patch(facecolor=colour, hatch=hatch, edgecolor="black", linewidth=0.6, label=text) for text, colour, hatch in looks]
