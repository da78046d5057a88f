import math
import re
import struct
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from madsep.comparison.boxplots import draw_boxplots
from madsep.comparison.pairwise import draw_pairwise
from madsep.core.errors import InputError

COLUMNS = ["system", "kind", "track", "target", "metric", "median"]
VERMILION, SKY_BLUE, GREY = "#d55e00", "#56b4e9", "#d9d9d9"
SUFFIXES = [".pdf", ".svg", ".png"]


def system(name: str, kind: str, values: list[float], target: str = "vocals", metric: str = "SDR") -> pd.DataFrame:
    return pd.DataFrame([(name, kind, f"t{i}", target, metric, value) for i, value in enumerate(values)], columns=COLUMNS)


def several() -> pd.DataFrame:
    return pd.concat(
        [
            system("IRM1", "oracle", [8.0, 9.0, 10.0, 11.0]),
            system("MDL1", "supervised", [3.0, 4.0, 5.0, 6.0]),
            system("TAK2", "supervised+extra", [6.0, 7.0, 8.0, 9.0]),
            system("HPSS", "blind", [-3.0, 0.0, 1.0, 2.0]),
            system("mine", "run", [3.5, 4.5, 5.5, 6.5]),
            system("my-IBM", "run+oracle", [7.0, 8.0, 9.0, 10.0]),
        ],
        ignore_index=True,
    )


ORDER = ["IRM1", "TAK2", "my-IBM", "mine", "MDL1", "HPSS"]


def svg_of(paths: list[Path]) -> str:
    return paths[SUFFIXES.index(".svg")].read_text()


def places(svg: str) -> dict[str, tuple[float, float]]:
    """Text -> x and y in points from the upper left corner, of the last of that text."""
    found = re.findall(r"<!-- (.*?) -->\s*<g[^>]*transform=\"translate\(([-\d.]+) ([-\d.]+)\)", svg)
    return {text: (float(x), float(y)) for text, x, y in found}


def hatches(svg: str) -> list[str]:
    """The pattern of each hatched area."""
    return re.findall(r"<path [^>]*style=\"fill: url\(#(\w+)\)", svg)


def n_filled(svg: str, colour: str) -> int:
    return len(re.findall(rf"<path [^>]*style=\"fill: {colour}", svg))


def square(values: list[list[float]], names: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=names, columns=names)


def three(stem: Path) -> list[Path]:
    names = ["A", "B", "C"]
    p_values = square([[math.nan, 0.001, 0.2], [0.001, math.nan, 0.0499], [0.2, 0.0499, math.nan]], names)
    differences = square([[0, 2.34, -0.01], [-2.34, 0, -2.5], [0.01, 2.5, 0]], names)
    return draw_pairwise(p_values, differences, "vocals SDR, 50 tracks", stem)


def boxes(stem: Path) -> list[Path]:
    return draw_boxplots(several(), "vocals", "SDR", stem, ORDER)


