"""One command runs many systems: recipes of six families, oracles, and separators and estimates made elsewhere; then it compares them."""

import base64
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from flow import Run, dry_run, final_faults, left_behind, run, side_by_side
from systems_flow import (
    ALONE,
    FOUR_SOURCES,
    ORACLES,
    RECIPES,
    STEMS,
    job_of,
    read_int16,
    scored_targets,
    systems_config,
    track_names,
    vocals_sdr,
)
from wavs import RATE_HZ

from madsep.comparison.published import published_kinds
from madsep.data.prepared import read_prepared
from madsep.data.tracks import slug_of
from madsep.scoring.scores import METRICS
from madsep.submission.check import check_submission

pytestmark = pytest.mark.slow

MODULE = """
CALLS = []

def separate(audio, rate):
    assert audio.shape[1] == 2 and rate == 44100
    return {"vocals": audio / 2}

def fails(audio, rate):
    CALLS.append(len(audio))
    if len(CALLS) == 2:
        raise ZeroDivisionError("no such luck")
    return separate(audio, rate)
"""
TARGETS = ["results/table.txt", "results/compare/index.html"]
TARGETS += [f"submission/{name}/provenance.yaml" for name in RECIPES.values()]


@pytest.fixture(scope="module")
def finished(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six systems and two oracles, from nothing to submissions and comparison."""
    folder, config = tmp_path_factory.mktemp("systems") / "run", systems_config(songs)
    return Run(folder, config, run(folder, config, *TARGETS))


@pytest.fixture(scope="module")
def extended(finished: Run, songs: Path) -> Run:
    """In the same folder two more recipes and three systems made elsewhere, one of which fails."""
    (finished.folder / "mine.py").write_text(MODULE)
    shutil.copytree(finished.folder / "results/HEL1/estimates/test", finished.folder.parent / "elsewhere/test")
    external = {
        "MINE": {"separator": "mine:separate"},
        "COPY": {"estimates": str(finished.folder.parent / "elsewhere")},
        "BAD": {"separator": "mine:fails"},
    }
    systems = [*finished.config["systems"], "HEL1-base", "MIM-DWF+", *external]
    config = finished.config | {"systems": systems, "external": external, "extra_root": str(songs / "extra")}
    targets = [f"results/{name}/tables.json" for name in external]
    targets += [f"results/HEL1-base/estimates/jobs/{job_of(songs / 'musdb/test')}.json", "submission/MDWP/provenance.yaml"]
    return Run(finished.folder, config, run(finished.folder, config, "--keep-going", *targets))


# six systems and two oracles


def test_one_command_runs_them_all(finished: Run) -> None:
    assert finished.outcome.jobs == {
        "prepare": 4,  # the training tracks and the test tracks, with all stems and without
        **dict.fromkeys(("train", "checkpoint", "separate", "submission"), 6),
        "separate_external": 2,
        "score": 9,  # and the mixture
        "aggregate": 9,
        **dict.fromkeys(("table", "compare"), 1),
    }
    assert left_behind(finished.folder) == []


@pytest.mark.parametrize("system", RECIPES)
def test_each_recipe_has_a_valid_submission(finished: Run, names: list[str], system: str) -> None:
    submission = finished.folder / "submission" / RECIPES[system]
    assert check_submission(submission, names) == []
    expected = {*STEMS, *ALONE} if system in FOUR_SOURCES else {*ALONE}
    for name in names:
        targets = scored_targets(submission / "test" / f"{name}.json")
        assert set(targets) == expected and len(targets) == len(expected)


def test_of_songs_that_are_not_musdb18s_some_are_held_out_for_validation(finished: Run, songs: Path) -> None:
    first, *_ = track_names(songs / "musdb/train")
    for name, held_out in {"MIHW": [first], "GRA": [first], "CHA": []}.items():
        provenance = yaml.safe_load((finished.folder / "submission" / name / "provenance.yaml").read_text())
        assert provenance["data"]["validation_tracks"] == held_out


@pytest.mark.parametrize("system", [*RECIPES, *ORACLES])
def test_estimates_are_complete_and_add_up(finished: Run, songs: Path, names: list[str], system: str) -> None:
    expected = {*ALONE} if system in set(RECIPES) - set(FOUR_SOURCES) else {*STEMS, *ALONE}
    for name in names:
        folder = finished.folder / "results" / system / "estimates/test" / name
        estimates = {path.stem: read_int16(path) for path in folder.iterdir()}
        mixture = read_int16(songs / "musdb/test" / name / "mixture.wav")
        assert estimates.keys() == expected
        assert {estimate.shape for estimate in estimates.values()} == {mixture.shape}
        difference = estimates["vocals"] + estimates["accompaniment"] - mixture
        if expected == {*ALONE}:
            assert not difference.any()
        elif system != "MWF":  # ratio masks add up to one; each 16-bit estimate is rounded by itself
            assert np.abs(difference).max() <= 3
        if system in FOUR_SOURCES:
            np.testing.assert_array_equal(sum(estimates[stem] for stem in STEMS[1:]), estimates["accompaniment"])


def test_four_sources_are_scored_both_ways_as_museval_does(
    finished: Run, songs: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    museval = pytest.importorskip("museval")
    if not hasattr(np.linalg, "linalg"):
        monkeypatch.setattr(np.linalg, "linalg", np.linalg, raising=False)
    system, name = "HEL1", names[0]
    true = {stem: sf.read(songs / "musdb/test" / name / f"{stem}.wav")[0] for stem in STEMS}
    true["accompaniment"] = true["drums"] + true["bass"] + true["other"]
    track = SimpleNamespace(
        name=name, rate=RATE_HZ, subset="test", targets={key: SimpleNamespace(audio=audio) for key, audio in true.items()}
    )
    folder = finished.folder / "results" / system / "estimates/test" / name
    found = json.loads((finished.folder / "submission" / RECIPES[system] / "test" / f"{name}.json").read_text())
    ours = {target["name"]: frames_of(target) for target in found["targets"]}
    for way, own in ((STEMS, STEMS[1:]), (ALONE, ALONE)):  # vocals are those against the accompaniment
        estimates = {target: sf.read(folder / f"{target}.wav")[0] for target in way}
        scores = json.loads(museval.eval_mus_track(track, estimates, mode="v4", win=1.0, hop=1.0).json)
        for target in scores["targets"]:
            if target["name"] in own:
                expected = frames_of(target)
                assert expected.shape == (len(METRICS), 2) and np.isfinite(expected).all()
                np.testing.assert_allclose(ours.pop(target["name"]), expected, rtol=0, atol=1e-4)
    assert ours == {}


def frames_of(target: dict[str, Any]) -> np.ndarray:
    """A target's scores in dB, (n_metrics, n_frames)."""
    return np.array([[frame["metrics"][metric] for frame in target["frames"]] for metric in METRICS])


@pytest.mark.parametrize("oracle", ORACLES)
def test_oracles_are_the_ceiling(finished: Run, oracle: str) -> None:
    assert vocals_sdr(finished.folder, oracle) > max(vocals_sdr(finished.folder, name) for name in ["MIX", *RECIPES])


# comparison


def test_the_page_lists_every_system_and_none_of_other_data(finished: Run) -> None:
    everyone = {"MIX", *RECIPES, *ORACLES}
    with_stems = {"MIX", *FOUR_SOURCES, *ORACLES}
    page = (finished.folder / "results/compare/index.html").read_text(encoding="utf-8")
    assert re.findall(r'<section id="([\w-]+)">', page) == ["other-1"]
    tables = re.findall(r'aria-label="Systems, (\w+)">\s*<table class="sortable systems">(.*?)</table>', page, re.DOTALL)
    assert {target for target, _ in tables} == {*STEMS, *ALONE}
    for target, table in tables:
        rows = re.findall(r'<tr( class="run")?>\s*<td class="text">([^<]*)</td>', table)
        assert len(rows) == len(set(rows)) and all(of_run for of_run, _ in rows)
        assert {name for _, name in rows} == (everyone if target in ALONE else with_stems)
    medians = pd.read_csv(finished.folder / "results/compare/tables/other-1/medians.csv")
    assert set(medians["system"]) == everyone and set(medians["kind"]) == {"run", "run+oracle"}
    assert set(medians["n_tracks"]) == {3}
    own = pd.read_csv(finished.folder / "results/HEL1/medians.csv").set_index(["target", "metric"])["median"]
    of_hel = medians[medians["system"] == "HEL1"].set_index(["target", "metric"])["median"]
    pd.testing.assert_series_equal(of_hel.sort_index(), own.sort_index(), atol=1e-4, check_names=False)
    others = published_kinds().keys() - everyone
    assert "TAU1" in others and not [name for name in others if re.search(rf"\b{name}\b", page)]


def test_the_pages_figures_exist_and_the_report_holds_it(finished: Run) -> None:
    folder = finished.folder / "results/compare"
    page = (folder / "index.html").read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r'href="([^"]+)"', page) if not link.startswith(("https://", "data:", "#"))}
    listening = {"../listen/index.html"}  # part of a whole run, which this one is not
    assert listening <= links and all((folder / link).stat().st_size > 0 for link in links - listening)
    assert {"tables/other-1/whole_track.csv", "tables/other-1/medians.csv"} <= links
    for figure in ("boxes", "matrix"):
        assert page.count(f'<svg class="{figure}"') == len({*STEMS, *ALONE})
    assert "SI-SDR" in page and '<svg class="spark"' in page
    report = finished.folder / "report.html"
    outcome = run(finished.folder, finished.config, "--report", str(report), *TARGETS)
    assert outcome.status == 0, outcome.text
    assert base64.b64encode(page.encode()).decode() in report.read_text()


