"""Layout of boxplots over tracks, with one row per system from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import NamedTuple

import numpy as np
import pandas as pd

from madsep.core.errors import InputError

# if a system's median is further than this from the middle system's, a number at the edge of the axis replaces its box:
# the SAR of MIX is 30 dB in the campaign's table, and 80 dB and more if the mixture is the exact sum of its stems
MAX_GAP_DB = 20.0
GAP_ROWS = 1.4  # between systems and oracles
REACH = 1.5  # maximum length of a whisker, in lengths of the box
# word of a kind -> text of the legend; the first of a kind's words in this order decides how a system looks
LOOKS = {
    "oracle": "oracle, or MIX",
    "run": "own run",
    "blind": "blind",
    "extra": "trained with extra data",
    "supervised": "trained on MUSDB18 alone",
}


class Box(NamedTuple):
    """Median, quartiles and whiskers over a system's tracks, and the tracks beyond the whiskers by name. All values are in dB."""

    median: float
    first: float  # quartile
    third: float
    low: float  # whisker
    high: float
    beyond: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Row:
    """One system of the boxplots: its vertical place, and its box. The box is None if no track has a number."""

    system: str
    words: frozenset[str]
    place: float
    n_tracks: int
    box: Box | None

    @property
    def look(self) -> str:
        """The key of LOOKS that decides how the system looks."""
        return next(word for word in LOOKS if word in self.words)


def rows_of(track_medians: pd.DataFrame, target: str, metric: str, order: Sequence[str]) -> list[Row]:
    """Return the rows from top to bottom in `order`, with oracles last. Arguments and errors are those of `draw_boxplots`."""
    scores = track_medians[(track_medians["target"] == target) & (track_medians["metric"] == metric)]
    if scores.empty:
        given = sorted({f"{t} {m}" for t, m in zip(track_medians["target"], track_medians["metric"], strict=True)})
        raise InputError(f"No system has a score for {target} {metric}; there is {', '.join(given) or 'nothing'}.")
    tables = {str(system): table for system, table in scores.groupby("system", observed=True)}
    if len(set(order)) < len(order) or not tables.keys() <= set(order):
        raise ValueError(f"order must name every system once; it names {list(order)} of {sorted(tables)}")
    words = {system: _words(system, tables[system]) for system in order if system in tables}
    rows: list[Row] = []
    for system in sorted(words, key=lambda name: "oracle" in words[name]):  # stable sort: keeps `order` within both blocks
        gap = GAP_ROWS if rows and "oracle" in words[system] and "oracle" not in rows[-1].words else 0.0
        known = tables[system].dropna(subset=["median"])
        box = box_of(known) if len(known) else None
        rows.append(Row(system, words[system], rows[-1].place + 1 + gap if rows else 0.0, len(known), box))
    return rows


def box_of(tracks: pd.DataFrame) -> Box:
    """Return the box of a table of tracks with the columns track and median. Whiskers end at the farthest track within REACH."""
    values = tracks["median"].to_numpy(float)
    first, median, third = np.percentile(values, [25, 50, 75])
    reach = REACH * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    low, high = min(inside.min(), first), max(inside.max(), third)
    pairs = zip(tracks["track"].astype(str), values.tolist(), strict=True)
    beyond = tuple(pair for pair in pairs if not low <= pair[1] <= high)
    return Box(float(median), float(first), float(third), float(low), float(high), beyond)


def value_range(rows: Sequence[Row]) -> tuple[float, float]:
    """Return a range that holds the boxes and whiskers of all systems except those far from the middle one."""
    boxes = [row.box for row in rows if row.box]
    if not boxes:
        return 0.0, 1.0
    middle = median_low([box.median for box in boxes])
    near = [box for box in boxes if abs(box.median - middle) <= MAX_GAP_DB]
    low, high = min(box.low for box in near), max(box.high for box in near)
    margin = 0.03 * (high - low) or 1.0
    return low - margin, high + margin


def outside(box: Box, low: float, high: float) -> tuple[str, str]:
    """Return the texts for the left and right end of the axis: the median if it lies outside, or else the farthest track outside."""
    if box.median < low:
        return f"← {box.median:.0f}", ""
    if box.median > high:
        return "", f"{box.median:.0f} →"
    values = [value for _, value in box.beyond]
    first, last = min([*values, box.low]), max([*values, box.high])
    return f"← {first:.0f}" if first < low else "", f"{last:.0f} →" if last > high else ""


def caption(rows: Sequence[Row], target: str, metric: str) -> str:
    """Return a caption that names target, metric and averages."""
    most = max(row.n_tracks for row in rows)
    fewer = ", unless a name is followed by another number" if any(row.n_tracks < most for row in rows) else ""
    tracks = f"{most} track" if most == 1 else f"{most} tracks"
    return f"{target} {metric}, dB (BSSEval v4; median over frames; box over {tracks}{fewer})"


def name_of(row: Row, rows: Sequence[Row]) -> str:
    """Return a system's name, followed by its number of tracks if other systems have more."""
    return row.system if row.n_tracks == max(other.n_tracks for other in rows) else f"{row.system} ({row.n_tracks})"


def _words(system: str, table: pd.DataFrame) -> frozenset[str]:
    """Return the words of a system's kind. Raises InputError if it has several kinds, an unknown one, or a track twice."""
    kinds = sorted({str(kind) for kind in table["kind"]})
    if len(kinds) > 1 or table["track"].duplicated().any():
        raise InputError(f"{system}: more than one system has this name ({', '.join(kinds)}); give each another name.")
    words = frozenset(kinds[0].split("+"))
    if not words <= LOOKS.keys():
        raise InputError(f"{system}: its kind {kinds[0]!r} is unknown; expected one or several, joined by '+', of {', '.join(LOOKS)}.")
    return words
