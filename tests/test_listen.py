"""The listening page without a browser: which tracks and parts it shows, how excerpts are written, what it is made from."""

import json
import re
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from listened import IMPULSE, NAMES, RATE_HZ, SYSTEMS, make_material, sdr_of, signals, write_scores
from scored import write_estimates, write_prepared_tracks
from typer.testing import CliRunner

from madsep.cli import app
from madsep.core.errors import InputError
from madsep.listening.choice import choose_part, choose_tracks
from madsep.listening.excerpts import MB, Excerpt, _write_opus, fit, longest_s, script, write_flac
from madsep.listening.listen import Options, listen
from madsep.listening.serve import make_server
from madsep.listening.sources import Material, System, Tree, read_frames, read_material, read_run
from madsep.scoring.scores import COLUMNS

NAN = float("nan")


def system_of(name: str, scores: dict[str, list[float]]) -> System:
    """A system with the SDR of the vocals in frames of 1 s, by track."""
    rows = [(track, "vocals", "SDR", float(i), 1.0, value) for track, values in scores.items() for i, value in enumerate(values)]
    return System(name, pd.DataFrame(rows, columns=COLUMNS))


def data_of(page: Path) -> dict[str, object]:
    """What a page's scripts are given."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    data: dict[str, object] = json.loads(found[1])
    return data


def test_worst_median_and_best_track_of_each_system_are_chosen_then_those_named() -> None:
    one = system_of("one", {"a": [1, 3, NAN], "b": [5, 5], "c": [9, 7], "d": [NAN, NAN], "e": [6, 6]})
    other = system_of("other", {"a": [4, 4], "b": [2, 2], "c": [3, 3]})
    floor = system_of("MIX", {"a": [0, 0], "e": [9, 9]})
    assert choose_tracks([floor, one, other], ["d", "a"]) == {
        "a": ["worst of one, 2.00 dB", "best of other, 4.00 dB", "named"],
        "b": ["median of one, 5.00 dB", "worst of other, 2.00 dB"],  # of four tracks with a number, the lower one of the middle
        "c": ["best of one, 8.00 dB", "median of other, 3.00 dB"],
        "d": ["named"],
    }
    assert list(choose_tracks([floor], [])) == ["a", "e"]


def test_a_track_that_is_not_there_and_scores_without_a_number_are_refused() -> None:
    with pytest.raises(InputError, match="no system has scores of the track 'Lats'; did you mean 'Last'"):
        choose_tracks([system_of("one", {"Last": [1.0]})], ["Lats"])
    with pytest.raises(InputError, match="no track has an SDR"):
        choose_tracks([system_of("one", {"a": [NAN]})], [])


def test_the_part_is_where_frames_are_defined_and_the_score_is_typical() -> None:
    """The track's median is 5. Frames 4 to 6 have it, too; frames 0 to 2 are nearer to it, but one of them is silent."""
    scores = {"a": [5, NAN, 5, 9, 8, 4, 5, 6]}
    part = choose_part([system_of("one", scores)], "a", 3.0, 8.3)
    assert (part.start_s, part.length_s, part.n_frames, part.n_defined, part.median_db, part.track_median_db) == (4, 3, 3, 3, 5, 5)
    silent = choose_part([system_of("one", scores), system_of("other", {"a": [5.0] * 4 + [NAN] * 4})], "a", 3.0, 8.3)
    assert silent.start_s == 0 and silent.n_defined == 2  # in both systems
    assert choose_part([system_of("one", scores)], "a", 30.0, 8.3).length_s == pytest.approx(8.3)
    nothing = choose_part([system_of("one", {"a": [NAN, NAN]})], "a", 1.0, 2.0)
    assert nothing.start_s == 0 and np.isnan(nothing.median_db)


