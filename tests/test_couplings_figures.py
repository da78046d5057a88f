"""Titles of the couplings' figures lie within them, whatever the names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from madsep.core.figures import broken, save
from madsep.couplings import figures
from madsep.couplings.figures import draw_losses, draw_maps, draw_profile

TITLES = ("MDL1: |C|", "MSS-DAE-mir1k-with-a-long-name, mean over 12 groups of 101 test tracks: |C| of the dense layers")
LOSSES = pd.DataFrame({"group": [1, 1], "kind": "couplings", "iteration": [1, 2], "relative_loss": [0.2, 0.1]})
LAGS = pd.DataFrame({"kind": "Jacobian", "lag": [0, 1], "share": [0.9, 0.1]})


def maps(n_maps: int, nyquist_hz: float) -> Callable[[str, Path], list[Path]]:
    found = {f"couplings of system {number}, untrained": np.eye(9) for number in range(n_maps)}
    return lambda title, stem: draw_maps(found, nyquist_hz, title, stem)


DRAWINGS: dict[str, Callable[[str, Path], list[Path]]] = {
    **{f"{n} maps to {nyquist_hz} Hz": maps(n, nyquist_hz) for n in (1, 2, 4) for nyquist_hz in (8000, 22_050)},
    "losses": lambda title, stem: draw_losses(LOSSES, title, stem),
    "profile": lambda title, stem: draw_profile(LAGS, 0.01, title, stem),
}


@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.parametrize("title", TITLES, ids=["short", "long"])
def test_no_title_reaches_beyond_its_figure_or_into_another(
    drawing: str, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the extents that the renderer of the PNG gives, in pixels."""
    drawn: list[Figure] = []

    def save_and_keep(figure: Figure, stem_path: Path) -> list[Path]:
        drawn.append(figure)
        return save(figure, stem_path)

    monkeypatch.setattr(figures, "save", save_and_keep)
    DRAWINGS[drawing](title, tmp_path / "figure")
    (figure,) = drawn
    titles: list[Text] = [figure._suptitle, *(axes.title for axes in figure.axes if axes.get_title())]  # type: ignore[attr-defined]
    assert " ".join(titles[0].get_text().split()) == title
    extents = [text.get_window_extent() for text in titles]
    for text, extent in zip(titles, extents, strict=True):
        inside = extent.x0 >= 0 and extent.y0 >= 0 and extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1
        assert inside, f"{text.get_text()!r}: {extent} in {figure.bbox}"
    assert not any(one.overlaps(other) for number, one in enumerate(extents) for other in extents[:number])


def test_lines_break_between_words_only() -> None:
    assert broken("a b", 9, 6) == "a b"
    assert broken("one two three", 9, 0.5).split("\n") == ["one two", "three"]
    assert broken("a-name-far-too-wide x", 9, 0.1).split("\n") == ["a-name-far-too-wide", "x"]
