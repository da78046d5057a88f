import csv
import logging
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scored import write_estimates, write_prepared_tracks

from madsep.comparison.runs import read_run, read_system
from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import write_json
from madsep.core.intervals import Bootstrap
from madsep.core.tables import Column, read_table
from madsep.data.prepared import PreparedTrack
from madsep.scoring.aggregate import aggregate, summarise, summarise_global, write_overview
from madsep.scoring.chain import check_tables
from madsep.scoring.engines import Engine
from madsep.scoring.estimates import origins
from madsep.scoring.medians import format_overview, format_table, sisec_medians, track_medians
from madsep.scoring.score import score
from madsep.scoring.scores import read_scores

ONE_METRIC = ["track", "target", "metric", "time", "duration", "score"]


def table(**tracks: list[float]) -> pd.DataFrame:
    rows = [(track, "vocals", "SDR", i, 1, s) for track, scores in tracks.items() for i, s in enumerate(scores)]
    return pd.DataFrame(rows, columns=ONE_METRIC)


def by_aggregation(summary: pd.DataFrame) -> dict[str, float]:
    return dict(zip(summary["aggregation"], summary["value"], strict=True))


def document(score: float) -> dict[str, object]:
    metrics = {"SDR": score, "SIR": score + 1, "ISR": score + 2, "SAR": score + 3}
    frames = [{"time": 0.0, "duration": 1.0, "metrics": metrics}]
    return {"targets": [{"name": name, "frames": frames} for name in ("vocals", "accompaniment")]}


def test_averages_by_hand() -> None:
    # medians 2, 6, -1 and means 3, 6, -1; the pool is -2 -1 0 1 2 4 6 8
    scores = table(a=[1, 2, math.nan, 6], b=[4, 8], c=[-2, 0, math.nan, -1], d=[math.nan])
    summary = summarise(scores, seed=0, n_resamples=50)
    assert by_aggregation(summary) == pytest.approx(
        {"sisec": 2, "mean_of_medians": 7 / 3, "median_of_means": 3, "mean_of_means": 8 / 3, "pooled_median": 1.5}
    )
    assert set(summary["n_tracks"]) == {3} and set(summary["n_frames"]) == {11}
    assert set(summary["nan_share"]) == {3 / 11}
    definitions = dict(zip(summary["aggregation"], summary["definition"], strict=True))
    assert definitions["sisec"] == "SDR[v4; frames=median; tracks=median; n=3; nan=27.3%]"
    assert definitions["median_of_means"] == "SDR[v4; frames=mean; tracks=median; n=3; nan=27.3%]"
    assert definitions["pooled_median"] == "SDR[v4; all frames=median; n=3; nan=27.3%]"


def test_track_without_a_number_is_named_and_not_counted(caplog: pytest.LogCaptureFixture) -> None:
    scores = table(silent=[math.nan, math.nan], b=[4, 8])
    with caplog.at_level(logging.WARNING, logger="madsep"):
        medians = sisec_medians(scores)
    definition = "SDR[v4; frames=median; tracks=median; n=1; nan=50.0%]"
    assert medians.to_dict("records") == [
        {"target": "vocals", "metric": "SDR", "median": 6.0, "n_tracks": 1, "nan_share": 0.5, "definition": definition}
    ]
    assert len(caplog.messages) == 1 and caplog.messages[0].startswith("silent: every frame of vocals is NaN")
    tracks = track_medians(scores).set_index("track")
    assert math.isnan(tracks.loc["silent", "median"]) and tracks.loc["b", "median"] == 6
    assert list(tracks["n_frames"]) == [2, 2] and tracks.loc["silent", "nan_share"] == 1


def test_no_track_with_a_number() -> None:
    scores = table(a=[math.nan], b=[math.nan])
    medians = sisec_medians(scores)
    assert math.isnan(medians["median"].iloc[0]) and medians["n_tracks"].iloc[0] == 0
    assert summarise(scores, 0, 10)[["value", "ci_low", "ci_high"]].isna().all().all()


