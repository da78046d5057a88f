"""The workflow with couplings: from songs to the table of a system, and what it refuses before anything runs."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from flow import Run, dry_run, left_behind, run, side_by_side, tiny_config

TINY_DENSE = {
    "front_end": {"sample_rate_hz": 44_100, "window_length": 64, "fft_length": 64, "hop_length": 512 // 16},
    "training": {"n_epochs": 1, "batch_size": 512, "validation": False, "selection": "last"},
}
pytestmark = pytest.mark.slow
NCA = {"n_iterations": 5, "learning_rate": 0.01, "jacobian_sequences": 2}


def couplings_config(musdb: Path, **changes: Any) -> dict[str, Any]:
    config = tiny_config(musdb, systems=["SF"], couplings=["SF"], nca=NCA, validation_tracks=[])
    return config | {"overrides": {"DAE": TINY_DENSE}} | changes


@pytest.fixture(scope="module")
def finished(musdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One run up to the table of couplings, which needs neither estimates nor scores."""
    folder, config = tmp_path_factory.mktemp("couplings") / "run", couplings_config(musdb)
    return Run(folder, config, run(folder, config, "results/couplings.html"))


def test_one_command_gives_the_couplings(finished: Run) -> None:
    assert finished.outcome.jobs == {"prepare": 2, "train": 1, "checkpoint": 1, "couplings": 1, "couplings_table": 1}
    assert left_behind(finished.folder) == []
    folder = finished.folder / "results/SF/couplings"
    names = sorted(path.name for path in (Path(finished.config["musdb_root"]) / "test").iterdir())
    assert sorted(pd.read_csv(folder / "measures.csv")["group"].unique()) == names
    assert pd.read_csv(folder / "losses.csv")["iteration"].max() == 5
    table, summary = pd.read_csv(finished.folder / "results/couplings.csv"), pd.read_csv(folder / "summary.csv")
    assert set(table["system"]) == {"SF"} and table.drop(columns="system").equals(summary)
    assert "<th>SF (n = 2)</th>" in (finished.folder / "results/couplings.html").read_text()


def test_nothing_is_done_twice_and_an_option_fits_anew(finished: Run, musdb: Path) -> None:
    whole, other = side_by_side(dry_run, [finished.folder] * 2, [finished.config, couplings_config(musdb, nca=NCA | {"n_iterations": 6})])
    assert "couplings" not in whole.jobs and "train" not in whole.jobs
    assert {rule: other.jobs.get(rule, 0) for rule in ("train", "couplings", "couplings_table")} == {
        "train": 0,
        "couplings": 1,
        "couplings_table": 1,
    }
