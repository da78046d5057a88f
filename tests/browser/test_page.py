"""The listening page in a real browser."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listened import IMPULSE, NAMES, RATE_HZ, SILENT, SYSTEMS, sdr_of

Open = Callable[..., Any]
SAME_S = 0.005  # in which a position stays the same
N_SOURCES = 3 + 2 * len(SYSTEMS)
MIDDLE = NAMES[1]
# within one second of the tone, which repeats without a seam
IN_THE_TONE = "player.transport.seek(3), player.transport.setLoop({start: 3, end: 4})"


@pytest.fixture(params=["file", "http"])
def flac(request: pytest.FixtureRequest, pages: dict[str, Path], open_page: Open) -> Any:
    """The page with FLAC, opened from its folder and from a server."""
    return open_page(pages["flac"] if request.param == "file" else request.getfixturevalue("served"))


@pytest.fixture
def page(pages: dict[str, Path], open_page: Open) -> Any:
    return open_page(pages["flac"])


def db_of_tone(gain: float) -> float:
    """Level in dB of the tone of the vocals, amplitude 0.25: a sine of amplitude a has the power a^2 / 2."""
    return float(10 * np.log10((0.25 * gain) ** 2 / 2))


def drift(page: Any, action: str) -> float:
    """Seconds by which an action moves the position against the clock of the audio."""
    lag = "player.transport.currentTime - player.transport.context.currentTime"
    return float(page.get(f"(() => {{ const before = {lag}; {action}; return ({lag}) - before }})()"))


def position(page: Any) -> float:
    return float(page.get("player.transport.currentTime"))


def level(page: Any) -> float:
    page.page.wait_for_timeout(200)
    return float(page.get("player.transport.level"))


def test_the_page_plays_and_asks_for_nothing_but_its_own_files(flac: Any) -> None:
    flac.page.click("#play")
    flac.wait("player.transport.currentTime > 0.3")
    flac.wait("player.transport.level > -40")
    assert flac.page.inner_text("#play") == "Pause"
    flac.page.click("#play")
    stopped = position(flac)
    flac.page.wait_for_timeout(100)
    assert position(flac) == stopped
    own = flac.address.removesuffix("index.html")
    assert [url for url in flac.requests if not url.startswith((own, "data:", "blob:"))] == []
    assert len(flac.requests) > N_SOURCES
    assert flac.faults == []


def test_a_switch_keeps_the_position_and_the_chosen_source_is_heard(page: Any) -> None:
    page.get(IN_THE_TONE)
    page.press("Space")
    page.wait("player.transport.level > -40")
    for number, gain in ((2, 1.0), (3, 0.5), (4, 0.05), (2, 1.0)):
        assert abs(drift(page, f"document.querySelectorAll('#sources .hear')[{number - 1}].click()")) < SAME_S
        assert level(page) == pytest.approx(db_of_tone(gain), abs=0.5)
        assert page.page.get_attribute(f"#sources .source >> nth={number - 1} >> .hear", "aria-pressed") == "true"


def test_a_switch_joins_the_sources_sample_for_sample(page: Any) -> None:
    """Two sources hold the same ramp. Rendered offline, with a switch in the middle, what is heard is the ramp, without a step."""
    rendered = page.get(
        """(async () => {
        const context = new OfflineAudioContext(1, 22050, 44100), transport = new Transport(context);
        const ramp = new AudioBuffer({length: 44100, sampleRate: 44100});
        ramp.copyToChannel(Float32Array.from({length: 44100}, (_, i) => i / 44100), 0);
        const other = new AudioBuffer({length: 44100, sampleRate: 44100});
        other.copyToChannel(ramp.getChannelData(0), 0);
        transport.load(new Map([[0, ramp], [1, other]]));
        transport.setLevels(new Map([[0, 1], [1, 0]]));
        transport.offset = 0.1;
        transport.restart();
        context.suspend(0.25).then(() => { transport.setLevels(new Map([[0, 0], [1, 1]])); context.resume(); });
        return Array.from((await context.startRendering()).getChannelData(0));
    })()"""
    )
    begin = round(0.01 * RATE_HZ)  # the lead
    expected = (np.arange(len(rendered)) - begin) / RATE_HZ + 0.1
    settled = slice(begin + round(0.02 * RATE_HZ), None)
    np.testing.assert_allclose(np.array(rendered)[settled], expected[settled], atol=1e-5)


@pytest.mark.parametrize(("kind", "slack"), [("flac", 0), ("opus", 2)])
def test_an_impulse_is_at_its_sample_in_every_source(pages: dict[str, Path], open_page: Open, kind: str, slack: int) -> None:
    """Opus at 48 kHz may smear it by a sample or two of 44.1 kHz."""
    page = open_page(pages[kind])
    start = page.get("player.track.part.start")
    found = page.get(
        """Array.from(player.transport.buffers.values(), (buffer) => {
        const samples = buffer.getChannelData(0);
        return samples.reduce((best, sample, i) => Math.abs(sample) > Math.abs(samples[best]) ? i : best, 0);
    })"""
    )
    assert len(found) == N_SOURCES
    assert all(abs(sample + round(start * RATE_HZ) - IMPULSE) <= slack for sample in found)
    assert page.get("player.transport.context.sampleRate") == RATE_HZ
    assert page.get("DATA.suffix") == f".{kind}"


def test_the_impulse_is_heard_at_its_sample_whichever_source_is_chosen(page: Any) -> None:
    """What the graph plays of each source alone, rendered offline from the beginning: the impulse comes after the lead."""
    start = page.get("player.track.part.start")
    heard = page.get(
        """(async () => {
        const { buffers } = player.transport, found = [];
        for (const source of buffers.keys()) {
            const context = new OfflineAudioContext(1, 44100, 44100), transport = new Transport(context);
            transport.load(buffers);
            transport.setLevels(new Map([[source, 1]]));
            transport.restart();
            const samples = (await context.startRendering()).getChannelData(0);
            found.push(samples.reduce((best, sample, i) => Math.abs(sample) > Math.abs(samples[best]) ? i : best, 0));
        }
        return found;
    })()"""
    )
    lead = round(0.01 * RATE_HZ)
    assert heard == [IMPULSE - round(start * RATE_HZ) + lead] * N_SOURCES


def test_the_curves_are_drawn_through_the_scores(page: Any) -> None:
    """Each frame is a level line from its beginning to its end; heights are one straight line of the scores for all systems together."""
    page.wait("document.querySelectorAll('#overview .curve').length === 2")
    width = page.get("document.getElementById('overview').clientWidth")
    heights, scores = [], []
    for system in range(len(SYSTEMS)):
        path = page.page.locator("#overview .curve").nth(system).get_attribute("d")
        points = np.array([[float(number) for number in point.split()] for point in re.split("[ML]", path) if point])
        values = np.array(sdr_of(0, system, 6))
        frames = np.flatnonzero(~np.isnan(values))
        np.testing.assert_allclose(points[0::2, 0], frames * width / 6, atol=0.06)
        np.testing.assert_allclose(points[1::2, 0], (frames + 1) * width / 6, atol=0.06)
        np.testing.assert_array_equal(points[0::2, 1], points[1::2, 1])
        heights += list(points[0::2, 1])
        scores += list(values[frames])
    slope, height = np.polyfit(scores, heights, 1)
    assert slope < -1
    np.testing.assert_allclose(slope * np.array(scores) + height, heights, atol=0.1)


def test_a_click_on_the_curve_plays_that_second(page: Any) -> None:
    page.page.locator("#detail").scroll_into_view_if_needed()
    box = page.page.locator("#detail").bounding_box()
    page.page.mouse.click(box["x"] + box["width"] * 3.5 / 5, box["y"] + 20)
    page.wait("!player.transport.paused")
    assert 3 <= position(page) < 4
    page.wait("player.transport.paused")
    assert position(page) == pytest.approx(4)
    start = page.get("player.track.part.start")
    shown = page.page.inner_text("#values")
    assert f"MDL1 {sdr_of(0, 0, 6)[round(start) + 3]:.2f} dB" in shown


def test_silent_frames_are_shown(page: Any) -> None:
    assert page.page.locator("#overview .silent").count() == len(SYSTEMS)
    page.get(f"player.playFrame({SILENT})")
    assert page.page.inner_text("#values").count("no score (silent)") == len(SYSTEMS)


def test_worst_and_best_frames_are_one_key_away(page: Any) -> None:
    start = round(page.get("player.track.part.start"))
    heard = [(sdr, second) for second, sdr in enumerate(sdr_of(0, 0, 6)) if start <= second < start + 5 and sdr == sdr]
    page.press("3")
    for key, expected in (("w", min(heard)), ("b", max(heard, key=lambda pair: (pair[0], -pair[1])))):
        page.press(key)
        assert page.page.inner_text("#values").startswith(f"0:{expected[1]:02d} to ")
        page.wait(f"player.transport.currentTime >= {expected[1] - start}")
        assert position(page) <= expected[1] - start + 1


def test_the_keyboard(page: Any) -> None:
    pressed = "Array.from(document.querySelectorAll('#sources .hear[aria-pressed=true]'), (_, i) => i).length"
    selected = "Array.from(document.querySelectorAll('#sources .hear')).findIndex((hear) => hear.ariaPressed === 'true')"
    page.press("4")
    assert (page.get(pressed), page.get(selected)) == (1, 3)
    page.press("ArrowDown")
    assert page.get(selected) == 4
    page.press("ArrowUp", "ArrowUp")
    assert page.get(selected) == 2
    page.press("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft")
    assert position(page) == pytest.approx(2)
    page.press("m")
    assert page.get(pressed) == 0
    page.press("s")
    assert (page.get(pressed), page.get(selected)) == (1, 2)
    page.press("Space")
    page.wait("!player.transport.paused")
    page.press("Space")
    assert page.get("player.transport.paused")
    page.page.evaluate("document.getElementById('keys').checked = false")
    page.press("1")
    assert page.get(selected) == 2


def test_solo_adds_and_mute_takes_away(page: Any) -> None:
    page.press("2")
    page.page.click("#sources .source >> nth=2 >> .mute")
    heard = page.get("Array.from(player.transport.levels.values(), (gain) => Number(gain > 0))")
    assert heard == [0, 1, 1, 0, 0, 0, 0]
    page.page.click("#sources .source >> nth=5 >> .solo")
    assert page.get("Array.from(player.transport.levels.values(), (gain) => Number(gain > 0))") == [0, 0, 0, 0, 0, 1, 0]
    page.page.click("#sources .source >> nth=5 >> .solo")
    assert page.get("Array.from(player.transport.levels.values(), (gain) => Number(gain > 0))") == heard


def test_a_loop_repeats_its_region(page: Any) -> None:
    page.get("player.transport.seek(1)")
    page.press("[")
    page.get("player.transport.seek(1.3)")
    page.press("]", "Space")
    page.wait("!player.transport.paused")
    page.page.wait_for_timeout(1500)
    assert page.get("document.getElementById('loop').checked")
    assert all(1 <= position(page) < 1.3 for _ in range(20))
    page.press("l")
    page.wait("player.transport.currentTime > 1.4")


def test_dragging_over_the_waveform_makes_a_loop(page: Any) -> None:
    page.page.locator("#waveform").scroll_into_view_if_needed()
    box = page.page.locator("#waveform").bounding_box()
    page.page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 20)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20, steps=8)
    page.page.mouse.up()
    loop = page.get("player.transport.loop")
    assert (loop["start"], loop["end"]) == (pytest.approx(1, abs=0.1), pytest.approx(2.5, abs=0.1))
    page.page.wait_for_timeout(500)  # the library takes no click right after a drag
    page.page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 20)
    page.wait("player.transport.currentTime > 0")
    assert position(page) == pytest.approx(4, abs=0.05)


def test_loudness_is_matched_only_if_asked_for(page: Any) -> None:
    page.get(IN_THE_TONE)
    page.press("Space")
    page.wait("player.transport.level > -60")
    page.press("2")
    loud = level(page)
    page.press("3")
    assert loud - level(page) == pytest.approx(6.02, abs=0.5)
    page.press("g", "2")
    loud = level(page)
    page.press("3")
    assert loud - level(page) == pytest.approx(0, abs=0.5)


def test_another_track_is_opened_with_its_own_curves(page: Any) -> None:
    page.page.locator("#tracks button", has_text=MIDDLE).click()
    page.wait(f"player.isReady && document.getElementById('track-name').textContent === {MIDDLE!r}")
    page.press("Space")
    page.wait("player.transport.level > -60")
    assert page.faults == []


def test_names_show_as_text(page: Any) -> None:
    text = page.page.inner_text("body")
    assert all(name in text for name in (*NAMES, *SYSTEMS))
    assert page.page.locator("#tracks script, #sources script, #legend script").count() == 0
    assert page.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["flac", "scores"])
def test_it_fits_a_phone_and_axe_finds_no_serious_fault(pages: dict[str, Path], open_page: Open, kind: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    page = open_page(pages[kind], 400, scheme)
    assert page.get("document.documentElement.scrollWidth") <= 400
    page.page.locator("details").evaluate_all("all => all.forEach((details) => { details.open = true })")
    assert page.get("document.documentElement.scrollWidth") <= 400
    violations = axe.Axe().run(page.page).response["violations"]
    assert [(found["id"], found["nodes"][0]["html"]) for found in violations if found["impact"] in ("serious", "critical")] == []


def test_the_themes_differ(pages: dict[str, Path], open_page: Open) -> None:
    opened = [open_page(pages["scores"], scheme=scheme) for scheme in ("light", "dark")]
    colours = [page.get("getComputedStyle(document.body).backgroundColor") for page in opened]
    assert colours == ["rgb(255, 255, 255)", "rgb(21, 24, 28)"]


def test_scores_alone_make_a_page_of_curves_that_says_so(pages: dict[str, Path], open_page: Open) -> None:
    page = open_page(pages["scores"])
    assert "no audio" in page.page.inner_text("#part")
    assert not page.page.locator("#audio").is_visible() and not page.page.locator("#heard").is_visible()
    assert page.page.locator("#overview .curve").count() == 1
    page.press("w", "Space", "1", "ArrowRight", "m", "l", "[", "g")
    assert "MDL1" in page.page.inner_text("#values")
    assert page.faults == []


def test_a_page_without_its_audio_says_where_it_is(pages: dict[str, Path], open_page: Open, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes((pages["flac"] / "index.html").read_bytes())
    page = open_page(tmp_path, has_audio=False)
    page.wait("document.getElementById('message').textContent.includes('cannot be loaded')")
    assert page.page.locator("#overview .curve").count() == len(SYSTEMS)
