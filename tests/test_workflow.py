"""The whole workflow through Snakemake, from wavs to a submission that the campaign accepts."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml
from flow import ROOT, Run, dry_run, final_faults, left_behind, own_lines, run, tiny_config, with_recipe
from jsonschema import Draft202012Validator
from wavs import RATE_HZ, noise_stems, write_track

from madsep.core.files import read_json
from madsep.data.datasets import MUSDB18, TARGETS
from madsep.submission.check import HERE, check_submission

AFTER_AGGREGATE = {"table": 1, "compare": 1, "listen": 1}
AFTER_CHECKPOINT = {"separate": 1, "preview": 1, "score": 1, "aggregate": 1, "submission": 1, **AFTER_AGGREGATE}
AFTER_TRAINING = {"train": 1, "losses": 1, "checkpoint": 1, **AFTER_CHECKPOINT}


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


def test_all_targets_are_there(first: Run, musdb: Path) -> None:
    assert first.outcome.status == 0, first.outcome.text
    results = first.folder / "results"
    for system in ("MDL1", "MIX"):
        for table in ("medians", "summary", "track_medians", "global"):
            assert len(pd.read_csv(results / system / f"{table}.csv")) > 0
        assert sorted(path.stem for path in (results / system / "scores/test").iterdir()) == track_names(musdb, "test")
    for page in ("MDL1/losses.svg", "compare/index.html", "listen/index.html"):
        assert (results / page).stat().st_size > 1000
    (training,) = (results / "trainings").iterdir()
    assert len(pd.read_csv(training / "history.csv")) == 1 and any((training / "tensorboard").iterdir())
    assert not (training / "state.safetensors").exists()
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


def test_provenance_ties_the_submission_to_the_files_of_the_run(first: Run, musdb: Path) -> None:
    found = first.provenance
    assert found["versions"]["numpy"] == np.__version__
    assert found["settings"]["segments"] == first.config["overrides"]["MDL1"]["segments"] | {"overlap": 0}
    text = json.dumps(found)
    files = [first.folder / "results/MDL1/checkpoint.safetensors", *(first.folder / "results/MDL1/estimates/test").rglob("*.wav")]
    files += [*musdb.rglob("*.wav"), *(first.submission / "test").iterdir(), *first.folder.glob("results/trainings/*/weights.safetensors")]
    assert [path for path in files if digest(path) not in text] == []
    n_jobs = {stage: times["n_jobs"] for stage, times in found["times"].items()}
    assert n_jobs == {"prepare": 2, "train": 1, "separate": 1, "score": 1}
    assert all(times["seconds"] > 0 for times in found["times"].values())


def test_estimates_add_up_to_the_mixture(first: Run, musdb: Path) -> None:
    for name in track_names(musdb, "test"):
        folder = first.folder / "results/MDL1/estimates/test" / name
        vocals, accompaniment = (sf.read(folder / f"{target}.wav", dtype="int16")[0].astype(int) for target in TARGETS)
        mixture, rate_hz = sf.read(musdb / "test" / name / "mixture.wav", dtype="int16")
        assert rate_hz == RATE_HZ and vocals.any() and accompaniment.any()
        np.testing.assert_array_equal(vocals + accompaniment, mixture)


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ("how to run", {}),
        ("separation", {"checkpoint": 1, **AFTER_CHECKPOINT}),
        ("training", AFTER_TRAINING),
        ("authors", {"submission": 1}),
    ],
)
def test_one_change_reruns_exactly_what_depends_on_it(first: Run, change: str, jobs: dict[str, int]) -> None:
    """tests/test_plan.py has all such changes; these go through Snakemake."""
    changes = {
        "how to run": first.config | {"save_every_s": 5, "threads": {"train": 2, "separate": 2, "score": 2}},
        "separation": with_recipe(first.config, separation={"latent_threshold": 0.1}),
        "training": with_recipe(first.config, training={"learning_rate": 2.0e-3}),
        "authors": first.config | {"submission": {"authors": "A. Author", "affiliations": None, "contact": None}},
    }
    assert dry_run(first.folder, changes[change]).jobs == jobs


def test_a_mistake_ends_before_anything_runs(first: Run, tmp_path: Path) -> None:
    outcome = run(tmp_path / "run", first.config | {"systems": ["MDL2"]})
    assert outcome.status != 0 and [path.name for path in (tmp_path / "run").iterdir()] == [".snakemake"]
    (line,) = own_lines(outcome)
    assert line.startswith("ERROR: systems: there is no system 'MDL2'")


def test_every_faulty_track_is_named_at_the_end(musdb: Path, tmp_path: Path) -> None:
    root = tmp_path / "musdb"
    shutil.copytree(musdb / "test", root / "test")
    source = next((musdb / "train").iterdir())
    cut, mono, nan, rate, short = (root / "train" / f"{name} & Co. - It's (Bad)" for name in ("Cut", "Mono", "NaN", "Rate", "Short"))
    for folder in (cut, mono, nan, rate, short):
        shutil.copytree(source, folder)
    samples, rate_hz = sf.read(source / "vocals.wav")
    n_bytes = (cut / "bass.wav").stat().st_size
    (cut / "bass.wav").write_bytes((cut / "bass.wav").read_bytes()[:-1000])
    sf.write(mono / "mixture.wav", samples[:, 0], rate_hz)
    sf.write(rate / "other.wav", samples, 48_000)
    sf.write(short / "drums.wav", samples[:-7], rate_hz)
    samples[4410, 1] = np.nan
    sf.write(nan / "vocals.wav", samples, rate_hz, subtype="FLOAT")
    outcome = run(tmp_path / "run", tiny_config(root), "results/MDL1/checkpoint.safetensors")
    assert final_faults(outcome) == [
        f"ERROR: {cut}/bass.wav: the file is truncated: its header promises {n_bytes - 44} bytes of audio and it holds {n_bytes - 1044}; "
        "copy or download it again.",
        f"{mono}/mixture.wav: expected stereo (2 channels), found 1.",
        f"{nan}/vocals.wav: holds NaN or infinite samples, the first at 0.100 s; export it again.",
        f"{rate}/other.wav: expected a sample rate of 44100 Hz, found 48000 Hz.",
        f"{short}/drums.wav: the stem 'drums' has {len(samples) - 7} samples, expected {len(samples)} as in the mixture; "
        "all stems of a track must be equally long.",
    ]
    assert list((tmp_path / "run").glob("results/prepared/*/*.npy")) == [] and left_behind(tmp_path / "run") == []


@pytest.mark.slow
def test_a_second_run_gives_the_same_bytes(first: Run, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    outcome = run(folder, first.config, "submission/MDL1/provenance.yaml", "results/MDL1/tables.json")
    assert outcome.status == 0, outcome.text
    kinds = ["prepared/*/*.npy", "trainings/*/*.safetensors", "trainings/*/history.csv", "MDL1/*.safetensors", "MDL1/*.csv"]
    kinds += ["MDL1/estimates/**/*.*", "MDL1/scores/**/*.*"]
    compared = [path for kind in kinds for path in (first.folder / "results").glob(kind) if path.is_file()]
    assert len(compared) > 20
    for path in compared:
        assert (folder / path.relative_to(first.folder)).read_bytes() == path.read_bytes(), path


@pytest.mark.slow
def test_report_works_offline(first: Run) -> None:
    path = first.folder / "report.html"
    outcome = run(first.folder, first.config, "--report", str(path))
    assert outcome.status == 0, outcome.text
    page = path.read_text()
    for figure in ("MDL1/losses.svg", "compare/index.html", "listen/index.html", "table.txt"):
        assert base64.b64encode((first.folder / "results" / figure).read_bytes()).decode() in page
    assert "<link " not in page and "<script src" not in page


@pytest.mark.slow
def test_snakemakes_linter_finds_nothing(first: Run) -> None:
    outcome = run(first.folder, first.config, "--lint")
    assert outcome.status == 0, outcome.text


def test_rules_are_plain() -> None:
    """No rule is longer than 25 lines or defined twice."""
    texts = {path: path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")}
    names = [name for text in texts.values() for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)]
    assert len(names) == len(set(names)) > 10
    for text in texts.values():
        for rule in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]:
            lines = [line for line in rule.partition("\n\n\n")[0].splitlines() if line.strip()]
            assert len(lines) <= 25, lines[0]
    assert sum(text.count("lambda") for text in texts.values()) <= 6


@pytest.mark.slow
def test_workflow_is_formatted() -> None:
    snakefmt = shutil.which("snakefmt", path=Path(sys.executable).parent) or pytest.skip("snakefmt is not installed")
    completed = subprocess.run([snakefmt, "--check", "Snakefile", "workflow"], cwd=ROOT, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr


def test_conda_environment_pins_what_make_installs() -> None:
    installed = set("".join((ROOT / f"requirements{part}.txt").read_text().lower() for part in ("", "-torch")).split())
    *_, packages = yaml.safe_load((ROOT / "workflow/envs/madsep.yaml").read_text())["dependencies"]
    assert set(packages["pip"]) <= installed
    imported = {line.partition("==")[0] for line in packages["pip"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needed = {re.match(r"[\w-]+", line)[0] for line in [*project["dependencies"], *extras["train"], *extras["tensorboard"]]}
    assert imported == needed


@pytest.mark.slow
def test_the_fifty_real_names_go_all_the_way(tmp_path: Path) -> None:
    root, folder = tmp_path / "musdb", tmp_path / "run"
    for seed, name in enumerate(MUSDB18.test_names()):
        write_track(root / "test" / name, noise_stems(seed, 0.5))
    for number in range(3):
        write_track(root / "train" / f"Somebody & Co. - It's (No. {number})", noise_stems(100 + number, 0.5))
    config = tiny_config(root, job_s={"prepare": 1200, "separate": 1200, "score": 12.6})
    finished = Run(folder, config, run(folder, config, "submission/MDL1/provenance.yaml", "results/MDL1/tables.json"))
    shared_jobs = {"prepare": 2, "separate": 1, "score": 2}  # tracks this short share a job
    once = dict.fromkeys(("train", "checkpoint", "aggregate", "submission"), 1)
    assert finished.outcome.jobs == once | shared_jobs
    assert len(MUSDB18.test_names()) == 50
    campaign_accepts(finished.submission, MUSDB18.test_names())
    assert check_submission(finished.submission, MUSDB18.test_names()) == []
    assert set(pd.read_csv(folder / "results/MDL1/medians.csv")["n_tracks"]) == {50}
    assert left_behind(folder) == []


@pytest.mark.slow
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
    assert digest(source) in json.dumps(finished.provenance)
    scores = read_json(next((finished.submission / "test").iterdir()))
    assert {target["name"]: len(target["frames"]) for target in scores["targets"]} == dict.fromkeys(TARGETS, 6)
