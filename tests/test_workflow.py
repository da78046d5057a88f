"""The whole workflow through Snakemake, from wavs or stems to a submission that the campaign accepts."""

import base64
import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from flow import ROOT, Run, dry_run, left_behind, run, side_by_side, tiny_config, with_recipe
from jsonschema import Draft202012Validator
from wavs import RATE_HZ, noise_stems, write_track

from madsep.data.datasets import MUSDB18
from madsep.submission.check import HERE, check_submission

TARGETS = ("vocals", "accompaniment")
AFTER_AGGREGATE = {"figures": 1, "table": 1, "compare": 1}
AFTER_SCORE = {"aggregate": 1, "submission": 1, **AFTER_AGGREGATE}
AFTER_CHECKPOINT = {"separate": 1, "preview": 1, "score": 1, **AFTER_SCORE}
AFTER_TRAINING = {"losses": 1, "checkpoint": 1, **AFTER_CHECKPOINT}


def campaign_accepts(submission: Path, names: list[str]) -> None:
    """The campaign's own acceptance rules, written down again from its tests/test_submissions.py."""
    assert len(submission.name) <= 4
    assert (submission / "description.md").exists()
    paths = list(submission.glob("**/*.json"))
    assert sorted(path.stem for path in paths) == sorted(names)
    schema = json.loads((HERE / "museval.schema.json").read_text())
    for path in paths:
        Draft202012Validator(schema).validate(json.loads(path.read_text()))


def track_names(root: Path, subset: str) -> list[str]:
    return sorted(path.name for path in (root / subset).iterdir())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_all_targets_are_there(first: Run) -> None:
    assert first.outcome.status == 0, first.outcome.text
    results = first.folder / "results"
    for system in ("MDL1", "MIX"):
        for table in ("medians", "summary", "track_medians", "global"):
            assert len(pd.read_csv(results / system / f"{table}.csv")) > 0
        assert len(list((results / system / "scores/test").glob("test00[12].json"))) == 2
    for figure in ("losses.svg", "boxplots.svg", "medians.html"):
        assert (results / "MDL1/report" / figure).stat().st_size > 1000
    assert len(pd.read_csv(results / "MDL1/training/history.csv")) == 1
    assert any((results / "MDL1/training/tensorboard").iterdir())
    assert not (results / "MDL1/training/state.safetensors").exists()
    assert left_behind(first.folder) == []


def test_campaign_accepts_the_submission(first: Run, musdb: Path) -> None:
    campaign_accepts(first.submission, track_names(musdb, "test"))
    assert check_submission(first.submission) == []


def test_run_ends_with_the_table_and_the_submissions_path(first: Run) -> None:
    medians = pd.read_csv(first.folder / "results/MDL1/medians.csv").set_index(["target", "metric"])["median"]
    rows = [line.split("│") for line in first.outcome.lines if line.startswith("│")]
    found = {(row[1].strip(), row[2].strip()): row[3].strip() for row in rows}
    assert found == {key: f"{value:.2f}" for key, value in medians.items()}
    assert f"submission: {first.submission}" in first.outcome.lines[-4:]


def test_provenance(first: Run, musdb: Path) -> None:
    found = first.provenance
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    if commit.returncode == 0:
        assert found["madsep_commit"].removesuffix("-dirty") == commit.stdout.strip()
    assert found["versions"]["numpy"] == np.__version__
    assert found["seed"] == 218
    assert found["settings"]["segments"] == first.config["overrides"]["MDL1"]["segments"] | {"overlap": 0}
    assert found["settings_sha256"] == hashlib.sha256(json.dumps(found["settings"], sort_keys=True).encode()).hexdigest()
    assert found["checkpoint_sha256"] == digest(first.folder / "results/MDL1/checkpoint.safetensors")
    assert found["data"]["train_tracks"] == track_names(musdb, "train")
    assert found["data"]["test_tracks"] == track_names(musdb, "test")
    for subset in ("train", "test"):
        for name in track_names(musdb, subset):
            assert found["data"]["sources_sha256"][name] == {f"{s}.wav": digest(musdb / subset / name / f"{s}.wav") for s in MUSDB18.stems}
            assert found["data"]["n_samples"][name] == sf.info(musdb / subset / name / "mixture.wav").frames
    estimates = first.folder / "results/MDL1/estimates/test"
    for name in track_names(musdb, "test"):
        assert found["estimates_sha256"][name] == {target: digest(estimates / name / f"{target}.wav") for target in TARGETS}
        assert found["scores_sha256"][name] == digest(first.submission / f"test/{name}.json")
    n_jobs = {stage: times["n_jobs"] for stage, times in found["times"].items()}
    assert n_jobs == {"prepare": 2, "train": 1, "separate": 1, "score": 1}
    assert all(times["seconds"] > 0 for times in found["times"].values())


