import math
import re
from pathlib import Path

import pandas as pd

from madsep.comparison.report import medians_html, plot_boxplots
from madsep.scoring.aggregate import sisec_medians, summarise, track_medians
from madsep.scoring.scores import METRICS


def score_table(offset: float, n_tracks: int = 7) -> pd.DataFrame:
    rows = [
        (f"t{i}", target, metric, frame, 1, offset + i + frame)
        for i in range(n_tracks)
        for target in ("vocals", "accompaniment")
        for metric in METRICS
        for frame in range(3)
    ]
    return pd.DataFrame(rows, columns=["track", "target", "metric", "time", "duration", "score"])


def n_dots(svg: str, colour: str) -> int:
    return len(re.findall(rf"<use [^>]*style=\"fill: {colour}; stroke: #000000", svg))


def read_tables(path: Path) -> list[list[dict[str, str]]]:
    """The page's tables, each a list of rows: heading -> text."""
    tables = []
    for table in re.findall(r"<table.*?</table>", path.read_text(), re.DOTALL):
        headings = re.findall("<th>(.*?)</th>", table)
        rows = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
        tables.append([dict(zip(headings, re.findall("<td>(.*?)</td>", row), strict=True)) for row in rows])
    return tables


def test_boxplots_show_every_track(tmp_path: Path) -> None:
    system = track_medians(score_table(4.0))
    system.loc[system.index[0], "median"] = math.nan
    baseline = track_medians(score_table(-2.0))
    path = tmp_path / "boxplots.svg"
    plot_boxplots({"MDL1": system, "MIX": baseline}, path)
    svg = path.read_text()
    assert n_dots(svg, "#1f77b4") == 7 * 2 * 4 - 1
    assert n_dots(svg, "#999999") == 7 * 2 * 4
    for label in ("vocals", "accompaniment", "MDL1", "MIX", "median over frames, dB", *METRICS):
        assert f"<!-- {label} -->" in svg


def test_far_baseline_is_named_at_the_edge(tmp_path: Path) -> None:
    system, baseline = track_medians(score_table(4.0)), track_medians(score_table(-2.0))
    baseline.loc[baseline["metric"] == "SAR", "median"] = 83.2
    path = tmp_path / "boxplots.svg"
    plot_boxplots({"MDL1": system, "MIX": baseline}, path)
    svg = path.read_text()
    assert svg.count("<!-- ↑ 83 -->") == 2 and "<!-- 80 -->" not in svg
    plot_boxplots({"MIX": baseline}, path)
    assert "↑" not in path.read_text() and "<!-- 83" in path.read_text()


def test_figures_are_the_same_every_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        plot_boxplots({"MDL1": track_medians(score_table(0.0))}, tmp_path / f"box-{name}.svg")
    assert (tmp_path / "box-a.svg").read_bytes() == (tmp_path / "box-b.svg").read_bytes()
    assert "<dc:date>" not in (tmp_path / "box-a.svg").read_text()


def test_one_track_and_tracks_without_numbers(tmp_path: Path) -> None:
    one = track_medians(score_table(1.0, n_tracks=1))
    plot_boxplots({"MDL1": one, "MIX": one}, tmp_path / "one.svg")
    assert n_dots((tmp_path / "one.svg").read_text(), "#1f77b4") == 8
    plot_boxplots({"MDL1": one.assign(median=math.nan)}, tmp_path / "none.svg")
    assert n_dots((tmp_path / "none.svg").read_text(), "#1f77b4") == 0


def test_page_gives_every_number_with_its_recipe(tmp_path: Path) -> None:
    scores, mixture = score_table(4.0), score_table(-2.0)
    scores.loc[scores["time"] == 2, "score"] = math.nan
    summary = summarise(scores, seed=0, n_resamples=50)
    path = tmp_path / "medians.html"
    medians_html(summary, sisec_medians(scores), sisec_medians(mixture), path)
    beside, every = read_tables(path)
    row = beside[0]
    # the tracks' medians are 4.5 .. 10.5 and, for the mixture, -1 .. 5
    assert [row["target"], row["metric"]] == ["vocals", "SDR"]
    assert [row["median"], row["MIX"], row["gain"]] == ["7.50", "2.00", "5.50"]
    assert [row["tracks"], row["NaN frames"], row["NaN frames, MIX"]] == ["7", "33.3%", "0.0%"]
    assert row["recipe"] == "SDR[v4; frames=median; tracks=median; n=7; nan=33.3%]"
    interval = summary.loc[summary["aggregation"] == "sisec"].iloc[0]
    assert row["95 % interval"] == f"{interval['ci_low']:.2f} .. {interval['ci_high']:.2f}"
    assert len(beside) == 8 and len(every) == 8 * 5
    assert [row["recipe"] for row in every] == list(summary["recipe"])
    assert not re.search(r"(src|href)=|<script", path.read_text())


def test_page_without_baseline_or_interval_shows_dashes(tmp_path: Path) -> None:
    scores = score_table(4.0, n_tracks=1)
    medians = sisec_medians(scores)
    path = tmp_path / "medians.html"
    medians_html(summarise(scores, 0, 10), medians, medians[:0], path)
    html = path.read_text()
    assert "nan" not in html.replace("nan=0.0%", "").lower().replace("nan frames", "").replace("(nan)", "")
    assert "<td>-</td>" in html
