"""Draw the matrix of paired tests between systems."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from madsep.comparison.significance import LEVEL
from madsep.core.errors import InputError
from madsep.core.figures import STYLE, broken, save

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

N_WITH_VALUES = 16  # a larger matrix has no room for values in its cells
CELL_INCHES, VALUE_CELL_INCHES, LETTER_INCHES = 0.17, 0.4, 0.065
MIN_SIDE_INCHES = 2.4  # of the matrix, so that its colour scale fits
INSIGNIFICANT: dict[str, Any] = {"facecolor": "white", "hatch": "/////", "linewidth": 0}
UNTESTED: dict[str, Any] = {"facecolor": "0.8", "linewidth": 0}


def draw_pairwise(p_values: pd.DataFrame, differences: pd.DataFrame, title: str, stem_path: Path) -> list[Path]:
    """Draw the paired differences between all systems as a matrix with insignificant cells hatched, as PDF, SVG and PNG.

    `p_values` (systems, systems) are those of the Wilcoxon signed-rank test over tracks, corrected by Holm's method. They
    are NaN if nothing was tested, or if no test of so few tracks could be significant. `differences` (same shape and
    labels) are medians over tracks of row minus column, in dB. The files are `stem_path` with .pdf, .svg and .png added,
    and are returned in this order.

    Raises InputError if there are no systems, and ValueError if the two tables have different labels.
    """
    systems = list(p_values.index)
    if any(list(labels) != systems for labels in (p_values.columns, differences.index, differences.columns)):
        raise ValueError("p_values and differences need the same systems in rows and columns")
    if not systems:
        raise InputError(f"{title}: there are no systems to compare; expected at least two.")
    given, p = differences.to_numpy(float), p_values.to_numpy(float)
    tested = ~np.isnan(p) & ~np.isnan(given) & ~np.eye(len(systems), dtype=bool)
    cell_inches = VALUE_CELL_INCHES if len(systems) <= N_WITH_VALUES else CELL_INCHES
    side = max(cell_inches * len(systems), MIN_SIDE_INCHES)
    labels = LETTER_INCHES * max(len(str(system)) for system in systems)
    layout = ConstrainedLayoutEngine(h_pad=0.1, compress=True)  # inches, above the rotated names
    with mpl.rc_context(STYLE):
        width = max(side + labels + 0.2, 5.0)
        figure = Figure(figsize=(width, side + labels + 1.7), layout=layout)
        figure.suptitle(broken(title, 9, width - 0.2), fontsize=9)
        axes = figure.subplots()
        _draw_cells(axes, given, tested, tested & (p < LEVEL))
        axes.set_xticks(range(len(systems)), systems, rotation=90)
        axes.set_yticks(range(len(systems)), systems)
        axes.set_xticks(np.arange(0.5, len(systems) - 1), minor=True)
        axes.set_yticks(np.arange(0.5, len(systems) - 1), minor=True)
        axes.grid(which="minor", color="white", linewidth=0.8)
        axes.tick_params(which="both", length=0, labeltop=True, labelbottom=False)
        figure.legend(handles=_cell_legend(), loc="outside lower center", frameon=False)
        return save(figure, stem_path)


def _draw_cells(axes: Axes, differences: Floats, tested: Flags, significant: Flags) -> None:
    """Draw the matrix with its colour scale: significant cells coloured, the others hatched, with values if there is room."""
    sizes = np.abs(differences[tested])
    limit = _limit(sizes)
    image = axes.imshow(np.ma.masked_where(~significant, differences), cmap="PuOr", vmin=-limit, vmax=limit)
    for row, column in np.ndindex(differences.shape):
        if not significant[row, column]:
            look = INSIGNIFICANT if tested[row, column] else UNTESTED
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **look))
        if tested[row, column] and len(differences) <= N_WITH_VALUES:
            text = axes.text(column, row, f"{differences[row, column]:z.1f}", ha="center", va="center", fontsize=7)
            if significant[row, column]:
                text.set_color(_readable_on(*image.to_rgba(differences[row, column])[:3]))
            else:
                text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    extend = "both" if (sizes > limit).any() else "neither"
    bar = axes.figure.colorbar(image, ax=axes, orientation="horizontal", extend=extend, aspect=40, pad=0.02)
    bar.set_label("median paired difference where\nsignificant, dB: row minus column\n(purple: the row scores higher)")


def _readable_on(red: float, green: float, blue: float) -> str:
    """Return white for dark colours and black for others, judged by luma (Rec. 601)."""
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"


def _limit(sizes: Floats) -> float:
    """Return the end of the colour scale: the largest difference, but at most four times the median one."""
    limit = min(sizes.max(initial=0.0), 4 * float(np.median(sizes))) if len(sizes) else 0.0
    return limit or sizes.max(initial=0.0) or 1.0


def _cell_legend() -> list[Patch]:
    return [
        Patch(**INSIGNIFICANT, label=f"not significant: p of at least {LEVEL}\n(Wilcoxon signed-rank test over tracks, Holm's correction)"),
        Patch(**UNTESTED, label="not tested: a system with itself, or too few tracks to show a difference"),
    ]
