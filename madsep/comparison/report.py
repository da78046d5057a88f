"""Figures and the table page of the report."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from madsep.comparison.published import BASELINE
from madsep.core.files import atomic
from madsep.scoring.scores import METRICS, NO_ARTEFACTS_DB, TARGETS

BASELINE_COLOUR = "0.6"
# beyond this distance from the systems' scores the baseline's are named at the edge of the panel instead of drawn:
# its SAR is 80 dB and more where the mixture is the exact sum of its stems
MAX_BASELINE_GAP_DB = 30.0
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Medians</title>
<style>
body {{ font-family: sans-serif; font-size: 14px; margin: 1.5em; color: #222; background: #fff; }}
p {{ max-width: 60em; }}
table {{ border-collapse: collapse; margin-bottom: 2em; }}
th, td {{ padding: 0.2em 0.8em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
th:nth-child(-n+2), td:nth-child(-n+2), th:last-child, td:last-child {{ text-align: left; }}
td:last-child {{ font-family: monospace; font-size: 12px; }}
</style>
</head>
<body>
<h1>Scores</h1>
<p>BSSEval v4 with windows and hops of 1 s; all values in dB. Frames in which a reference or an estimate is silent have
no score (NaN): they are left out and their share is given. Intervals are 95 % bootstrap intervals over tracks. SDR
depends on the level of the estimates, so compare it only within one version of the metric.</p>
<h2>Median over tracks of the median over frames</h2>
{medians}
<h2>Every average</h2>
{summary}
</body>
</html>
"""


def plot_boxplots(track_medians: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw, as SVG, one panel per metric with a box over tracks for each target and system; tracks are dots.

    `track_medians` maps a system's name to its table track, target, metric, median (dB); the baseline is called "MIX". A track keeps its
    place from left to right in every box of a system. Tracks without a number are left out.
    """
    present = {target for table in track_medians.values() for target in table["target"]}
    targets = [*(t for t in TARGETS if t in present), *sorted(present - set(TARGETS))]
    figure = Figure(figsize=(max(9, 2.6 * len(targets)), 6.5), layout="constrained")
    for axes, metric in zip(figure.subplots(2, 2).flat, METRICS, strict=True):
        axes.set_title(metric)
        axes.set_ylabel("median over frames, dB")
        axes.set_xticks(range(len(targets)), targets)
        axes.set_xlim(-0.6, len(targets) - 0.4)
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
        _draw_metric(axes, {name: table[table["metric"] == metric] for name, table in track_medians.items()}, targets)
    handles = [mpl.patches.Patch(color=_colour(i, name), label=name) for i, name in enumerate(track_medians)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    _save_svg(figure, path)


def medians_html(summary: pd.DataFrame, medians: pd.DataFrame, baseline: pd.DataFrame, path: Path) -> None:
    """Write a page with SiSEC's medians beside those of MIX, and every average below.

    `medians` and `baseline` have the columns target, metric, median, n_tracks, nan_share; `summary` has target,
    metric, recipe, aggregation, value, ci_low, ci_high, n_tracks, n_frames, nan_share.
    """
    sisec = summary.loc[summary["aggregation"] == "sisec", ["target", "metric", "ci_low", "ci_high", "recipe"]]
    key = ["target", "metric"]
    rows = medians.merge(baseline, how="left", on=key, suffixes=("", "_mix")).merge(sisec, how="left", on=key)
    unbounded = rows["median_mix"] > NO_ARTEFACTS_DB
    beside = pd.DataFrame(
        {
            "target": rows["target"],
            "metric": rows["metric"],
            "median": rows["median"].map(_decibels),
            "95 % interval": _intervals(rows),
            "MIX": rows["median_mix"].map(_decibels).mask(unbounded, f"> {NO_ARTEFACTS_DB:.0f}"),
            "gain": (rows["median"] - rows["median_mix"]).mask(unbounded).map(_decibels),
            "tracks": rows["n_tracks"],
            "NaN frames": rows["nan_share"].map(_percent),
            "NaN frames, MIX": rows["nan_share_mix"].map(_percent),
            "recipe": rows["recipe"],
        }
    )
    every = pd.DataFrame(
        {
            "target": summary["target"],
            "metric": summary["metric"],
            "value": summary["value"].map(_decibels),
            "95 % interval": _intervals(summary),
            "tracks": summary["n_tracks"],
            "frames": summary["n_frames"],
            "NaN frames": summary["nan_share"].map(_percent),
            "recipe": summary["recipe"],
        }
    )
    page = PAGE.format(medians=beside.to_html(index=False, border=0), summary=every.to_html(index=False, border=0))
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _draw_metric(axes: Axes, tables: dict[str, pd.DataFrame], targets: list[str]) -> None:
    """Draw the boxes and dots of one metric and set the range of its axis."""
    width = 0.8 / len(tables)
    axes.set_ylim(*_value_range(tables))
    for index, (name, table) in enumerate(tables.items()):
        for place, target in enumerate(targets):
            values = table[table["target"] == target].sort_values("track")["median"].to_numpy()
            x = place + (index - (len(tables) - 1) / 2) * width
            if not np.isnan(values).all():
                _draw_box(axes, values, x, width, _colour(index, name))


def _draw_box(axes: Axes, values: NDArray[np.float64], x: float, width: float, colour: str) -> None:
    """Draw one box at `x` with its tracks as dots, or its median's value where that lies outside the axis."""
    offsets = np.linspace(-0.3, 0.3, len(values)) if len(values) > 1 else np.zeros(1)
    given = ~np.isnan(values)
    axes.boxplot(
        [values[given]],
        positions=[x],
        widths=0.85 * width,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": colour, "alpha": 0.35},
        medianprops={"color": "black"},
        manage_ticks=False,
    )
    dots: dict[str, Any] = {"color": colour, "markersize": 2.5, "markeredgecolor": "black", "markeredgewidth": 0.2}
    axes.plot((x + width * offsets)[given], values[given], "o", **dots)
    low, high = axes.get_ylim()
    median = np.median(values[given])
    edge: dict[str, Any] = {"ha": "center", "color": "0.35", "textcoords": "offset points"}
    if median > high:
        axes.annotate(f"↑ {median:.0f}", (x, high), (0, -4), va="top", **edge)
    if median < low:
        axes.annotate(f"↓ {median:.0f}", (x, low), (0, 4), va="bottom", **edge)


def _value_range(tables: dict[str, pd.DataFrame]) -> tuple[float, float]:
    """Return an axis range that holds every system, and the baseline where it is not far off."""
    values = {name: table["median"].dropna() for name, table in tables.items()}
    systems = pd.concat([v for name, v in values.items() if name != BASELINE or len(values) == 1])
    low, high = (systems.min(), systems.max()) if len(systems) else (0.0, 1.0)
    baseline = values.get(BASELINE, systems)
    near = baseline[baseline.between(low - MAX_BASELINE_GAP_DB, high + MAX_BASELINE_GAP_DB)]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def _colour(index: int, name: str) -> str:
    return BASELINE_COLOUR if name == BASELINE else f"C{index}"


def _save_svg(figure: Figure, path: Path) -> None:
    """Save with neither date nor random ids, so that the same data give the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "madsep"}), atomic(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def _intervals(rows: pd.DataFrame) -> list[str]:
    bounds = zip(rows["ci_low"], rows["ci_high"], strict=True)
    return ["-" if np.isnan(low) else f"{low:.2f} .. {high:.2f}" for low, high in bounds]


def _decibels(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2f}"


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.1%}"