@given(
    st.lists(st.lists(st.just(math.nan) | st.floats(-300, 300), min_size=1, max_size=9), min_size=1, max_size=5).filter(
        lambda tracks: not all(math.isnan(s) for scores in tracks for s in scores)
    )
)
def test_nan_frames_are_skipped_as_numpy_does(tracks: list[list[float]]) -> None:
    scores = table(**{f"t{i}": values for i, values in enumerate(tracks)})
    by_track = [np.nanmedian(values) for values in tracks if not np.isnan(values).all()]
    row = sisec_medians(scores).iloc[0]
    assert row["median"] == pytest.approx(np.median(by_track))
    assert row["n_tracks"] == len(by_track)
    assert row["nan_share"] == pytest.approx(np.isnan(np.concatenate(tracks)).mean())
    pooled = by_aggregation(summarise(scores, 0, 5))["pooled_median"]
    assert pooled == pytest.approx(np.nanmedian(np.concatenate(tracks)))


def test_published_submissions_give_the_published_medians(shared: Path) -> None:
    with (shared / "data/sisec18/medians.csv").open() as stream:
        published = {(row["system"], row["target"]): row for row in csv.DictReader(stream)}
    n_compared = 0
    for system in ("MDL1", "IRM1"):
        for row in sisec_medians(read_scores(shared / "data/sisec18/submissions" / system)).to_dict("records"):
            expected = float(published[system, row["target"]][row["metric"]])
            assert row["median"] == pytest.approx(expected, abs=5.001e-6), (system, row)
            assert row["n_tracks"] == 50
            n_compared += 1
    assert n_compared == (2 + 5) * 4


def test_same_medians_as_museval(shared: Path) -> None:
    museval_aggregate = pytest.importorskip("museval.aggregate")
    folder = shared / "data/sisec18/submissions/MDL1"
    store = museval_aggregate.EvalStore()
    store.add_eval_dir(str(folder))
    ours = sisec_medians(read_scores(folder)).set_index(["target", "metric"])["median"]
    assert ours["vocals", "SDR"] == pytest.approx(4.022, abs=5e-4)
    assert ours["accompaniment", "SDR"] == pytest.approx(9.924, abs=5e-4)
    theirs = store.agg_frames_tracks_scores()
    assert len(ours) == len(theirs) == 8
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=5e-6)


def test_every_average_of_mdl1(shared: Path) -> None:
    scores = read_scores(shared / "data/sisec18/submissions/MDL1")
    vocals = scores[(scores["target"] == "vocals") & (scores["metric"] == "SDR")]
    summary = summarise(vocals, seed=0, n_resamples=10000)
    expected = {
        "sisec": 4.02,
        "pooled_median": 3.57,
        "mean_of_medians": 2.47,
        "median_of_means": -0.08,
        "mean_of_means": -1.47,
    }
    assert by_aggregation(summary) == pytest.approx(expected, abs=0.005)
    sisec = summary.set_index("aggregation").loc["sisec"]
    assert sisec["definition"] == "SDR[v4; frames=median; tracks=median; n=50; nan=22.7%]"
    assert (sisec["ci_low"], sisec["ci_high"]) == pytest.approx((2.91, 4.52), abs=0.1)


def test_intervals_of_means_agree_with_theory() -> None:
    # one frame a track: the mean of 200 standard normal values has a standard error of s / sqrt(200)
    values = np.random.default_rng(1).standard_normal(200)
    summary = summarise(table(**{f"t{i:03}": [v] for i, v in enumerate(values)}), seed=2, n_resamples=4000)
    row = summary.set_index("aggregation").loc["mean_of_means"]
    half_width = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert row["ci_low"] == pytest.approx(values.mean() - half_width, abs=0.01)
    assert row["ci_high"] == pytest.approx(values.mean() + half_width, abs=0.01)


def test_pooled_frames_are_resampled_by_whole_tracks() -> None:
    # with whole tracks the pool's median is 0, 5 or 10, and 0 or 10 in a quarter of the resamples each
    scores = table(a=[0.0] * 100, b=[10.0] * 100)
    row = summarise(scores, seed=0, n_resamples=500).set_index("aggregation").loc["pooled_median"]
    assert (row["value"], row["ci_low"], row["ci_high"]) == (5, 0, 10)


def test_intervals_depend_on_the_seed_alone() -> None:
    rng = np.random.default_rng(0)
    scores = table(**{f"t{i}": list(rng.normal(size=5)) for i in range(12)})
    first = summarise(scores, seed=3, n_resamples=200)
    assert first.equals(summarise(scores.sort_values("track", ascending=False, kind="stable"), 3, 200))
    other = summarise(scores, seed=4, n_resamples=200)
    assert not first["ci_low"].equals(other["ci_low"]) and first["value"].equals(other["value"])


