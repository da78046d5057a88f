"""The workflow on a small tree like MIR-1K's: mono, 16 kHz, scored by GNSDR; no submission."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from clips import RATE_HZ, make_clips
from flow import ROOT, TINY, Run, dry_run, left_behind, own_lines, run, side_by_side

from madsep.data.import_mir1k import import_mir1k
from madsep.data.prepared import read_prepared
from madsep.data.tracks import slug_of

pytestmark = pytest.mark.slow
CLIPS = ["abjones_1_01", "amy_2_03", "Ani_1_01", "titon_4_02"]
ALONE = ("vocals", "accompaniment")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips to train and two to test, 2 s and a little more."""
    root = tmp_path_factory.mktemp("mir1k")
    import_mir1k(make_clips(root / "MIR-1K", CLIPS, 2.0), root / "tree")
    return root / "tree"


@pytest.fixture(scope="module")
def finished(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The config that ships for MIR-1K, with a tiny network on the CPU."""
    config = yaml.safe_load((ROOT / "workflow/configs/mir1k.yaml").read_text())
    config |= {"musdb_root": str(tree), "device": "cpu", "threads": {"train": 1, "separate": 1, "score": 1}}
    config |= {
        "systems": ["MDL1-mir1k"],
        "overrides": {"MDL1": TINY, "MDL1-mir1k": TINY | {"training": TINY["training"] | {"n_epochs": 1}}},
    }
    folder = tmp_path_factory.mktemp("run") / "run"
    return Run(folder, config, run(folder, config))


def test_one_command_gives_the_scores_and_no_submission(finished: Run) -> None:
    shared_jobs = {"prepare": 2, "train": 1, "losses": 1, "checkpoint": 1, "separate": 1}
    assert finished.outcome.jobs == {**shared_jobs, "score": 2, "aggregate": 2, "table": 1, "listen": 1}
    assert not (finished.folder / "submission").exists()
    assert "submission" not in finished.outcome.text.partition("Job stats")[2]
    assert left_behind(finished.folder) == []
    table = (finished.folder / "results/table.txt").read_text()
    assert table.strip() in finished.outcome.text
    rows = {row.split("│")[1].strip(): row for row in table.splitlines() if row.startswith("│")}
    assert list(rows) == ["MDL1-mir1k", "mixture"] and "0.00" in rows["mixture"]


def test_means_are_weighted_by_length(finished: Run) -> None:
    for system in ("MDL1-mir1k", "MIX"):
        folder = finished.folder / "results" / system
        means = pd.read_csv(folder / "gnsdr.csv").set_index("metric")
        scores = pd.read_csv(folder / "clips.csv")
        assert sorted(scores["track"].unique()) == ["Ani_1_01", "titon_4_02"]
        nsdr = scores[scores["metric"] == "NSDR"]
        assert nsdr["n_samples"].nunique() == 2
        expected = (nsdr["value"] * nsdr["n_samples"]).sum() / nsdr["n_samples"].sum()
        assert means.loc["GNSDR", "value"] == pytest.approx(expected, abs=1e-5)
        assert set(means["n_clips"]) == {2}
    assert means.loc["GNSDR", "value"] == 0  # of the mixture


def test_everything_is_mono_at_16_khz(finished: Run, tree: Path) -> None:
    for subset in ("train", "test"):
        slugs = [slug_of(path.name) for path in (tree / subset).iterdir()]
        for track in read_prepared(finished.folder / "results/prepared" / subset, slugs, (subset,)):
            assert (track.n_channels, track.sample_rate_hz) == (1, RATE_HZ)
            assert track.mixture_residual_db is None and track.notes == ()
            for signal in track.signals:
                expected = sf.read(tree / subset / track.name / f"{signal}.wav", dtype="float32")[0]
                np.testing.assert_array_equal(track.signal(signal)[0], expected)
    for name in CLIPS[2:]:
        folder = finished.folder / "results/MDL1-mir1k/estimates/test" / name
        for target in ALONE:
            info = sf.info(folder / f"{target}.wav")
            assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "PCM_16")
        total = sum(sf.read(folder / f"{target}.wav")[0] for target in ALONE)
        np.testing.assert_array_equal(total, sf.read(tree / "test" / name / "mixture.wav")[0])


def test_an_oracle_of_two_sources_is_the_ceiling(finished: Run, tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished.folder, folder)
    outcome = run(folder, finished.config | {"systems": ["MDL1-mir1k", "IRM1"]}, "results/IRM1/tables.json")
    assert outcome.jobs == {"separate_external": 1, "score": 1, "aggregate": 1}
    tables = {name: pd.read_csv(folder / "results" / name / "gnsdr.csv") for name in ("MDL1-mir1k", "IRM1")}
    gnsdr = {name: table.set_index("metric")["value"]["GNSDR"] for name, table in tables.items()}
    assert gnsdr["IRM1"] > max(gnsdr["MDL1-mir1k"], 2)  # that of the mixture is 0
    for name in CLIPS[2:]:
        estimates = folder / "results/IRM1/estimates/test" / name
        assert sorted(path.stem for path in estimates.iterdir()) == sorted(ALONE)
        total = sum(sf.read(estimates / f"{target}.wav")[0] for target in ALONE)
        np.testing.assert_allclose(total, sf.read(tree / "test" / name / "mixture.wav")[0], rtol=0, atol=1.01 / 32768)


def test_plans_and_refusals(finished: Run, tmp_path: Path) -> None:
    """The whole family trains four networks; a recipe for 44.1 kHz, or for stems that MIR-1K lacks, is refused before anything runs."""
    family = ["MDL1-mir1k", "MDLT-mir1k", "GRU-NRI-mir1k", "GRU-RIS-s-mir1k", "GRU-RIS-l-mir1k"]
    configs = [finished.config | {"systems": systems} for systems in (family, ["MDL1"], ["HEL1-base"])]
    whole, rate, stems = side_by_side(dry_run, [tmp_path / "whole", tmp_path / "rate", tmp_path / "stems"], configs)
    assert {rule: whole.jobs[rule] for rule in ("train", "checkpoint", "separate", "score")} == {
        "train": 4,
        "checkpoint": 5,
        "separate": 5,
        "score": 6,
    }
    assert "ERROR: systems: MDL1 works at 44100 Hz, MIR-1K has 16000 Hz" in rate.text
    assert own_lines(stems) == ["ERROR: systems: HEL1-base needs the stems vocals, drums, bass, other; MIR-1K has no bass, drums, other."]
    assert rate.status == stems.status == 1
