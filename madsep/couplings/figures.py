"""Figures of couplings: the maps in dB over frequency, the losses of the fits, and a Jacobian's reach in time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from madsep.core.figures import STYLE, broken, save

Maps = Mapping[str, NDArray[Any]]

ZOOM_HZ = 8000  # upper end of the second row of maps, if the band is wider
RANGE_DB = 60.0
PANEL_INCHES, MARGIN_INCHES = 2.5, 0.9
GRAPH_INCHES, EDGE_INCHES = 6.3, 0.1  # width of a figure with one graph; margin of its titles at each side
TITLE_SIZE, PANEL_TITLE_SIZE = 9, 8  # points


def draw_maps(maps: Maps, nyquist_hz: float, title: str, stem_path: Path) -> list[Path]:
    """Draw |C| of each map (N, N) in dB below its maximum as PDF, SVG and PNG: the whole band and, if it is wider, 0 to 8 kHz.

    Rows of a map are bins of the estimate, and columns are bins of the mixture, both from 0 to `nyquist_hz` in N equal steps. A map of
    zeros is drawn at the lower end of the scale. Returns the files: `stem_path` with .pdf, .svg and .png appended, in this order.
    """
    bands_hz = [nyquist_hz, ZOOM_HZ] if nyquist_hz > ZOOM_HZ else [nyquist_hz]
    with mpl.rc_context(STYLE):
        size = (PANEL_INCHES * len(maps) + MARGIN_INCHES, PANEL_INCHES * len(bands_hz) + MARGIN_INCHES)
        figure = Figure(figsize=size, layout="compressed")
        figure.suptitle(broken(title, TITLE_SIZE, size[0] - 2 * EDGE_INCHES), fontsize=TITLE_SIZE)
        panels = figure.subplots(len(bands_hz), len(maps), squeeze=False)
        for row, band_hz in zip(panels, bands_hz, strict=True):
            for axes, (name, couplings) in zip(row, maps.items(), strict=True):
                image = _draw_map(axes, couplings, nyquist_hz, band_hz)
                panel_title = broken(f"{name}, to {band_hz / 1000:g} kHz", PANEL_TITLE_SIZE, PANEL_INCHES - 3 * EDGE_INCHES)
                axes.set_title(panel_title, fontsize=PANEL_TITLE_SIZE)
            row[0].set_ylabel("estimate, kHz")
        for axes in panels[-1]:
            axes.set_xlabel("mixture, kHz")
        figure.colorbar(image, ax=panels, label="dB re the map's largest entry", shrink=0.8)
        return save(figure, stem_path)


def draw_losses(losses: pd.DataFrame, title: str, stem_path: Path) -> list[Path]:
    """Draw the losses of the fits (columns group, kind, iteration, relative_loss) as thin lines, and their median as a thick line.

    At each iteration, the median covers the fits that are still running. Returns files as `draw_maps` does.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(GRAPH_INCHES, 3.6), layout="constrained")
        axes = figure.subplots()
        for number, (kind, fits) in enumerate(losses.groupby("kind", sort=False)):
            look: dict[str, Any] = {"color": f"C{number}"}
            for _, fit in fits.groupby("group", sort=False):
                axes.plot(fit["iteration"], fit["relative_loss"], linewidth=0.5, alpha=0.3, **look)
            median = fits.groupby("iteration")["relative_loss"].median()
            axes.plot(median.index, median, linewidth=1.6, label=f"{kind}, median of {fits['group'].nunique()}", **look)
        _set_title(figure, title)
        axes.set(xlabel="iteration", ylabel="L1 loss / L1 norm of the network's output", yscale="log")
        axes.grid(color="0.9", which="both", linewidth=0.6)
        axes.legend()
        return save(figure, stem_path)


def draw_profile(lags: pd.DataFrame, hop_s: float, title: str, stem_path: Path) -> list[Path]:
    """Draw the share of the Jacobians' energy at each lag (columns kind, lag in frames, share).

    The legend shows the share of frames farther away, in rows without a lag. Returns files as `draw_maps` does.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(GRAPH_INCHES, 3.4), layout="constrained")
        axes = figure.subplots()
        for number, (kind, profile) in enumerate(lags.groupby("kind", sort=False)):
            known = profile.dropna(subset=["lag"])
            beyond = profile.loc[profile["lag"].isna(), "share"].sum()
            label = f"{kind} ({beyond:.2%} farther away)" if beyond else str(kind)
            axes.plot(known["lag"].astype(int), known["share"], "o-", markersize=3, linewidth=1.2, color=f"C{number}", label=label)
        _set_title(figure, title)
        axes.set(xlabel=f"lag of the mixture's frame, in frames of {1000 * hop_s:.3g} ms", yscale="log")
        axes.set_ylabel("share of the Jacobian's energy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend()
        return save(figure, stem_path)


def _set_title(figure: Figure, title: str) -> None:
    figure.suptitle(broken(title, TITLE_SIZE, GRAPH_INCHES - 2 * EDGE_INCHES), fontsize=TITLE_SIZE)


def _draw_map(axes: Axes, couplings: NDArray[Any], nyquist_hz: float, band_hz: float) -> Any:
    """Draw the part of one map below `band_hz` and return the image."""
    n_bins = len(couplings)
    n_shown = min(round(band_hz / nyquist_hz * (n_bins - 1)) + 1, n_bins)
    magnitudes = np.abs(couplings)
    floor = magnitudes.max() * 10 ** (-RANGE_DB / 20) or 1.0
    decibels = 20 * np.log10(np.maximum(magnitudes[:n_shown, :n_shown], floor) / (magnitudes.max() or 1.0))
    half_khz = nyquist_hz / 1000 / (n_bins - 1) / 2
    low, high = -half_khz, (2 * n_shown - 1) * half_khz
    return axes.imshow(decibels, origin="lower", extent=(low, high, low, high), cmap="magma", vmin=-RANGE_DB, vmax=0)