def test_one_track_has_no_interval() -> None:
    summary = summarise(table(a=[1, 2, 4]), seed=0, n_resamples=100)
    assert summary[["ci_low", "ci_high"]].isna().all().all()
    assert by_aggregation(summary)["mean_of_means"] == pytest.approx(7 / 3)


def test_whole_track_metrics() -> None:
    rows = [(f"t{i}", "vocals", "SI-SDR", value) for i, value in enumerate([1.0, 2.0, 6.0, math.nan])]
    summary = summarise_global(pd.DataFrame(rows, columns=["track", "target", "metric", "value"]), 0, 300)
    assert by_aggregation(summary) == {"median": 2, "mean": 3}
    assert summary["definition"].iloc[1] == "SI-SDR[whole track; tracks=mean; n=3; nan=25.0%]"
    assert list(summary.columns) == list(summarise(table(a=[1]), 0, 10).columns)
    assert list(summary["n_frames"]) == [4, 4]
    assert (summary["ci_low"] >= 1).all() and (summary["ci_high"] <= 6).all()


NAMES = ("A & B - It's (Mine)", "NA", "<b>{bar}")


@dataclass(frozen=True)
class System:
    """A system's folder in results/, with its prepared tracks."""

    tracks: list[PreparedTrack]
    folder: Path

    def score(self, scores: Sequence[float]) -> None:
        """Leave scores as the stage of scores does, a frame per track, of estimates that are another file for each score."""
        for track, value in zip(self.tracks, scores, strict=True):
            estimate = np.full((2, 100), value / 100)
            write_estimates(self.folder / "estimates", track, {"vocals": estimate, "accompaniment": estimate})
            stage = Stage(self.folder / "scores")
            with stage.making(track.slug, {**origins(track, self.folder / "estimates"), "engine": "fast", "targets": "vocals"}) as made:
                path = stage.folder / "test" / f"{track.name}.json"
                write_json(path, document(value))
                whole_track = {"vocals": {"SDR": 2 * value, "SI-SDR": value}}
                made |= {"files": [path], "name": track.name, "whole_track": whole_track}
            stage.finish_job(track.slug, [track.slug])

    def aggregate(self, n_tracks: int = len(NAMES)) -> None:
        aggregate(self.tracks[:n_tracks], self.folder / "estimates", self.folder / "scores", self.folder, Bootstrap(20, 0))


@pytest.fixture
def system(tmp_path: Path) -> System:
    """Three scored tracks."""
    signals = {"mixture": np.full((2, 100), 0.5), "vocals": np.full((2, 100), 0.25)}
    system = System(write_prepared_tracks(tmp_path / "prepared", dict.fromkeys(NAMES, signals), 44_100), tmp_path / "S1")
    system.score([1.0, 3.0, 8.0])
    return system


def read(folder: Path, name: str, **columns: Column) -> pd.DataFrame:
    return read_table(folder / name, columns)


def test_aggregate_writes_four_tables_with_true_names(system: System) -> None:
    system.aggregate()
    out = system.folder
    assert {path.name for path in out.glob("*.*")} == {"global.csv", "medians.csv", "summary.csv", "track_medians.csv", "tables.json"}
    medians = (out / "medians.csv").read_text().splitlines()
    assert medians[:3] == [
        "target,metric,median,n_tracks,nan_share,definition",
        'vocals,SDR,3.000000,3,0.000000,"SDR[v4; frames=median; tracks=median; n=3; nan=0.0%]"',
        'vocals,SIR,4.000000,3,0.000000,"SIR[v4; frames=median; tracks=median; n=3; nan=0.0%]"',
    ]
    assert len(medians) == 1 + 8
    tracks = read(out, "track_medians.csv", track=str, target=str, metric=str, median=float, n_frames=int, nan_share=float)
    assert set(tracks["track"]) == set(NAMES)
    global_scores = read(out, "global.csv", track=str, target=str, metric=str, value=float)
    found = {(row["track"], row["metric"]): row["value"] for row in global_scores.to_dict("records")}
    values = dict(zip(NAMES, (1.0, 3.0, 8.0), strict=True))
    assert found == {(name, metric): factor * values[name] for name in NAMES for metric, factor in (("SDR_global", 2), ("SI-SDR", 1))}
    summary = pd.read_csv(out / "summary.csv")
    assert len(summary) == 8 * 5 + 4
    assert by_aggregation(summary[summary["metric"] == "SDR_global"]) == {"median": 6, "mean": 8}
    first = {path.name: path.read_bytes() for path in out.glob("*.*")}
    system.aggregate()
    assert first == {path.name: path.read_bytes() for path in out.glob("*.*")}