def test_flac_keeps_16_bit_samples_and_the_script_its_bytes(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, (2, RATE_HZ)).astype(np.float32) / 2**15
    excerpt = write_flac(samples, RATE_HZ, tmp_path / "x")
    found, rate_hz = sf.read(tmp_path / "x.flac", dtype="int16")
    np.testing.assert_array_equal(found.T, samples * 2**15)
    assert rate_hz == RATE_HZ and excerpt.peak == np.abs(samples).max()
    text = script(tmp_path / "x.flac")
    assert text.startswith(b'madsepExcerpt("x.flac","') and text.endswith(b'")\n')
    unescaped = re.sub(rb'\\([\\"nr])', lambda found: {b"n": b"\n", b"r": b"\r"}.get(found[1], found[1]), text[24:-3])
    assert unescaped == (tmp_path / "x.flac").read_bytes()
    assert b"\n" not in text[:-1] and len(text) < 1.03 * len(unescaped)


def test_what_exceeds_full_scale_is_clipped_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = np.array([[0.5, 1.5, -1.5, -1.0]], np.float32)
    write_flac(samples, RATE_HZ, tmp_path / "x")
    assert sf.read(tmp_path / "x.flac", dtype="int16")[0].tolist() == [16384, 32767, -32768, -32768]
    assert "2 samples are above full scale" in caplog.text


def test_loudness_is_that_of_the_recommendation(tmp_path: Path) -> None:
    """ITU-R BS.1770: a sine of 997 Hz at full scale in one channel has -3.01 LUFS; silence has no loudness."""
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000)
    stereo = np.stack([sine, 0 * sine])
    assert write_flac(stereo * 0.99, 48_000, tmp_path / "x").loudness_lufs == pytest.approx(-3.01 + 20 * np.log10(0.99), abs=0.05)
    assert write_flac(0 * stereo, 48_000, tmp_path / "y").loudness_lufs is None
    assert write_flac(stereo[:, :10], 48_000, tmp_path / "z").loudness_lufs is None


def noise(folder: Path, n_files: int, duration_s: int) -> list[Excerpt]:
    rng = np.random.default_rng(0)
    return [write_flac(0.1 * rng.standard_normal((2, duration_s * RATE_HZ)), RATE_HZ, folder / f"{number}") for number in range(n_files)]


def test_excerpts_are_flac_if_they_fit_then_opus_then_shorter(tmp_path: Path) -> None:
    excerpts = noise(tmp_path, 2, 4)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    coding = fit(excerpts, 2.1 * size)
    assert coding.words.startswith("FLAC") and len(list(tmp_path.glob("*.flac.js"))) == 2
    for path in tmp_path.glob("*.js"):
        path.unlink()
    shorter = fit(excerpts, 0.1 * MB)
    assert shorter.words == "" and 0 < shorter.share < 1
    coding = fit(excerpts, 0.3 * MB)
    assert coding.words.startswith("Opus") and "FLAC would have taken" in coding.words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.opus", "0.opus.js", "1.opus", "1.opus.js"]
    assert 0.15 * MB < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 0.3 * MB
    assert sf.info(tmp_path / "0.opus").duration == pytest.approx(4, abs=0.001)


