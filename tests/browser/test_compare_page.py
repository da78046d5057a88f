"""The comparison's page in a browser: sorting, filtering, the scatter, themes, narrow windows, accessibility."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from madsep.comparison.compare import Options, compare
from madsep.comparison.details import Details
from madsep.comparison.later import later_results
from madsep.comparison.published import published_frames, published_track_medians
from madsep.comparison.runs import COLUMNS, Run
from madsep.core.intervals import Bootstrap

Open = Callable[..., Any]
EVIL = "<img src=x onerror=alert(1)> & 'a' \"b\" -- a name that is far longer than any column of a table on a telephone"


def other_run(name: str, gain_db: float) -> Run:
    """Of four tracks, with frames and whole-track scores."""
    rows, whole, frames = [], [], {}
    for number, track in enumerate((EVIL, "B", "C", "D")):
        for target in ("vocals", "accompaniment"):
            rows += [
                (track, target, metric, gain_db + number + place, 60, 0.1) for place, metric in enumerate(("SDR", "SIR", "ISR", "SAR"))
            ]
            whole += [(track, target, metric, gain_db - number) for metric in ("uSDR", "SI-SDR")]
            frames[track, target] = np.where(np.arange(60) % 20 < 18, gain_db + np.sin(np.arange(60) / 5), np.nan)
    medians = pd.DataFrame(rows, columns=list(COLUMNS))
    details = Details(pd.DataFrame(whole, columns=["track", "target", "metric", "value"]), frames, "fast")
    return Run(name, medians, details=details)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with the campaign's systems, and one on four other tracks."""
    tracks = published_track_medians()
    own = tracks[tracks["system"] == "MDL1"].assign(n_frames=tracks["track"].map(published_frames()), nan_share=0.0)
    folder = tmp_path_factory.mktemp("compared") / "compare"
    runs = [Run("MDL1", own[list(COLUMNS)]), other_run("X & <b>", 3.0), other_run("Y", 1.0)]
    compare(runs, folder, Bootstrap(20, 0), Options(listening=True))
    return folder


@pytest.fixture
def page(folder: Path, open_page: Open) -> Any:
    return open_page(folder, has_audio=False)


