"""Figures of the page, as shapes that its template draws as SVG. All lengths are in units of the SVG."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from madsep.comparison.boxes import LOOKS, Box, Row, caption, name_of, outside, rows_of, value_range
from madsep.comparison.significance import LEVEL, cannot_show
from madsep.comparison.statistics import matrix
from madsep.scoring.scores import decibels

PLOT_WIDTH, ROW_HEIGHT, BOX_HEIGHT, LETTER_WIDTH, MEDIAN_WIDTH = 560, 19, 12, 8, 52
STRIP = 34  # width of the strips at both ends of the axis, for values outside it
TOP, AXIS_HEIGHT = 22, 26
CELL, VALUE_CELL, N_WITH_VALUES = 15, 38, 16  # a larger matrix has no room for values in its cells
FAINTEST, FAINTEST_SHADE_OF_VALUES = 0.15, 0.45  # opacity of the smallest difference; of the largest if its cell shows a value
SPARK_WIDTH, SPARK_HEIGHT, SPARK_POINTS = 132, 24, 66
SPARK_PERCENTILES = (2, 98)


def boxes_values(track_medians: pd.DataFrame, target: str, metric: str, order: Sequence[str]) -> dict[str, Any]:
    """Return the boxplots of a target and metric. Arguments and errors are those of `boxplots.draw_boxplots`."""
    rows = rows_of(track_medians, target, metric, order)
    low, high = value_range(rows)
    texts = [outside(row.box, low, high) if row.box else ("", "") for row in rows]
    names = [name_of(row, rows) for row in rows]
    left = 12 + LETTER_WIDTH * max(map(len, names))  # for bold letters
    start = left + STRIP * any(below for below, _ in texts)
    end = start + PLOT_WIDTH

    def x(value: float) -> float:
        return round(start + (value - low) / (high - low) * PLOT_WIDTH, 1)

    right = end + STRIP * any(above for _, above in texts)
    ticks = [tick for tick in MaxNLocator(10, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
    bottom = TOP + ROW_HEIGHT * (rows[-1].place + 1)
    return {
        "caption": caption(rows, target, metric),
        **{"left": left, "start": start, "end": end, "right": right, "top": TOP, "bottom": bottom},
        **{"width": right + MEDIAN_WIDTH, "height": bottom + AXIS_HEIGHT},
        "ticks": [{"x": x(tick), "text": f"{tick:g}"} for tick in ticks],
        "rows": [_row_values(row, name, ends, x, (low, high)) for row, name, ends in zip(rows, names, texts, strict=True)],
        "legend": [(word, LOOKS[word]) for word in LOOKS if any(word in (row.look, *(row.words & {"blind", "extra"})) for row in rows)],
    }


def _row_values(row: Row, name: str, ends: tuple[str, str], x: Any, limits: tuple[float, float]) -> dict[str, Any]:
    box, (low, high) = row.box, limits
    text = "-" if box is None else decibels(box.median)
    values = {"name": name, "look": row.look, "words": sorted(row.words), "y": TOP + ROW_HEIGHT * (row.place + 0.5), "median": text}
    drawn = box if box is not None and low <= box.median <= high else None
    shape = {key: x(getattr(drawn, key)) for key in ("median", "first", "third", "low", "high")} if drawn else None
    dots = [
        {"x": x(value), "title": f"{track}: {value:.2f} dB"} for track, value in (drawn.beyond if drawn else ()) if low <= value <= high
    ]
    return values | {"below": ends[0], "above": ends[1], "box": shape, "dots": dots, "title": _box_title(row.system, box)}


def _box_title(system: str, box: Box | None) -> str:
    if box is None:
        return f"{system}: no track with a number"
    return f"{system}: median {box.median:.2f} dB, quartiles {box.first:.2f} and {box.third:.2f}, whiskers {box.low:.2f} to {box.high:.2f}"


def matrix_values(pairs: pd.DataFrame, order: Sequence[str]) -> dict[str, Any]:
    """Return the matrix of one family of paired tests (rows of `significance.with_attainable`). Rows and columns are in `order`."""
    systems = [system for system in order if system in {*pairs["system"], *pairs["other"]}]
    names = ("median_difference", "p_holm", "p_attainable")
    differences, p_values, attainable = (matrix(pairs, systems, name).to_numpy(float) for name in names)
    significant = p_values < LEVEL
    has_values = len(systems) <= N_WITH_VALUES
    size = VALUE_CELL if has_values else CELL
    sizes = np.abs(differences[significant])
    largest = min(float(sizes.max(initial=0.0)), 4 * float(np.median(sizes))) if len(sizes) else 0.0
    steepness = (FAINTEST_SHADE_OF_VALUES if has_values else 1.0) - FAINTEST
    left = 12 + LETTER_WIDTH * max(map(len, systems))
    cells = []
    for row, column in np.ndindex(differences.shape):
        difference, p_value = float(differences[row, column]), float(p_values[row, column])
        share = min(abs(difference) / largest, 1.0) if significant[row, column] and largest else 0.0
        cells.append(
            {
                "x": left + size * column,
                "y": left + size * row,
                "look": _cell_look(difference, p_value, float(attainable[row, column])) if row != column else "itself",
                "opacity": round(FAINTEST + steepness * share, 2),
                "text": "" if np.isnan(difference) or not has_values else f"{difference:z.1f}",
                "title": "" if np.isnan(p_value) else f"{systems[row]} - {systems[column]}: {difference:+.2f} dB, p = {p_value:.2g}",
            }
        )
    labels = [{"name": name, "at": left + size * (number + 0.5)} for number, name in enumerate(systems)]
    side = left + size * len(systems) + 2
    low, high = int(pairs["n_tracks"].min()), int(pairs["n_tracks"].max())
    counts = f"{low} to {high} tracks" if low < high else f"{low} track{'s' * (low != 1)}"
    about = {"counts": counts, "level": LEVEL, "cannot": cannot_show(pairs), "looks": {cell["look"] for cell in cells}}
    return {"cells": cells, "names": labels, "left": left, "side": side, "cell": size, **about}


def _cell_look(difference: float, p_value: float, p_attainable: float) -> str:
    """Return higher or lower if the difference is significant, none if not, cannot if no test here could be, or untested."""
    if np.isnan(p_value) or np.isnan(difference):
        return "untested"
    if p_value < LEVEL:
        return "higher" if difference > 0 else "lower"
    return "none" if p_attainable < LEVEL else "cannot"


def spark_range(frames: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the common range in dB of a target's sparklines: the SPARK_PERCENTILES of all frames."""
    values = np.concatenate([*frames, np.empty(0)])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, SPARK_PERCENTILES)
    return (float(low), float(high)) if high > low else (float(low) - 1, float(high) + 1)


def sparkline(frames: NDArray[np.float64], limits: tuple[float, float]) -> dict[str, Any]:
    """Return a track's scores over time as an SVG path of medians over blocks of frames. Blocks without a score are gaps."""
    blocks = np.array_split(frames, min(len(frames), SPARK_POINTS))
    values = np.array([np.median(known) if len(known := block[~np.isnan(block)]) else np.nan for block in blocks])
    low, high = limits
    heights = SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * np.clip((values - low) / (high - low), 0, 1)
    step = SPARK_WIDTH / max(len(values) - 1, 1)
    path, pen_is_down = "", False
    for number, height in enumerate(heights):
        if not np.isnan(height):
            path += f"{'L' if pen_is_down else 'M'}{number * step:.0f} {height:.1f}"
            path += "h1" * (not pen_is_down)  # shows a single point between two gaps
        pen_is_down = not np.isnan(height)
    known = frames[~np.isnan(frames)]
    title = f"{len(frames)} frames, {known.min():.1f} to {known.max():.1f} dB" if len(known) else f"{len(frames)} frames without a score"
    zero = SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * (0 - low) / (high - low) if low < 0 < high else None
    return {"path": path, "title": title, "zero": zero and round(zero, 1)}