def test_excerpts_are_encoded_as_opus_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first bit rate fits, and uses most of what is allowed; the longest excerpts that are promised fit, too."""
    written: list[float] = []

    def counted(excerpts: Sequence[Excerpt], bit_rate: float) -> list[int]:
        written.append(bit_rate)
        return _write_opus(excerpts, bit_rate)

    monkeypatch.setattr("madsep.listening.excerpts._write_opus", counted)
    for max_mb in (0.5, 0.9 * 0.5):
        excerpts = noise(tmp_path / str(max_mb), 3, 4)
        assert fit(excerpts, max_mb * MB).words.startswith("Opus")
        size = sum(path.stat().st_size for path in (tmp_path / str(max_mb)).iterdir())
        assert 0.85 * max_mb * MB < size <= max_mb * MB and len(written) == 1
        written.clear()
    assert longest_s(2, 0.2 * MB) == pytest.approx(0.95 * 0.2e6 / (2 * 4000) / 2, rel=0.01)


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make_material(tmp_path_factory.mktemp("material"))


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["listen", *arguments])
    return result.exit_code, str(result.exception) if isinstance(result.exception, InputError) else result.output


def test_the_page_holds_names_as_data_and_names_no_address_but_its_own(arguments: list[str], tmp_path: Path) -> None:
    status, output = invoke(*arguments, "-o", str(tmp_path / "page"), "--excerpt-s", "5", "--track", NAMES[1])
    assert (status, output) == (0, f"{tmp_path}/page/index.html\n")
    page = tmp_path / "page/index.html"
    text, data = page.read_text(), data_of(page)
    assert "alert(1)</script>" not in text and "<script>alert" not in text
    assert not re.findall(r'(?:src|href)="(?!data:)', text.partition('<script type="application/json"')[0])
    assert data["systems"] == list(SYSTEMS)
    track = next(track for track in data["tracks"] if track["name"] == NAMES[1])
    assert track["reasons"][-1] == "named" and track["curves"]["vocals"]["scores"]["MDL1"]["SDR"] == [
        None if np.isnan(value) else value for value in sdr_of(1, 0, 6)
    ]
    assert [source["signal"] for source in track["sources"]] == ["mixture"] + ["vocals"] * 3 + ["accompaniment"] * 3
    start = round(track["part"]["start"] * RATE_HZ)
    for source in track["sources"]:
        samples, _ = sf.read(page.parent / f"{source['file']}{data['suffix']}")
        assert (len(samples) == 5 * RATE_HZ and np.argmax(np.abs(samples[:, 0])) == IMPULSE - start) or source["peak"] < 0.3


def test_the_size_is_bounded_by_shorter_excerpts(arguments: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = [argument for argument in arguments if "=" in argument]
    material = read_material(given[:2], given[2:], Path(arguments[-1]))
    listen(material, tmp_path / "page", Options(excerpt_s=6, max_mb=0.9))
    assert caplog.text.count("so that they fit into 0.9 MB") == 1  # they are cut once
    audio = [path for path in (tmp_path / "page/audio").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in audio) <= 0.9 * MB
    part = data_of(tmp_path / "page/index.html")["tracks"][0]["part"]
    assert 1 <= part["length"] < 6 and all(
        sf.info(path).duration == pytest.approx(part["length"], abs=0.001) for path in audio if path.suffix == ".opus"
    )
    with pytest.raises(InputError, match=r"do not fit into 0\.1 MB; raise max_mb"):
        listen(material, tmp_path / "other", Options(excerpt_s=6, max_mb=0.1))
    assert not (tmp_path / "other").exists()


def test_mistakes_end_in_plain_lines(arguments: list[str], tmp_path: Path) -> None:
    root = Path(arguments[0].partition("=")[2]).parent
    out = ("-o", str(tmp_path / "page"))
    one = f"MDL1={root}/estimates-0"
    scores = ("--scores", f"MDL1={root}/scores-0")
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "no such folder; expected estimates": [str(tmp_path / "none")],
        "holds no estimates": [str(empty)],
        "these estimates have no scores; make some with `madsep score` and pass --scores MDL1=FOLDER": [one],
        "no references for these estimates": [one, *scores],
        "several systems have this name": [one, one, *scores, "--references", str(root / "musdb")],
        "--scores OTHER: no estimates were given by this name; the systems are MDL1": [one, *scores, "--scores", f"OTHER={root}/scores-0"],
        "has no track A quiet one in test/ or train/": [one, *scores, "--references", str(empty)],
    }
    for words, given in cases.items():
        status, message = invoke(*given, *out)
        assert status != 0 and words in message
        assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("place", ["test/{track}/{stem}.flac", "test/{track}_{stem}.wav"])
def test_references_are_read_in_any_layout(tmp_path: Path, place: str) -> None:
    found = {stem: signals(2, seed)["accompaniment"] for seed, stem in enumerate(("mixture", "vocals", "drums", "bass", "other"))}
    for stem, samples in found.items():
        path = tmp_path / place.format(track="A - B", stem=stem)
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, samples, RATE_HZ, subtype="PCM_24")
    sound = Tree(tmp_path).read("A - B")
    assert sound.signals.keys() == {*found, "accompaniment"} and sound.sample_rate_hz == RATE_HZ
    for stem, samples in found.items():
        np.testing.assert_allclose(sound.signals[stem], samples.T, atol=2**-23)


def test_an_estimate_of_another_length_is_refused(tmp_path: Path) -> None:
    arguments = make_material(tmp_path)
    path = tmp_path / "estimates-0/test" / NAMES[0] / "vocals.wav"
    samples, rate_hz = sf.read(path, dtype="int16")
    sf.write(path, samples[:-1], rate_hz)
    status, message = invoke(*arguments, "-o", str(tmp_path / "page"))
    assert status != 0 and f"{path}: has {len(samples) - 1} samples" in message


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The results/ of a run on one track: MIX, and a system with estimates."""
    found = {name: samples.T for name, samples in signals(4, 0).items()}
    found = {"mixture": found["vocals"] + found["accompaniment"], **found}
    (track,) = write_prepared_tracks(tmp_path / "results/prepared/test", {NAMES[0]: found}, RATE_HZ)
    write_estimates(tmp_path / "results/MDL1/estimates", track, {name: 0.5 * found[name] for name in ("vocals", "accompaniment")})
    for name in ("MDL1", "MIX"):
        write_scores(tmp_path / f"results/{name}/scores/test/{NAMES[0]}.json", {"vocals": [1.0, 2.0, 3.0, 4.0]})
    (tmp_path / "results/inventory.json").write_text("{}")
    return tmp_path / "results"