# again, and with more


def test_a_second_run_does_nothing(finished: Run) -> None:
    assert run(finished.folder, finished.config, *TARGETS).jobs == {}


def test_other_systems_leave_what_is_finished_alone(finished: Run, songs: Path) -> None:
    """Of the plans of everything: one recipe and one oracle more; and fewer systems, so that the mixture has fewer targets."""
    changes = [
        {"systems": [*finished.config["systems"], "MIM-DWF+", "IBM1"], "extra_root": str(songs / "extra")},
        {"systems": ["MIM-HW", "MIM-DWF"]},
    ]
    more, fewer = side_by_side(dry_run, [finished.folder] * 2, [finished.config | change for change in changes])
    assert more.jobs == {
        **dict.fromkeys(("prepare", "train", "checkpoint", "separate", "separate_external"), 1),
        **dict.fromkeys(("submission", "table", "compare", "listen"), 1),
        **dict.fromkeys(("score", "aggregate"), 2),
        "losses": 6 + 1,  # and those that were not asked for above
    }
    assert fewer.jobs == {"score": 1, "aggregate": 1, "losses": 2, "table": 1, "compare": 1, "listen": 1}


# made elsewhere


def test_a_callable_in_the_runs_folder_is_a_system(extended: Run, songs: Path, names: list[str]) -> None:
    for name in names:
        folder = extended.folder / "results/MINE/estimates/test" / name
        mixture = read_int16(songs / "musdb/test" / name / "mixture.wav")
        assert np.abs(2 * read_int16(folder / "vocals.wav") - mixture).max() <= 1
        np.testing.assert_array_equal(sum(read_int16(folder / f"{target}.wav") for target in ALONE), mixture)
    medians = pd.read_csv(extended.folder / "results/MINE/medians.csv")
    assert set(medians["target"]) == {*ALONE} and set(medians["n_tracks"]) == {3} and not medians["median"].isna().any()