def column(page: Any, table: str, number: int) -> list[str]:
    """The first lines of a column's visible cells."""
    cells = page.page.locator(f"{table} >> tbody tr:visible td:nth-child({number})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def test_it_asks_for_nothing_and_prints_no_fault(page: Any, folder: Path) -> None:
    page.page.locator("details").evaluate_all("all => all.forEach((details) => { details.open = true })")
    assert page.faults == [] and [request for request in page.requests if not request.startswith("data:")] == [
        (folder / "index.html").as_uri()
    ]
    assert page.page.locator("b, img").count() == 0 and EVIL in page.page.inner_text("body")


def test_headings_sort_by_number_and_by_name(page: Any) -> None:
    table = "[aria-label='Systems, vocals'] >> nth=0"
    sdr = [float(text) for text in column(page, table, 2)]
    assert sdr == sorted(sdr, reverse=True) and len(sdr) == 32
    heading = page.page.locator(table).locator("th")
    heading.nth(1).locator("button").click()
    assert [float(text) for text in column(page, table, 2)] == sorted(sdr)
    assert heading.nth(1).get_attribute("aria-sort") == "ascending"
    heading.nth(0).locator("button").click()
    names = column(page, table, 1)
    assert names == sorted(names, key=str.lower) and heading.nth(1).get_attribute("aria-sort") is None


def test_tracks_are_filtered_and_link_to_where_they_can_be_heard(page: Any) -> None:
    part = page.page.locator("#other-1 .tracks-of").first
    part.locator("summary").click()
    assert part.locator("tbody tr:visible").count() == 8 and part.locator("svg.spark path").count() == 8
    part.locator("input").fill("ONERROR img")
    assert [row.locator("td").nth(1).inner_text() for row in part.locator("tbody tr:visible").all()] == ["X & <b>", "Y"]
    assert "2 of 8 rows" in part.inner_text()
    assert part.locator("tbody tr:visible a").first.get_attribute("href").startswith("../listen/index.html#img-src-x")


def test_later_results_are_filtered_by_audio_extra_data_and_year(page: Any) -> None:
    table, chosen = later_results(), page.page.locator("#later-filters select")
    expected = table
    for name, choice, keeps in (
        ("year", "2021", table["year"] == 2021),
        ("audio", "stems", table["audio"] == "stems"),
        ("extra", "extra songs", table["extra_songs"] != "none"),
    ):
        page.page.locator(f"#later-filters select[data-filter={name}]").select_option(choice)
        n_before, expected = len(expected), expected[keeps.reindex(expected.index)]
        assert sorted(column(page, "#later-table", 1)) == sorted(expected["system"]) and 0 < len(expected) < n_before
    for number in range(chosen.count()):
        chosen.nth(number).select_option("all")
    assert len(column(page, "#later-table", 1)) == len(table) and page.faults == []


def test_only_a_run_s_targets_are_open(page: Any) -> None:
    assert page.page.locator("#sisec18 h3").all_inner_texts()[1:4] == ["vocals", "accompaniment", "Other targets"]
    folded = page.page.locator("#sisec18-others ~ details")
    assert (
        folded.locator("> summary").all_inner_texts()[:3] == ["drums", "bass", "other"] and not folded.first.locator("table").is_visible()
    )


def test_the_scatter_draws_any_two_metrics_and_names_tracks(page: Any) -> None:
    part = page.page.locator("#other-1 .scatter")
    assert part.locator("circle").count() == 4 and "4 tracks" in part.locator("figcaption").inner_text()
    assert [part.locator(f"select[name={name}]").input_value() for name in ("target", "x-system", "y-system")] == ["vocals", "Y", "X & <b>"]
    assert "4 tracks lie above it" in part.locator("figcaption").inner_text()
    assert part.locator("select[name=x-metric] option").all_inner_texts() == ["SDR", "SIR", "ISR", "SAR", "uSDR", "SI-SDR"]
    part.locator("select[name=x-metric]").select_option("uSDR")
    labels = part.locator("svg > text").all_text_contents()
    assert "Y uSDR, dB" in labels and "X & <b> SDR, dB" in labels and "above" not in part.locator("figcaption").inner_text()
    tip = part.locator(".tip")
    assert not tip.is_visible()
    part.locator("circle").nth(2).scroll_into_view_if_needed()
    box = part.locator("circle").nth(2).bounding_box()
    page.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert tip.inner_text() == "C: -1 / 5 dB"
    other = page.page.locator("#sisec18 .scatter")
    chosen = [other.locator(f"select[name={name}]").input_value() for name in ("x-system", "y-system")]
    assert chosen == ["MDL1", "MDL1 (run)"] and other.locator("circle").count() == 50
    assert page.faults == []


def test_four_tracks_are_called_too_few(page: Any) -> None:
    text = page.page.inner_text("#other-1")
    assert "With 4 tracks the paired test's p cannot fall below 0.125" in text and "not significant" not in text
    assert page.page.locator("#other-1 .cell-none").count() == 0 and page.page.locator("#sisec18 .cell-none").count() > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_axe_finds_no_serious_fault(folder: Path, open_page: Open, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = open_page(folder, width, scheme, has_audio=False)
    page.page.locator("details").evaluate_all("all => all.forEach((details) => { details.open = true })")
    assert page.get("document.documentElement.scrollWidth") <= width
    violations = axe.Axe().run(page.page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"][:200]) for found in violations if found["impact"] in ("serious", "critical")] == []
    assert page.faults == []


def test_the_switch_goes_round_the_themes_and_is_remembered(page: Any) -> None:
    def shown() -> tuple[str, str]:
        return page.page.locator("#theme").inner_text(), page.get("getComputedStyle(document.body).backgroundColor")

    light, dark = "rgb(255, 255, 255)", "rgb(21, 24, 28)"
    assert shown() == ("Theme: auto", light)
    page.page.locator("#theme").click()
    page.page.locator("#theme").click()
    assert shown() == ("Theme: dark", dark)
    page.page.reload()
    assert shown() == ("Theme: dark", dark)
    page.page.emulate_media(color_scheme="dark")
    page.page.locator("#theme").click()
    assert shown() == ("Theme: auto", dark)


def test_the_contents_lead_to_each_part(page: Any) -> None:
    links = page.page.locator("nav.contents a")
    assert links.count() > 10
    for link in links.all():
        anchor = link.get_attribute("href").removeprefix("#")
        assert page.get(f"document.getElementById({anchor!r}) !== null"), anchor
    assert "madsep" in page.page.inner_text("footer") and "Scoring engine: fast" in page.page.inner_text("footer")
