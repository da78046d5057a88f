"""What the comparison's page says: its figures as shapes, its tables, its links and its foot."""

import itertools
import re
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from madsep.comparison.boxes import box_of, rows_of, value_range
from madsep.comparison.compare import Options, compare
from madsep.comparison.details import Details
from madsep.comparison.listening import listening_links
from madsep.comparison.page_figures import boxes_values, matrix_values, spark_range, sparkline
from madsep.comparison.page_tables import scatter_values, systems_values, tracks_values
from madsep.comparison.runs import Run
from madsep.comparison.significance import LEVEL, cannot_show, with_attainable
from madsep.comparison.statistics import pairwise_tests, systems_medians
from madsep.comparison.whole_track import whole_track_means
from madsep.core.intervals import Bootstrap
from madsep.data.tracks import slug_of

BOOTSTRAP = Bootstrap(20, 0)
NAN = float("nan")


def tracks_of(system: str, scores: list[float], kind: str = "run", target: str = "vocals") -> pd.DataFrame:
    names = [f"track {number}" for number in range(len(scores))]
    counts = {"n_frames": 4, "nan_share": 0.25}
    return pd.DataFrame({"system": system, "kind": kind, "track": names, "target": target, "metric": "SDR", "median": scores, **counts})


def run_of(name: str, scores: list[float], details: Details | None = None) -> Run:
    columns = ["track", "target", "metric", "median", "n_frames", "nan_share"]
    return Run(name, tracks_of(name, scores)[columns], details=details or Details())


def whole_track(values: dict[str, list[float]]) -> Details:
    rows = [(f"track {number}", "vocals", metric, value) for metric, found in values.items() for number, value in enumerate(found)]
    return Details(pd.DataFrame(rows, columns=["track", "target", "metric", "value"]))


def pairs_of(n_tracks: int, n_systems: int) -> pd.DataFrame:
    """Systems of which each is better than the one before on every track: no test of so many tracks could give less."""
    steps = np.arange(1, n_tracks + 1) / 100
    systems = [tracks_of(f"S{number}", list(number * (1 + steps))) for number in range(n_systems)]
    return with_attainable(pairwise_tests(pd.concat(systems)))


@pytest.mark.parametrize(("n_tracks", "n_systems", "attainable"), [(1, 2, 1), (4, 2, 0.125), (4, 3, 0.375), (6, 2, 1 / 32), (6, 3, 3 / 32)])
def test_the_smallest_p_of_so_many_tracks(n_tracks: int, n_systems: int, attainable: float) -> None:
    """By hand 2 / 2^n, times the number of pairs; the tests of the clearest differences reach it."""
    pairs = pairs_of(n_tracks, n_systems)
    assert list(pairs["p_attainable"]) == pytest.approx([attainable] * len(pairs))
    assert list(pairs["p_holm"]) == pytest.approx([attainable] * len(pairs))
    assert bool(cannot_show(pairs)) == (attainable >= LEVEL)


def test_too_few_tracks_are_said_and_not_hatched() -> None:
    four = matrix_values(pairs_of(4, 2), ["S1", "S0"])
    assert four["cannot"] == "With 4 tracks the paired test's p cannot fall below 0.125, so it cannot tell these systems apart."
    assert four["looks"] == {"cannot", "itself"} and [cell["text"] for cell in four["cells"]] == ["", "1.0", "-1.0", ""]
    six = matrix_values(pairs_of(6, 2), ["S1", "S0"])
    assert six["cannot"] == "" and six["looks"] == {"higher", "lower", "itself"}
    same = with_attainable(pairwise_tests(pd.concat([tracks_of("A", [1, -2, 3, -4, 5, -6]), tracks_of("B", [0] * 6)])))
    assert matrix_values(same, ["A", "B"])["looks"] == {"none", "itself"}
    apart = pd.concat([tracks_of("A", [1, NAN]), tracks_of("B", [NAN, 1])])
    assert matrix_values(with_attainable(pairwise_tests(apart)), ["A", "B"])["looks"] == {"untested", "itself"}
    three = cannot_show(pairs_of(4, 3))
    assert "cannot fall below 0.125, 0.375 after Holm's correction over 3 pairs" in three