def test_scores_of_tracks_that_went_are_removed_and_other_files_stay(system: System) -> None:
    """So that whoever reads the folder finds the scores of the run's tracks alone."""
    scores = system.folder / "scores"
    for stranger in ("._x.json", "x.json"):
        (scores / "records" / stranger).write_text("{}")
    system.aggregate(n_tracks=1)
    assert [path.name for path in (scores / "test").iterdir()] == [f"{NAMES[0]}.json"]
    assert sorted(path.stem for path in (scores / "jobs").iterdir()) == [system.tracks[0].slug]
    assert {path.name for path in (scores / "records").iterdir()} == {f"{system.tracks[0].slug}.json", "._x.json", "x.json"}
    table = read_scores(scores)
    assert set(table["track"]) == {NAMES[0]}
    assert sisec_medians(table)["median"][0] == 1.0 == pd.read_csv(system.folder / "medians.csv")["median"][0]


@pytest.mark.parametrize("slug", range(3))
def test_scores_that_are_missing_or_of_other_estimates_are_not_aggregated(system: System, slug: int) -> None:
    track = system.tracks[slug]
    write_estimates(system.folder / "estimates", track, {"vocals": np.zeros((2, 100))})
    with pytest.raises(InputError, match="has scores of other estimates than those present; run the same command again"):
        system.aggregate()
    with pytest.raises(InputError, match=rf"{track.slug}\.json: is missing; run the same command again"):
        system.aggregate()
    assert not list(system.folder.glob("*.*"))


def test_names_of_all_kinds_go_through(tmp_path: Path) -> None:
    names = ["{bar}", "<b>", 'it\'s "so"', "é", "e\u0301", "ü" * 125, "NA", "None", "nan", "null", "007", "true", "a, b", "x.json"]
    rng = np.random.default_rng(0)
    noise = {name: dict(zip(("mixture", "vocals", "accompaniment"), rng.normal(0, 0.1, (3, 2, 4000)), strict=True)) for name in names}
    tracks = write_prepared_tracks(tmp_path / "prepared", noise, 8000)
    score(tracks, ("vocals", "accompaniment"), None, tmp_path / "MIX/scores", "job", Engine("fast"))
    aggregate(tracks, None, tmp_path / "MIX/scores", tmp_path / "MIX", Bootstrap(2, 0))
    for found in (
        read_system("MIX", tmp_path / "MIX", {}),
        read_run(tmp_path / "MIX/scores", "MIX"),
        read_run(tmp_path / "MIX", "MIX"),
    ):
        assert sorted(set(found.medians["track"])) == sorted(names)
        assert len(found.medians) == len(names) * 2 * 4
    global_scores = read(tmp_path / "MIX", "global.csv", track=str, target=str, metric=str, value=float)
    assert sorted(set(global_scores["track"])) == sorted(names)


def overview(system: System, baseline: System) -> str:
    path = system.folder.parent / "table.txt"
    path.unlink(missing_ok=True)
    write_overview({"S1": system.folder, "S2": system.folder}, baseline.folder, path)
    return path.read_text()


def test_the_overview_shows_systems_and_mix(system: System, tmp_path: Path) -> None:
    mix = System(system.tracks, tmp_path / "MIX")
    mix.score([0.0, 1.0, 2.0])
    for one in (system, mix):
        one.aggregate()
    text = overview(system, mix)
    columns = {"target": str, "metric": str, "median": float, "n_tracks": int, "nan_share": float, "definition": str}
    medians, of_mix = (read_table(one.folder / "medians.csv", columns) for one in (system, mix))
    single = format_table(medians, of_mix)
    assert text == f"S1\n{single}\n\nS2\n{single}\n\n{format_overview({'S1': medians, 'S2': medians, 'MIX': of_mix})}\n"
    row = next(line for line in text.splitlines() if "vocals" in line and "SDR" in line)
    assert row.replace("│", " ").split() == ["vocals", "SDR", "3.00", "1.00", "+2.00", "3", "0.0%"]


