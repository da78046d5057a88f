"""Draw boxplots over tracks as files, one figure per target and metric."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from madsep.comparison.boxes import LOOKS, Row, caption, name_of, outside, rows_of, value_range
from madsep.core.figures import STYLE, save
from madsep.scoring.scores import decibels

WIDTH_INCHES, LETTER_INCHES, ROW_INCHES = 6.3, 0.07, 0.19
# colour of a system's box (grey, and sky blue and vermilion of Okabe & Ito) and hatch; a kind of several words has all their hatches
FILLS = {"oracle": "#56B4E9", "run": "#D55E00", "blind": "white", "extra": "0.85", "supervised": "0.85"}
HATCHES = {"blind": "//////", "extra": "....."}


def draw_boxplots(track_medians: pd.DataFrame, target: str, metric: str, stem_path: Path, order: Sequence[str]) -> list[Path]:
    """Draw one box over tracks for each system, as the 2018 Signal Separation Evaluation Campaign did, as PDF, SVG and PNG.

    `track_medians` has the columns system, kind, track, target, metric, median (dB; NaN if a track has no number).
    A kind is one or several, joined by "+", of run, oracle, blind, extra, supervised. `order` names the systems from
    top to bottom. Oracles follow below a gap. Systems without a row for this target and metric are left out. The files
    are `stem_path` with .pdf, .svg and .png added, and are returned in this order.

    Raises InputError if there is nothing to draw, if a kind is unknown, or if several systems have the same name.
    Raises ValueError if `order` does not name every system once.

    Source: F.-R. Stöter, A. Liutkus, N. Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018.
    """
    rows = rows_of(track_medians, target, metric, order)
    with mpl.rc_context(STYLE):
        width = WIDTH_INCHES + LETTER_INCHES * max(len(row.system) for row in rows)
        figure = Figure(figsize=(width, 1.5 + ROW_INCHES * (rows[-1].place + 1)), layout="constrained")
        axes = figure.subplots()
        axes.set_ylim(rows[-1].place + 0.8, -0.8)
        low, high = value_range(rows)
        _draw_boxes(axes, rows, low, high)
        _name_what_is_outside(axes, rows, low, high)
        _name_rows(axes, rows)
        axes.set_xlabel(
            f"{caption(rows, target, metric)}\n"
            "line: median; box: quartiles; whiskers: up to 1.5 times the box's length; dots: single tracks beyond;\n"
            "at the ends of the axis: the farthest track outside it, or the median if that lies outside"
        )
        figure.legend(handles=_legend(rows), loc="outside lower center", ncols=3, frameon=False)
        return save(figure, stem_path)


def _draw_boxes(axes: Axes, rows: list[Row], low: float, high: float) -> None:
    """Draw the boxes whose median lies between `low` and `high`, with the single tracks in that range."""
    drawn = [(row, row.box) for row in rows if row.box and low <= row.box.median <= high]
    boxes = [
        {
            **{"med": box.median, "q1": box.first, "q3": box.third, "whislo": box.low, "whishi": box.high},
            "fliers": [value for _, value in box.beyond if low <= value <= high],
        }
        for _, box in drawn
    ]
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
        patch.set(facecolor=FILLS[row.look], hatch="".join(HATCHES.get(word, "") for word in LOOKS if word in row.words))
    axes.grid(axis="x", color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)


def _name_what_is_outside(axes: Axes, rows: list[Row], low: float, high: float) -> None:
    """Set the axis, and write medians and single tracks outside its range into grey strips at its ends."""
    texts = {row.place: outside(row.box, low, high) for row in rows if row.box}
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


def _name_rows(axes: Axes, rows: list[Row]) -> None:
    """Write the systems at the left and the medians at the right."""
    axes.set_yticks([row.place for row in rows], [name_of(row, rows) for row in rows])
    place: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points", "ha": "right", "fontsize": 7.5}
    axes.annotate("median", (1, -1.2), (36, 0), va="center_baseline", **place)
    for row, label in zip(rows, axes.get_yticklabels(), strict=True):
        weight = "bold" if "run" in row.words else "normal"
        label.set_fontweight(weight)
        text = "-" if row.box is None else decibels(row.box.median)
        axes.annotate(text, (1, row.place), (36, 0), va="center_baseline", fontweight=weight, **place)


def _legend(rows: list[Row]) -> list[Patch]:
    looks = [word for word in LOOKS if any(word == row.look or (word in row.words and word in HATCHES) for row in rows)]
    return [Patch(facecolor=FILLS[word], hatch=HATCHES.get(word), edgecolor="black", linewidth=0.6, label=LOOKS[word]) for word in looks]
