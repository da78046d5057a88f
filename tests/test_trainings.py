"""Several trainings of one recipe: told by their names, checked together, their spread."""

import pandas as pd
import pytest

from madsep.comparison.published import published_frames, published_track_medians
from madsep.comparison.reproduction import REPRODUCED, UNDECIDED
from madsep.comparison.runs import Group, Run
from madsep.comparison.trainings import by_recipe, reproductions, spread, spread_lines


def run_of(system: str, name: str, by: float = 0.0) -> Run:
    tracks = published_track_medians()
    tracks = tracks[tracks["system"] == system]
    own = tracks[["track", "target", "metric", "median"]].assign(n_frames=tracks["track"].map(published_frames()), nan_share=0.0)
    return Run(name, own.assign(median=own["median"] + by))


def test_trainings_are_told_by_their_names() -> None:
    names = ["A", "A-seed219", "B-seed1", "A-seed220", "C-seed1-seed2", "C-seed1", "A-seedling"]
    found = by_recipe([Run(name, pd.DataFrame()) for name in names])
    assert {name: [run.name for run in runs] for name, runs in found.items()} == {
        "A": ["A", "A-seed219", "A-seed220"],
        "B-seed1": ["B-seed1"],
        "C-seed1": ["C-seed1-seed2", "C-seed1"],
        "A-seedling": ["A-seedling"],
    }


def test_trainings_are_checked_together() -> None:
    runs = [run_of("MDL1", "MDL1", 0.05), run_of("JY1", "JY"), run_of("MDL1", "MDL1-seed219", -0.05), run_of("MDL1", "MDL1-seed220")]
    group, published = Group("sisec18", "", published_frames(), "", runs), published_track_medians()
    (check,) = reproductions(group, published, None)
    assert (check.run, check.published, check.n_trainings, check.verdict) == ("MDL1", "MDL1", 3, REPRODUCED)
    row = check.summary.iloc[0]
    assert row["difference"] == pytest.approx(0, abs=1e-9) and row["spread"] == pytest.approx(0.05)
    asked = reproductions(group, published, "JY2")
    assert [(check.run, check.published, check.n_trainings) for check in asked] == [("MDL1", "JY2", 3), ("JY", "JY2", 1)]
    assert asked[1].verdict == UNDECIDED
    assert not reproductions(Group("other-1", "", published_frames(), "", runs), published, "JY2")


def test_spread_is_that_of_the_medians() -> None:
    runs = [run_of("MDL1", "MDL1", 0.1), run_of("MDL1", "MDL1-seed1", -0.1), run_of("WK", "WK")]
    table = spread(runs)
    assert set(table["system"]) == {"MDL1"} and len(table) == 8
    row = table.iloc[0]
    assert (row["target"], row["metric"], row["n_trainings"]) == ("vocals", "SDR", 2)
    published = [row["mean"] - 0.1, row["mean"], row["mean"] + 0.1]
    assert published == pytest.approx([row["lowest"], 4.0223, row["highest"]], abs=5e-5)
    assert row["sd"] == pytest.approx(0.1 * 2**0.5)
    assert spread(runs[1:]).empty and spread_lines(runs[1:]) == []
    expected = "MDL1, 2 trainings: vocals SDR 4.02 dB on average, standard deviation 0.14 dB, 3.92 to 4.12 dB"
    assert spread_lines(runs)[0] == expected and len(spread_lines(runs)) == 2