@pytest.fixture(scope="module")
def boxplots(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return boxes(tmp_path_factory.mktemp("boxplots") / "new" / "a.b")


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return three(tmp_path_factory.mktemp("matrix") / "new" / "a.b")


@pytest.mark.parametrize(("figure", "draw"), [("boxplots", boxes), ("matrix", three)])
def test_three_valid_files_without_a_date_and_the_same_every_time(
    figure: str, draw: Callable[[Path], list[Path]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    first: list[Path] = request.getfixturevalue(figure)
    assert [path.name for path in first] == [f"a.b{suffix}" for suffix in SUFFIXES]
    assert sorted(first[0].parent.iterdir()) == sorted(first)
    pdf, svg, png = (path.read_bytes() for path in first)
    assert pdf.startswith(b"%PDF-1.") and pdf.rstrip().endswith(b"%%EOF") and b"CreationDate" not in pdf
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and b"<dc:date>" not in svg
    width, height = struct.unpack(">II", png[16:24])
    points = float(root.attrib["width"].removesuffix("pt")), float(root.attrib["height"].removesuffix("pt"))
    assert (width, height) == pytest.approx([200 / 72 * size for size in points], abs=1)
    time.sleep(1.1 - time.time() % 1)  # into the next second, which a date would show
    assert [path.read_bytes() for path in draw(tmp_path / "again")] == [pdf, svg, png]


def test_a_users_style_changes_nothing_that_is_set(boxplots: list[Path], tmp_path: Path) -> None:
    plain = svg_of(boxplots)
    with mpl.rc_context({"font.size": 20, "axes.unicode_minus": True, "svg.fonttype": "none", "svg.hashsalt": None}):
        assert svg_of(boxes(tmp_path / "styled")) == plain
        assert mpl.rcParams["font.size"] == 20
    assert "-2" in places(plain) and "\N{MINUS SIGN}" not in plain


def test_systems_stand_in_the_given_order_and_oracles_below_a_gap(boxplots: list[Path], tmp_path: Path) -> None:
    at = places(svg_of(boxplots))
    names = ["TAK2", "mine", "MDL1", "HPSS", "IRM1", "my-IBM"]
    heights = [at[name][1] for name in names]
    steps = np.diff(heights)
    assert steps[[0, 1, 2, 4]] == pytest.approx(steps[0], abs=0.01) and steps[0] > 10
    assert steps[3] > 2 * steps[0]
    backwards = places(svg_of(draw_boxplots(several(), "vocals", "SDR", tmp_path / "backwards", ORDER[::-1])))
    assert [backwards[name][1] for name in ["HPSS", "MDL1", "mine", "TAK2", "my-IBM", "IRM1"]] == pytest.approx(heights, abs=0.01)


def test_kinds_are_told_apart_and_explained(boxplots: list[Path], tmp_path: Path) -> None:
    svg = svg_of(boxplots)
    assert n_filled(svg, VERMILION) == 1 + 1  # the box, and the legend
    assert n_filled(svg, SKY_BLUE) == 2 + 1  # an oracle that is an own run, too
    assert n_filled(svg, GREY) == 1 + 1
    blind, extra = (pattern for pattern in set(hatches(svg)))
    assert hatches(svg).count(blind) == hatches(svg).count(extra) == 1 + 1
    for text in ("own run", "oracle, or MIX", "blind", "trained with extra data", "trained on MUSDB18 alone"):
        assert f"<!-- {text} -->" in svg
    alone = svg_of(draw_boxplots(system("mine", "run", [1.0, 2.0]), "vocals", "SDR", tmp_path / "alone", ["mine"]))
    assert "own run" in alone and "oracle" not in alone and "blind" not in alone


def test_the_medians_stand_at_the_right_and_the_recipe_below(boxplots: list[Path]) -> None:
    svg = svg_of(boxplots)
    at = places(svg)
    for name, median in {"IRM1": "9.50", "TAK2": "7.50", "mine": "5.00", "HPSS": "0.50"}.items():
        assert at[median][1] == pytest.approx(at[name][1], abs=3) and at[median][0] > at[name][0] + 300
    assert "<!-- vocals SDR, dB (BSSEval v4; median over frames; box over 4 tracks) -->" in svg


def test_a_system_with_fewer_tracks_says_so(tmp_path: Path) -> None:
    scores = pd.concat([several(), system("OLD", "supervised", [1.0, math.nan, 2.0, 3.0])])
    svg = svg_of(draw_boxplots(scores, "vocals", "SDR", tmp_path / "boxes", [*ORDER, "OLD"]))
    assert "<!-- OLD (3) -->" in svg and "<!-- MDL1 -->" in svg
    assert "box over 4 tracks, unless a name is followed by another number)" in svg


def test_values_far_outside_are_named_at_the_edge_and_no_box_is_drawn(tmp_path: Path) -> None:
    far = pd.concat(
        [
            several().assign(metric="SAR"),
            system("MIX", "oracle", [83.2] * 5, metric="SAR"),
            system("lone", "run", [4.0, 5.0, 5.0, 6.0, -33.3], metric="SAR"),
        ]
    )
    svg = svg_of(draw_boxplots(far, "vocals", "SAR", tmp_path / "far", [*ORDER, "MIX", "lone"]))
    at = places(svg)
    assert n_filled(svg, SKY_BLUE) == 2 + 1  # IRM1, my-IBM and the legend
    assert at["83 →"][1] == pytest.approx(at["MIX"][1], abs=3) and at["&gt; 80"][1] == pytest.approx(at["MIX"][1], abs=3)
    assert at["← -33"][1] == pytest.approx(at["lone"][1], abs=3)
    assert at["← -33"][0] < at["0"][0] < at["10"][0] < at["83 →"][0]
    assert "20" not in at and "-10" not in at  # the axis keeps to the others


def test_two_systems_of_which_one_lies_far(tmp_path: Path) -> None:
    scores = pd.concat([system("mine", "run", [3.0, 4.0, 5.0]), system("MIX", "oracle", [90.0, 91.0, 92.0])])
    at = places(svg_of(draw_boxplots(scores, "vocals", "SDR", tmp_path / "two", ["MIX", "mine"])))
    assert "91 →" in at and "4.00" in at


@pytest.mark.parametrize("values", [[math.nan, math.nan], [2.0], [2.0, 2.0]])
def test_one_system_with_few_numbers_or_none(values: list[float], tmp_path: Path) -> None:
    svg = svg_of(draw_boxplots(system("mine", "run", values), "vocals", "SDR", tmp_path / "one", ["mine"]))
    assert n_filled(svg, VERMILION) == 1 + (not math.isnan(values[0]))
    assert ("<!-- - -->" in svg) == math.isnan(values[0]) and ("<!-- 2.00 -->" in svg) != math.isnan(values[0])


def test_a_system_without_numbers_keeps_its_row_and_one_without_the_target_does_not(tmp_path: Path) -> None:
    scores = pd.concat([several(), system("none", "run", [math.nan] * 4), system("RGT1", "supervised", [1.0], target="bass")])
    svg = svg_of(draw_boxplots(scores, "vocals", "SDR", tmp_path / "boxes", [*ORDER, "none", "RGT1"]))
    at = places(svg)
    assert at["-"][1] == pytest.approx(at["none (0)"][1], abs=3) and "RGT1" not in at


def test_faults_of_the_scores_are_said(tmp_path: Path) -> None:
    def draw(scores: pd.DataFrame, metric: str = "SDR") -> None:
        draw_boxplots(scores, "vocals", metric, tmp_path / "boxes", [*ORDER, "X"])

    with pytest.raises(InputError, match="No system has a score for vocals SIR; there is vocals SDR"):
        draw(several(), "SIR")
    with pytest.raises(InputError, match="there is nothing"):
        draw(several()[:0])
    with pytest.raises(InputError, match=r"MDL1: more than one system has this name \(run, supervised\); give each"):
        draw(pd.concat([several(), system("MDL1", "run", [1.0])]))
    with pytest.raises(InputError, match="mine: more than one system has this name"):
        draw(pd.concat([several(), system("mine", "run", [1.0])]))
    with pytest.raises(InputError, match=r"X: its kind 'run-extra' is unknown; expected .*oracle, run, blind, extra, supervised"):
        draw(pd.concat([several(), system("X", "run-extra", [1.0])]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mine", "mine-2026-11-21", "a-long-name-of-a-run-with-its-settings", "cost$in$"])
def test_nothing_is_cut_off_at_the_edges(name: str, tmp_path: Path) -> None:
    scores = pd.concat([system(name, "run", [3.5, 4.5, 5.5]), system("MDL1", "supervised", [3.0, 4.0, 5.0])])
    square = pd.DataFrame([[np.nan, 0.01], [0.01, np.nan]], [name, "MDL1"], [name, "MDL1"])
    for paths in (
        draw_boxplots(scores, "vocals", "SDR", tmp_path / "boxes", [name, "MDL1"]),
        draw_pairwise(square, square, "accompaniment SDR (v4; frames=median): paired differences over 50 tracks", tmp_path / "matrix"),
    ):
        dark = mpl.image.imread(paths[SUFFIXES.index(".png")])[..., :3].min(axis=2) < 0.9
        rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
        margins = [rows[0], dark.shape[0] - 1 - rows[-1], columns[0], dark.shape[1] - 1 - columns[-1]]
        assert min(margins) >= 4, paths[0].stem  # pixels of 200 to the inch


@pytest.mark.parametrize("order", [ORDER[1:], [*ORDER, "IRM1"]])
def test_the_order_must_name_every_system_once(order: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every system once"):
        draw_boxplots(several(), "vocals", "SDR", tmp_path / "boxes", order)


@pytest.mark.parametrize("draw", [boxes, three])
def test_a_folder_that_cannot_be_made_is_said(draw: Callable[[Path], list[Path]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="lies below a file"):
        draw(tmp_path / "file" / "figure")


def test_the_matrix_names_rows_and_columns_in_order(matrix: list[Path]) -> None:
    svg = svg_of(matrix)
    found = re.findall(r"<!-- ([ABC]) -->\s*<g[^>]*transform=\"translate\(([-\d.]+) ([-\d.]+)\)([^\"]*)", svg)
    columns = [(float(x), name) for name, x, _, turned in found if "rotate(-90)" in turned]
    rows = [(float(y), name) for name, _, y, turned in found if "rotate(-90)" not in turned]
    assert [name for _, name in sorted(columns)] == ["A", "B", "C"] == [name for _, name in sorted(rows)]
    assert "<!-- vocals SDR, 50 tracks -->" in svg and "row minus column" in svg and "Holm's correction" in svg


def test_significant_cells_are_coloured_and_the_others_hatched(matrix: list[Path]) -> None:
    """A and C do not differ: two cells of nine; three are those of a system with itself."""
    svg = svg_of(matrix)
    assert svg.count("fill: #cccccc") == 3 + 1
    assert len(hatches(svg)) == 2 + 1
    pixels, at = mpl.image.imread(matrix[2]), places(svg)
    for value, higher in {"2.3": "row", "2.5": "row", "-2.3": "column", "-2.5": "column"}.items():
        x, y = (round(200 / 72 * (place - 10)) for place in at[value])
        red, _, blue, _ = pixels[y, x]
        assert (blue > red + 0.1) == (higher == "row") and (red > blue + 0.1) == (higher == "column")


def test_values_stand_in_small_matrices_and_keep_their_cell(matrix: list[Path]) -> None:
    at = places(svg_of(matrix))
    assert at["2.3"][0] > at["-2.3"][0] and at["2.3"][1] < at["-2.3"][1]  # A minus B stands at the upper right
    assert "0.0" in at and "-0.0" not in at and "0.001" not in at


def test_large_matrices_have_no_values_and_far_differences_do_not_drown_the_others(tmp_path: Path) -> None:
    names = [f"S{i}" for i in range(20)]
    scores = np.array([*np.linspace(0, 1.9, 19), 83.0])
    differences = pd.DataFrame(scores[:, None] - scores, names, names)
    svg = svg_of(draw_pairwise(pd.DataFrame(0.001, names, names), differences, "SAR", tmp_path / "matrix"))
    at = places(svg)
    assert "0.1" not in at and "83.0" not in at
    assert max(float(text) for text in at if re.fullmatch(r"-?[\d.]+", text)) <= 4


@pytest.mark.parametrize("names", [["A"], ["A", "B"]])
def test_a_matrix_without_tests(names: list[str], tmp_path: Path) -> None:
    nothing = pd.DataFrame(math.nan, names, names)
    svg = svg_of(draw_pairwise(nothing, nothing, "vocals SDR", tmp_path / "matrix"))
    assert svg.count("fill: #cccccc") == len(names) ** 2 + 1


def test_identical_systems(tmp_path: Path) -> None:
    names = ["A", "B"]
    paths = draw_pairwise(pd.DataFrame(1.0, names, names), pd.DataFrame(0.0, names, names), "vocals SDR", tmp_path / "matrix")
    assert len(re.findall(r"style=\"fill: url\(#", svg_of(paths))) == 2 + 1


def test_faults_of_the_matrix_are_said(tmp_path: Path) -> None:
    one, other = square([[1.0]], ["A"]), square([[1.0]], ["B"])
    with pytest.raises(ValueError, match="same systems in rows and columns"):
        draw_pairwise(one, other, "vocals SDR", tmp_path / "matrix")
    with pytest.raises(InputError, match="vocals SDR: there are no systems to compare"):
        draw_pairwise(one[:0][[]], one[:0][[]], "vocals SDR", tmp_path / "matrix")
    assert list(tmp_path.iterdir()) == []
