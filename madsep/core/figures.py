"""The shared style of all figures, and a function that writes them."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from madsep.core.files import atomic

STYLE: dict[Any, Any] = {
    **{"font.family": "DejaVu Sans", "font.size": 8, "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.fontsize": 7.5},
    **{"axes.unicode_minus": False, "axes.linewidth": 0.6, "hatch.linewidth": 0.5, "hatch.color": "0.15"},
    **{"figure.dpi": 200, "text.parse_math": False},  # same resolution for layout and saving; names may contain dollar signs
    # also for savefig: SVG text as paths, PDF text as embedded fonts, reproducible ids
    **{"svg.fonttype": "path", "pdf.fonttype": 42, "svg.hashsalt": "madsep"},
}
POINTS_PER_INCH = 72.0
UNDATED: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}


def broken(title: str, font_size: float, width_inches: float) -> str:
    """Return a title with line breaks between words, so that no line of several words is wider than `width_inches`."""
    font, limit = FontProperties(family=STYLE["font.family"], size=font_size), POINTS_PER_INCH * width_inches
    lines: list[str] = []
    for word in title.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and TextPath((0, 0), longer, prop=font).get_extents().width <= limit:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def save(figure: Figure, stem_path: Path) -> list[Path]:
    """Write the figure in each format, without dates or random ids, so that equal data give equal bytes."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)  # the layout is done; with any engine, even "none", each format would draw the figure twice
    paths = []
    for suffix, undated in UNDATED.items():
        path = stem_path.with_name(stem_path.name + suffix)
        with atomic(path) as temporary:
            figure.savefig(temporary, format=suffix[1:], metadata=undated)
        paths.append(path)
    return paths
