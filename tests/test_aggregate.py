import csv
import json
import logging
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madsep.core.errors import InputError
from madsep.scoring.aggregate import aggregate, summarise, summarise_global
from madsep.scoring.medians import format_overview, format_table, sisec_medians, track_medians
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
    assert medians.to_dict("records") == [{"target": "vocals", "metric": "SDR", "median": 6.0, "n_tracks": 1, "nan_share": 0.5}]
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


def make_run(folder: Path) -> tuple[Path, list[Path], dict[str, str]]:
    names = {"test001": "A & B - It's (Mine)", "test002": "C feat. D - Song"}
    global_csvs = []
    for slug, score in zip(names, (1.0, 3.0), strict=True):
        path = folder / "scores" / "test" / f"{slug}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document(score)))
        global_csvs.append(folder / "global" / f"{slug}.csv")
        global_csvs[-1].parent.mkdir(exist_ok=True)
        global_csvs[-1].write_text(f"track,target,metric,value\n{names[slug]},vocals,SDR_global,{score * 2}\n")
    return folder / "scores" / "test", global_csvs, names


def test_aggregate_writes_four_tables_with_true_names(tmp_path: Path) -> None:
    score_dir, global_csvs, names = make_run(tmp_path)
    out = tmp_path / "out"
    aggregate(score_dir, global_csvs, names, out, 0, 20)
    assert sorted(path.name for path in out.iterdir()) == [
        "global.csv",
        "medians.csv",
        "summary.csv",
        "track_medians.csv",
    ]
    medians = (out / "medians.csv").read_text().splitlines()
    assert medians[:3] == [
        "target,metric,median,n_tracks,nan_share",
        "vocals,SDR,2.000000,2,0.000000",
        "vocals,SIR,3.000000,2,0.000000",
    ]
    assert len(medians) == 1 + 8
    tracks = pd.read_csv(out / "track_medians.csv")
    assert list(tracks.columns) == ["track", "target", "metric", "median", "n_frames", "nan_share"]
    assert set(tracks["track"]) == set(names.values())
    global_scores = pd.read_csv(out / "global.csv")
    assert list(global_scores["track"]) == list(names.values()) and list(global_scores["value"]) == [2, 6]
    summary = pd.read_csv(out / "summary.csv")
    assert len(summary) == 8 * 5 + 2
    assert by_aggregation(summary[summary["metric"] == "SDR_global"]) == {"median": 4, "mean": 4}
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    aggregate(score_dir, global_csvs, names, out, 0, 20)
    assert first == {path.name: path.read_bytes() for path in out.iterdir()}


def test_aggregate_leaves_out_an_earlier_runs_tracks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    score_dir, global_csvs, names = make_run(tmp_path)
    aggregate(score_dir, global_csvs[:1], {"test001": names["test001"]}, tmp_path / "out", 0, 20)
    assert "left out: test002" in caplog.text
    assert set(pd.read_csv(tmp_path / "out/track_medians.csv")["track"]) == {names["test001"]}


def test_aggregate_refuses_missing_and_extra_tracks(tmp_path: Path) -> None:
    score_dir, global_csvs, names = make_run(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"no scores of test003\."):
        aggregate(score_dir, global_csvs, {**names, "test003": "E - F"}, out, 0, 20)
    with pytest.raises(InputError, match=r"has scores of C feat\. D - Song"):
        aggregate(score_dir, global_csvs, {"test001": names["test001"]}, out, 0, 20)
    with pytest.raises(InputError, match=r"global: no scores of C feat\. D - Song"):
        aggregate(score_dir, global_csvs[:1], names, out, 0, 20)
    assert not out.exists()


@pytest.mark.parametrize("text", ["", "track,target,value\na,b,1\n", "track,target,metric,value\na,b,c,loud\n"])
def test_aggregate_refuses_other_tables(tmp_path: Path, text: str) -> None:
    score_dir, global_csvs, names = make_run(tmp_path)
    global_csvs[1].write_text(text)
    with pytest.raises(InputError, match=r"test002\.csv"):
        aggregate(score_dir, global_csvs, names, tmp_path / "out", 0, 20)


def test_table_shows_system_mixture_and_gain() -> None:
    medians = sisec_medians(table(a=[3.0, math.nan], b=[5.0, 5.0]))
    baseline = sisec_medians(table(a=[-1.0, -1.0], b=[-2.0, -2.0]))
    text = format_table(medians, baseline)
    row = next(line for line in text.splitlines() if "vocals" in line)
    assert row.replace("│", " ").split() == ["vocals", "SDR", "4.00", "-1.50", "+5.50", "2", "25.0%"]
    text = format_table(medians, baseline[:0])
    row = next(line for line in text.splitlines() if "vocals" in line)
    assert row.replace("│", " ").split() == ["vocals", "SDR", "4.00", "-", "-", "2", "25.0%"]


def test_the_overview_has_a_row_a_system_and_a_column_a_target() -> None:
    rows = [("vocals", "SDR", 4.018), ("vocals", "SIR", 7.9), ("accompaniment", "SDR", 9.9)]
    two = pd.DataFrame(rows, columns=["target", "metric", "median"])
    five = pd.concat([two, pd.DataFrame([("drums", "SDR", 100.0), ("bass", "SDR", float("nan"))], columns=two.columns)])
    lines = [line for line in format_overview({"MDL1": two, "HEL1": five}).splitlines() if "│" in line or "┃" in line]
    cells = [[cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]] for line in lines]
    assert cells[0] == ["system", "vocals", "accompaniment", "drums", "bass"]
    assert cells[1:] == [["MDL1", "4.02", "9.90", "-", "-"], ["HEL1", "4.02", "9.90", "> 80", "-"]]