def test_stronger_differences_are_darker_and_name_themselves() -> None:
    plot = matrix_values(pairs_of(10, 4), ["S3", "S2", "S1", "S0"])
    first = plot["cells"][1:4]
    opacities = [cell["opacity"] for cell in first]
    assert opacities == sorted(opacities) and len(set(opacities)) == 3
    assert re.fullmatch(r"S3 - S0: \+3\.1\d dB, p = 0\.012", first[2]["title"])


def test_boxes_are_matplotlib_s() -> None:
    """Its quartiles and whiskers, of values with some that lie beyond."""
    from matplotlib.cbook import boxplot_stats

    rng = np.random.default_rng(0)
    for n in (1, 2, 3, 5, 50):
        values = np.concatenate([rng.normal(size=n), rng.normal(size=n // 5) * 10])
        (expected,) = boxplot_stats(values)
        found = box_of(pd.DataFrame({"track": [str(number) for number in range(len(values))], "median": values}))
        assert found[:5] == pytest.approx([expected[key] for key in ("med", "q1", "q3", "whislo", "whishi")])
        assert sorted(value for _, value in found.beyond) == pytest.approx(sorted(expected["fliers"]))


def test_the_shapes_of_boxes_are_to_scale() -> None:
    tracks = pd.concat([tracks_of("A", [1, 2, 3, 4, 20]), tracks_of("IRM1", [5, 6, 7], "run+oracle"), tracks_of("B", [NAN])])
    plot = boxes_values(tracks, "vocals", "SDR", ["A", "B", "IRM1"])
    low, high = value_range(rows_of(tracks, "vocals", "SDR", ["A", "B", "IRM1"]))
    scale = (plot["end"] - plot["start"]) / (high - low)
    first, empty, oracle = plot["rows"]
    assert (empty["box"], empty["median"], empty["name"]) == (None, "-", "B (0)") and first["name"] == "A" and oracle["name"] == "IRM1 (3)"
    assert oracle["box"]["median"] - first["box"]["median"] == pytest.approx(3 * scale, abs=0.2)
    assert first["box"]["third"] - first["box"]["first"] == pytest.approx(2 * scale, abs=0.2)
    assert first["above"] == "20 →" and first["dots"] == [] and oracle["y"] > empty["y"] > first["y"]
    ticks = {float(tick["text"]): tick["x"] for tick in plot["ticks"]}
    assert ticks[6.0] == pytest.approx(oracle["box"]["median"], abs=0.2)
    assert [word for word, _ in plot["legend"]] == ["oracle", "run"]


def test_sparklines_show_frames_in_order_and_leave_gaps() -> None:
    limits = spark_range([np.arange(101.0), np.array([NAN])])
    assert limits == (2, 98) and spark_range([]) == (0, 1) and spark_range([np.array([3.0])]) == (2, 4)
    spark = sparkline(np.array([0.0, 10.0, NAN, 5.0]), (0.0, 10.0))
    assert spark["path"] == "M0 22.0h1L44 2.0M132 12.0h1" and spark["zero"] is None
    assert spark["title"] == "4 frames, 0.0 to 10.0 dB"
    assert sparkline(np.full(3, NAN), (0.0, 1.0))["path"] == ""
    long = sparkline(np.linspace(-1, 1, 1000), (-1.0, 1.0))
    heights = [float(height) for height in re.findall(r"[ML]\d+ ([\d.]+)", long["path"])]
    assert len(heights) <= 66 and heights == sorted(heights, reverse=True) and long["zero"] == 12


def test_whole_track_scores_are_means_beside_medians_and_absent_for_others() -> None:
    run = run_of("A", [1.0, 2.0], whole_track({"uSDR": [1.0, 4.0], "SI-SDR": [0.0, -1.0]}))
    other = run_of("B", [3.0, 4.0])
    names = {"A": "A (run)", "B": "B"}
    means = whole_track_means([run, other], names, BOOTSTRAP)
    assert list(zip(means["system"], means["metric"], means["mean"], strict=True)) == [
        ("A (run)", "SI-SDR", -0.5),
        ("A (run)", "uSDR", 2.5),
    ]
    assert means["definition"][1] == "uSDR[whole track; tracks=mean; n=2]"
    medians = systems_medians(pd.concat([tracks_of("A (run)", [1, 2]), tracks_of("B", [3, 4])]), BOOTSTRAP)
    table = systems_values(medians, means)
    assert table["metrics"] == ["SDR", "uSDR", "SI-SDR"]
    cells = {row["system"]: [cell["text"] for cell in row["cells"]] for row in table["rows"]}
    assert cells == {"B": ["3.50", "-", "-"], "A (run)": ["1.50", "2.50", "-0.50"]}
    assert systems_values(medians, means[:0])["metrics"] == ["SDR"]
    tracks = tracks_values([run, other], "vocals", names, {"track 1": "../listen/index.html#x"})
    assert [(row["track"], row["system"]) for row in tracks["rows"]] == list(itertools.product(["track 0", "track 1"], ["A (run)", "B"]))
    assert [cell["text"] for cell in tracks["rows"][2]["cells"]] == ["2.00", "4.00", "-1.00"]
    assert [bool(row["link"]) for row in tracks["rows"]] == [False, False, True, True]
    scatter = scatter_values(pd.concat([tracks_of("A (run)", [1, 2]), tracks_of("B", [3, NAN])]), [run, other], names)
    assert scatter["vocals"]["systems"]["A (run)"] == {"SDR": [1, 2], "uSDR": [1, 4], "SI-SDR": [0, -1]}
    assert scatter["vocals"]["systems"]["B"] == {"SDR": [3, None]} and scatter["vocals"]["own"] == ["A (run)", "B"]


def test_links_to_the_listening_page_need_one(tmp_path: Path) -> None:
    """One that is there, or will be."""
    name = "Zoë's & <Track>"
    expected = {name: f"../listen/index.html#{slug_of(name)}"}
    assert listening_links(tmp_path / "compare", [name], False) == {} and listening_links(tmp_path / "compare", [name], True) == expected
    (tmp_path / "listen").mkdir()
    (tmp_path / "listen/index.html").write_text(f'"{slug_of(name)}"')
    assert listening_links(tmp_path / "compare", [name, "not on the page"], False) == expected


def test_the_page_escapes_names_and_says_what_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    evil = "<script>alert('x')</script> & \"y\""
    frames = {(evil, "vocals"): np.array([1.0, 2.0])}
    table = tracks_of("A", [1.0, 2.0]).assign(track=[evil, "</script>"])
    columns = ["track", "target", "metric", "median", "n_frames", "nan_share"]
    runs = [Run(name, table[columns], layouts=["stems"], details=Details(frames=frames, engine="fast")) for name in (evil, "plain")]
    for folder in ("one", "two"):
        compare(runs, tmp_path / folder, BOOTSTRAP, Options(listening=True))
    page = (tmp_path / "one/index.html").read_text()
    assert page == (tmp_path / "two/index.html").read_text()
    assert "<script>alert" not in page and "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;y&#34;" in page
    assert page.count("<script") == page.count("</script>") == 3  # theme, numbers, page, and none of the names
    foot = unescape(re.sub(r"<.*?>", "", page[page.index('<footer class="page">') :].split("</footer>")[0]))
    assert "Data: 2 other tracks, read from stems. Scoring engine: fast." in foot and "2023-11-14 22:13 UTC" in foot
    assert re.search(r"madsep \d+\.\d+\.\d+, commit [0-9a-f]{40}(-dirty)?,|not a repository", foot)