def test_estimates_add_up_to_the_mixture(first: Run, musdb: Path) -> None:
    clipped = first.provenance["clipped_samples"]
    for name in track_names(musdb, "test"):
        folder = first.folder / "results/MDL1/estimates/test" / name
        vocals, accompaniment = (sf.read(folder / f"{target}.wav", dtype="int16")[0].astype(int) for target in TARGETS)
        mixture, rate_hz = sf.read(musdb / "test" / name / "mixture.wav", dtype="int16")
        assert rate_hz == RATE_HZ and clipped[name] == dict.fromkeys(TARGETS, 0)
        assert vocals.any() and accompaniment.any()
        np.testing.assert_array_equal(vocals + accompaniment, mixture)


def test_a_second_run_gives_the_same_bytes(first: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    outcome = run(folder, first.config, "submission/MDL1/provenance.yaml", "results/MDL1/medians.csv")
    assert outcome.status == 0, outcome.text
    kinds = ["prepared/*.npy", "MDL1/training/*.safetensors", "MDL1/training/history.csv", "MDL1/*.safetensors", "MDL1/*.csv"]
    kinds += ["MDL1/estimates/**/*.wav", "MDL1/scores/**/*.*"]
    compared = [path for kind in kinds for path in (first.folder / "results").glob(kind) if path.is_file()]
    assert len(compared) == 4 + 1 + 1 + 1 + 4 + 4 + 3
    for path in compared:
        assert (folder / path.relative_to(first.folder)).read_bytes() == path.read_bytes(), path
    second = Run(folder, first.config, outcome)
    varying = {"written", "times"}
    assert {k: v for k, v in second.provenance.items() if k not in varying} == {
        k: v for k, v in first.provenance.items() if k not in varying
    }


@pytest.fixture(scope="session")
def replanned(first: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """What a finished run would do again after one change: name of the change -> jobs of each rule."""
    bootstrap, both = first.config["bootstrap"], {"systems": ["MDL1", "MDLT"]}
    changes = {
        "nothing": first.config,
        "how to run": first.config | {"save_every_s": 5, "threads": {"train": 2, "separate": 2, "score": 2}},
        "separation": with_recipe(first.config, separation={"latent_threshold": 0.1}),
        "description": with_recipe(first.config, description={"title": "Another title"}),
        "training": with_recipe(first.config, training={"learning_rate": 2.0e-3}),
        "bootstrap seed": first.config | {"bootstrap": bootstrap | {"seed": bootstrap["seed"] + 1}},
        "authors": first.config | {"submission": {"authors": "A. Author", "affiliations": None, "contact": None}},
        "one more system": first.config | both,
        "everything, two systems": first.config | both,
    }
    folders = [first.folder] * (len(changes) - 1) + [tmp_path_factory.mktemp("new") / "run"]
    outcomes = side_by_side(dry_run, folders, list(changes.values()))
    return {name: outcome.jobs for name, outcome in zip(changes, outcomes, strict=True)}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("nothing", {}),
        ("how to run", {}),
        ("separation", {"checkpoint": 1, **AFTER_CHECKPOINT}),
        ("training", {"train": 1, **AFTER_TRAINING}),
        ("bootstrap seed", {"aggregate": 2, **AFTER_AGGREGATE}),
        ("authors", {"submission": 1}),
        ("description", {"submission": 1}),
        ("one more system", {"checkpoint": 1, **AFTER_CHECKPOINT}),
    ],
)
def test_one_change_reruns_exactly_what_depends_on_it(replanned: dict[str, dict[str, int]], change: str, jobs: dict[str, int]) -> None:
    assert replanned[change] == jobs


def test_mdlt_takes_the_weights_of_mdl1(replanned: dict[str, dict[str, int]]) -> None:
    both = {"checkpoint": 2, "separate": 2, "preview": 2, "score": 3, "aggregate": 3, "submission": 2, "figures": 2}
    assert replanned["everything, two systems"] == {"prepare": 2, "train": 1, "losses": 1, "table": 1, "compare": 1, **both}


def test_report_works_offline(first: Run) -> None:
    path = first.folder / "report.html"
    outcome = run(first.folder, first.config, "--report", str(path))
    assert outcome.status == 0, outcome.text
    page = path.read_text()
    for figure in ("losses.svg", "boxplots.svg", "medians.html"):
        content = (first.folder / "results/MDL1/report" / figure).read_bytes()
        assert base64.b64encode(content).decode() in page
    assert "<link " not in page and "<script src" not in page


def test_snakemakes_linter_finds_nothing(first: Run) -> None:
    outcome = run(first.folder, first.config, "--lint")
    assert outcome.status == 0, outcome.text