def test_a_folder_of_estimates_has_the_scores_of_what_it_was_copied_from(extended: Run, names: list[str]) -> None:
    results = extended.folder / "results"
    for table in ("medians.csv", "global.csv", *(f"scores/test/{name}.json" for name in names)):
        assert (results / "COPY" / table).read_bytes() == (results / "HEL1" / table).read_bytes()


def test_a_callable_that_raises_names_track_and_exception_and_others_finish(extended: Run, names: list[str]) -> None:
    faults = final_faults(extended.outcome)
    assert len(faults) == 2
    assert faults[0] == f"ERROR: separator mine:fails, {names[1]}: failed: ZeroDivisionError: no such luck"
    log = re.fullmatch(r"The traceback is in (.+)\.", faults[1])
    assert log and 'raise ZeroDivisionError("no such luck")' in (extended.folder / log[1]).read_text()
    assert not list(extended.folder.glob("results/BAD/estimates/jobs/*.json"))
    assert left_behind(extended.folder) == []
    for finished in ("results/MINE/tables.json", "results/COPY/tables.json", "submission/MDWP/provenance.yaml"):
        assert (extended.folder / finished).exists()


# extra data and another rate


def test_extra_tracks_are_trained_on_where_the_recipe_says_so(extended: Run, songs: Path, names: list[str]) -> None:
    own, extra = track_names(songs / "musdb/train"), track_names(songs / "extra/train")
    submissions = extended.folder / "submission"
    with_extra, without = (yaml.safe_load((submissions / name / "provenance.yaml").read_text()) for name in ("MDWP", "MDWF"))
    assert set(with_extra["data"]["train"]) == {*own, *extra} and set(without["data"]["train"]) == set(own)
    assert with_extra["data"]["test_tracks"] == without["data"]["test_tracks"] == names
    assert with_extra["checkpoint"]["sha256"] != without["checkpoint"]["sha256"]
    assert check_submission(submissions / "MDWP", names) == []
    for name, says in {"MDWP": "yes", "MDWF": "no"}.items():
        assert f"__additional_training_data:__ {says} " in (submissions / name / "description.md").read_text()


def test_a_recipe_at_16_khz_trains_there_and_estimates_at_the_datas_rate(extended: Run, songs: Path, names: list[str]) -> None:
    slugs = [slug_of(name) for name in track_names(songs / "musdb/train")]
    for track in read_prepared(extended.folder / "results/prepared/train-four-16000", slugs, ("train",)):
        n_samples = sf.info(songs / "musdb/train" / track.name / "mixture.wav").frames
        assert track.sample_rate_hz == 16_000 and abs(track.n_samples - n_samples * 16_000 / RATE_HZ) <= 1
        assert track.array().shape[2] == track.n_samples
    for name in names:
        folder = extended.folder / "results/HEL1-base/estimates/test" / name
        assert sorted(path.stem for path in folder.iterdir()) == sorted({*STEMS, *ALONE})
        for path in folder.iterdir():
            info = sf.info(path)
            assert (info.samplerate, info.frames) == (RATE_HZ, sf.info(songs / "musdb/test" / name / "mixture.wav").frames)
            power = np.abs(np.fft.rfft(sf.read(path)[0], axis=0)) ** 2
            above = np.fft.rfftfreq(info.frames, 1 / RATE_HZ) > 8500
            assert power.sum() > 0 and power[above].sum() < 1e-4 * power.sum()