def test_a_run_is_found_by_itself(results: Path, tmp_path: Path) -> None:
    for given in (tmp_path, results, results / "MDL1"):
        material = read_material([str(given)], [], None)
        assert [system.name for system in material.systems] == (["MDL1"] if given.name == "MDL1" else ["MIX", "MDL1"])
        listen(material, tmp_path / f"page-{given.name}", Options())
        (track,) = data_of(tmp_path / f"page-{given.name}/index.html")["tracks"]
        assert [source["system"] for source in track["sources"]] == [None, None, "MDL1", None, "MDL1"]
    with pytest.raises(InputError, match="holds no scores of any system"):
        read_run(tmp_path / "page-results")


def test_a_run_whose_files_were_changed_is_refused(results: Path, tmp_path: Path) -> None:
    path = next((results / "MDL1/estimates").rglob("vocals.wav"))
    path.write_bytes(path.read_bytes()[:-2] + b"\0\1")
    with pytest.raises(InputError, match="was changed after it was written"):
        listen(read_run(results), tmp_path / "page", Options())
    (results / "prepared/test").rename(results / "prepared/gone")
    with pytest.raises(InputError, match=f"holds no prepared audio of {NAMES[0]}"):
        listen(read_run(results), tmp_path / "page", Options())


def test_scores_without_estimates_make_curves_alone(results: Path, tmp_path: Path) -> None:
    listen(Material([read_run(results).systems[0]], None), tmp_path / "page", Options())
    (track,) = data_of(tmp_path / "page/index.html")["tracks"]
    assert (track["sources"], track["part"]) == ([], None)
    assert not (tmp_path / "page/audio").exists()


def test_a_clip_of_mir1k_is_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps({"n_samples": 32_000, "vocals": {"SDR": 5.5, "SIR": None, "SAR": 7.0, "SDR_mixture": 1.0, "NSDR": 4.5}}))
    frames = read_frames(tmp_path).set_index("metric")
    assert frames.loc["SDR", ["time", "duration", "score"]].tolist() == [0.0, 2.0, 5.5]
    assert frames.loc[["SIR", "ISR"], "score"].isna().all()
    path.write_text('{"n_samples": 4}')
    with pytest.raises(InputError, match="is not the score of a clip"):
        read_frames(tmp_path)


def test_published_submissions_show_their_curves(shared: Path, tmp_path: Path) -> None:
    listen(read_material([str(shared / "data/sisec18/submissions/MDL1")], [], None), tmp_path / "page", Options())
    data = data_of(tmp_path / "page/index.html")
    assert len(data["tracks"]) == 3 and data["systems"] == ["MDL1"]
    assert all(len(track["curves"]["vocals"]["times"]) > 60 for track in data["tracks"])


def test_the_page_is_served_on_this_machine_alone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no listening page"):
        make_server(tmp_path, 0)
    (tmp_path / "index.html").write_text("page")
    with make_server(tmp_path, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/").read() == b"page"
        with pytest.raises(InputError, match=f"port {port}: cannot be used"):
            make_server(tmp_path, int(port))
        server.shutdown()