def test_workflow_is_formatted() -> None:
    snakefmt = shutil.which("snakefmt", path=Path(sys.executable).parent) or pytest.skip("snakefmt is not installed")
    completed = subprocess.run([snakefmt, "--check", "Snakefile", "workflow"], cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr


def test_conda_environment_pins_what_make_installs() -> None:
    installed = set((ROOT / "requirements.txt").read_text().lower().split())
    *_, packages = yaml.safe_load((ROOT / "workflow/envs/madsep.yaml").read_text())["dependencies"]
    assert set(packages["pip"]) <= installed
    imported = {line.partition("==")[0] for line in packages["pip"]}
    needed = {re.match(r"[\w-]+", line)[0] for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]}
    assert imported == needed - {"snakemake", "pygments"}  # those two run the workflow and the report, not the jobs


@pytest.fixture(scope="session")
def real_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 50 real test names and three training tracks, half a second each."""
    root = tmp_path_factory.mktemp("real") / "musdb"
    for seed, name in enumerate(MUSDB18.test_names()):
        write_track(root / "test" / name, noise_stems(seed, 0.5))
    for number in range(3):
        write_track(root / "train" / f"Somebody & Co. - It's (No. {number})", noise_stems(100 + number, 0.5))
    return root


def test_the_fifty_real_names_go_all_the_way(real_names: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = tiny_config(real_names, job_s={"prepare": 1200, "separate": 1200, "score": 12.6})
    finished = Run(folder, config, run(folder, config, "submission/MDL1/provenance.yaml", "results/MDL1/medians.csv"))
    shared_jobs = {"prepare": 2, "separate": 1, "score": 2}  # tracks this short share a job
    assert finished.outcome.jobs == {"train": 1, "checkpoint": 1, "aggregate": 1, "submission": 1, **shared_jobs}
    assert len(MUSDB18.test_names()) == 50
    campaign_accepts(finished.submission, MUSDB18.test_names())
    assert check_submission(finished.submission, MUSDB18.test_names()) == []
    assert set(pd.read_csv(folder / "results/MDL1/medians.csv")["n_tracks"]) == {50}
    for name in MUSDB18.test_names():
        wavs = [sf.read(folder / f"results/MDL1/estimates/test/{name}/{target}.wav", dtype="int16")[0] for target in TARGETS]
        np.testing.assert_array_equal(sum(wavs), sf.read(real_names / f"test/{name}/mixture.wav", dtype="int16")[0])
    assert left_behind(folder) == []


@pytest.fixture
def full_size(real_names: Path, tmp_path: Path) -> Iterator[Path]:
    """100 + 50 tracks: hard links to a few, since only names, sizes and headers are read."""
    root = tmp_path / "musdb"
    shutil.copytree(real_names, root, copy_function=os.link)
    source = next((root / "train").iterdir())
    for number in itertools.count():
        if len(list((root / "train").iterdir())) == 100:
            break
        shutil.copytree(source, root / "train" / f"Made Up - Song {number}", copy_function=os.link)
    yield root


def test_a_dry_run_on_the_full_data_set_takes_under_ten_seconds(full_size: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    outcome = dry_run(tmp_path / "run", {"musdb_root": str(full_size)})
    assert outcome.jobs["train"] == 1
    assert time.monotonic() - start < 10


def test_a_real_stem_file_goes_all_the_way(shared: Path, tmp_path: Path) -> None:
    (source,) = (shared / "data/musdb_sample/train").glob("*.stem.mp4")
    root = tmp_path / "musdb"
    for subset, name in (("train", source.name), ("test", "Somebody's - 80s Rock (feat. Others).stem.mp4")):
        (root / subset).mkdir(parents=True)
        shutil.copyfile(source, root / subset / name)
    folder = tmp_path / "run"
    config = tiny_config(root, scoring={"engine": "fast", "audit_tracks": 1, "audit_seed": 1})
    finished = Run(folder, config, run(folder, config, "submission/MDL1/provenance.yaml"))
    assert finished.outcome.status == 0, finished.outcome.text
    campaign_accepts(finished.submission, ["Somebody's - 80s Rock (feat. Others)"])
    assert check_submission(finished.submission) == []
    assert finished.outcome.jobs["audit"] == 1
    scoring = finished.provenance["scoring"]
    assert scoring["engine"] == "fast"
    assert scoring["audit_by_museval"]["worst_difference_db"]["Somebody's - 80s Rock (feat. Others)"] <= 1e-4
    assert "museval scored 1 tracks again" in (finished.submission / "description.md").read_text()
    data = finished.provenance["data"]
    assert data["layouts"] == ["stems"] and data["ffmpeg"]
    assert data["sources_sha256"]["Music Delta - 80s Rock"] == {source.name: digest(source)}
    scores = json.loads(next((finished.submission / "test").iterdir()).read_text())
    assert {target["name"]: len(target["frames"]) for target in scores["targets"]} == dict.fromkeys(TARGETS, 6)
