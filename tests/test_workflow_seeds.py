"""`seeds` in a run: each recipe is trained once per seed, and the spread over its trainings is reported."""

from pathlib import Path

import pandas as pd
import pytest
from flow import Run, run, tiny_config

pytestmark = pytest.mark.slow

TRAININGS = ("MDL1", "MDL1-seed219", "MDL1-seed220")  # of seeds 218, 219, 220
TARGETS = ("results/table.txt", "results/compare/index.html")


@pytest.fixture(scope="module")
def finished(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("seeds") / "run"
    fast = {"engine": "fast", "audit_tracks": 0, "audit_seed": 1}
    config = tiny_config(songs / "musdb", systems=["MDL1"], seeds=[218, 219, 220], scoring=fast)
    return Run(folder, config, run(folder, config, *TARGETS))


def medians(finished: Run, system: str) -> pd.Series:
    """The medians over tracks of a training, in dB, by target and metric."""
    return pd.read_csv(finished.folder / "results" / system / "medians.csv").set_index(["target", "metric"])["median"]


def test_each_seed_is_trained_and_scored(finished: Run) -> None:
    jobs = finished.outcome.jobs
    assert (jobs["train"], jobs["checkpoint"], jobs["separate"], jobs["score"]) == (3, 3, 3, 4)  # and the mixture
    found = [medians(finished, system)["vocals", "SDR"] for system in TRAININGS]
    assert len(set(found)) == 3
    table = (finished.folder / "results/table.txt").read_text()
    assert all(name in table for name in TRAININGS)


def test_the_spread_over_the_trainings_is_reported(finished: Run) -> None:
    (path,) = (finished.folder / "results/compare/tables").rglob("trainings.csv")
    row = pd.read_csv(path).set_index(["system", "target", "metric"]).loc["MDL1", "vocals", "SDR"]
    found = pd.Series([medians(finished, system)["vocals", "SDR"] for system in TRAININGS])
    expected = [3, found.mean(), found.std(), found.min(), found.max()]
    assert row[["n_trainings", "mean", "sd", "lowest", "highest"]].tolist() == pytest.approx(expected, abs=2e-3)
    page = (finished.folder / "results/compare/index.html").read_text()
    assert f"MDL1, 3 trainings: vocals SDR {found.mean():.2f} dB on average" in page