def test_the_overview_refuses_what_does_not_belong_together(system: System, tmp_path: Path) -> None:
    """Whatever was changed, the record of the tables goes, so that the same command makes them again."""
    mix = System(system.tracks, tmp_path / "MIX")
    mix.score([0.0, 1.0, 2.0])
    with pytest.raises(InputError, match=r"S1/tables\.json: is missing"):
        overview(system, mix)

    def changed_table() -> None:
        path = system.folder / "medians.csv"
        path.write_text(path.read_text().replace("3.000000", "9.000000"))

    def changed_score() -> None:
        (system.folder / "scores/test" / f"{NAMES[1]}.json").write_text("{}")

    def other_scores() -> None:
        system.score([1.0, 3.0, 9.0])

    def other_estimates() -> None:
        write_estimates(system.folder / "estimates", system.tracks[0], {"vocals": np.zeros((2, 100))})

    for change, message in (
        (changed_table, r"S1/medians\.csv: is missing or was changed after it was written"),
        (changed_score, r"NA\.json: was changed after it was written"),
        (other_scores, r"S1: its tables were made from other scores than those present"),
        (other_estimates, r"It's \(Mine\): .* has scores of other estimates than those present"),
        ((system.folder / "global.csv").unlink, r"S1/global\.csv: is missing"),
    ):
        system.score([1.0, 3.0, 8.0])
        for one in (system, mix):
            one.aggregate()
        assert "S2" in overview(system, mix)
        change()
        with pytest.raises(InputError, match=message):
            overview(system, mix)
        assert not (system.folder / "tables.json").exists() and not (tmp_path / "table.txt").exists()
    system.score([1.0, 3.0, 8.0])
    system.aggregate(n_tracks=2)
    with pytest.raises(InputError, match="S1: its tables are of other tracks than those of MIX"):
        overview(system, mix)


def test_tables_follow_a_moved_run(system: System, tmp_path: Path) -> None:
    system.aggregate()
    system.folder.rename(tmp_path / "moved")
    check_tables(tmp_path / "moved")


def test_table_shows_system_mixture_and_gain() -> None:
    medians = sisec_medians(table(a=[3.0, math.nan], b=[5.0, 5.0]))
    baseline = sisec_medians(table(a=[-1.0, -1.0], b=[-2.0, -2.0]))
    text = format_table(medians, baseline)
    row = next(line for line in text.splitlines() if "vocals" in line)
    assert row.replace("│", " ").split() == ["vocals", "SDR", "4.00", "-1.50", "+5.50", "2", "25.0%"]
    text = format_table(medians, baseline[:0])
    row = next(line for line in text.splitlines() if "vocals" in line)
    assert row.replace("│", " ").split() == ["vocals", "SDR", "4.00", "-", "-", "2", "25.0%"]


def test_the_overview_has_a_row_per_system_and_a_column_per_target() -> None:
    rows = [("vocals", "SDR", 4.018), ("vocals", "SIR", 7.9), ("accompaniment", "SDR", 9.9)]
    two = pd.DataFrame(rows, columns=["target", "metric", "median"])
    five = pd.concat([two, pd.DataFrame([("drums", "SDR", 100.0), ("bass", "SDR", float("nan"))], columns=two.columns)])
    lines = [line for line in format_overview({"MDL1": two, "HEL1": five}).splitlines() if "│" in line or "┃" in line]
    cells = [[cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]] for line in lines]
    assert cells[0] == ["system", "vocals", "accompaniment", "drums", "bass"]
    assert cells[1:] == [["MDL1", "4.02", "9.90", "-", "-"], ["HEL1", "4.02", "9.90", "> 80", "-"]]


def test_aggregation_loads_no_more_than_it_uses() -> None:
    """In a process of its own: SciPy's statistics are loaded when an interval is drawn."""
    heavy = ["matplotlib", "torch", "scipy.stats", "museval", "musdb"]
    code = (
        f"import sys, madsep.scoring.aggregate, madsep.scoring.nsdr, madsep.scoring.audit; print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
