"""Submissions are written from what belongs together only, and what a person wrote there is kept."""

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prepared_tracks import AWKWARD_NAMES
from submissions import NOBODY, PARTS, SCORING, TARGETS, TEST, TRAIN, Finished
from tiny import tiny_recipe

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.core.yaml_files import read_yaml, write_yaml
from madsep.data.tracks import slug_of
from madsep.submission import write
from madsep.submission.check import check_submission
from madsep.submission.times import Jobs, times
from madsep.submission.write import write_submission

STRANGE = [*AWKWARD_NAMES, "it's", "0o17", "- a", "a: b", "# c", "~", "%x", "@y", "2020-01-01", "two  spaces "]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run and its submission, not to be changed."""
    root = tmp_path_factory.mktemp("run")
    submit(Finished(root / "results"), root / "submission/MDL1")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Finished:
    return Finished(tmp_path / "results")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "submission/MDL1"


@pytest.fixture
def submission(made: Path, folder: Path) -> Path:
    """A copy of a finished submission."""
    shutil.copytree(made / "submission/MDL1", folder)
    return folder


def submit(run: Finished, folder: Path, **scoring: Any) -> None:
    write_submission(run.sources, run.recipe, SCORING | scoring, NOBODY, folder)


def content(folder: Path) -> dict[str, str]:
    """The digests of all files below a folder, by name."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


def refused(run: Finished, folder: Path) -> list[str]:
    """The lines of a refusal, after which everything is as it was before."""
    before = content(folder.parent) if folder.parent.exists() else {}
    with pytest.raises(InputError) as error:
        submit(run, folder)
    assert (content(folder.parent) if folder.parent.exists() else {}) == before
    return str(error.value).splitlines()


def test_a_submission_is_valid_and_tied_to_its_sources(made: Path) -> None:
    folder, results = made / "submission/MDL1", made / "results"
    assert check_submission(folder) == []
    found = yaml.safe_load((folder / "provenance.yaml").read_text(encoding="utf-8"))
    assert found["checkpoint"]["sha256"] == sha256(results / "MDL1/checkpoint.safetensors")
    assert found["training"]["files"] == {"weights.safetensors": sha256(results / "trainings/T/weights.safetensors")}
    assert (list(found["data"]["train"]), found["data"]["test_tracks"]) == (TRAIN, TEST)
    for name in TEST:
        assert found["scores"][name]["sha256"] == sha256(folder / f"test/{name}.json") == sha256(results / f"MDL1/scores/test/{name}.json")
        wavs = {f"test/{name}/{target}.wav" for target in TARGETS}
        assert found["estimates"][name]["files"] == {wav: sha256(results / "MDL1/estimates" / wav) for wav in wavs}
        assert found["data"]["test"][name]["sha256"] == sha256(results / f"prepared/test/{slug_of(name)}.npy")
        assert found["data"]["test"][name]["sources"].keys() == {"mixture", "vocals"}
    assert {"written", "madsep_commit", "versions", "hardware", "settings", "times"} <= found.keys()


def test_every_part_of_a_training_counts(made: Path) -> None:
    training = read_yaml(made / "submission/MDL1/provenance.yaml")["training"]
    assert (training["n_parts"], training["seconds"], training["parts"]) == (3, 7.8, PARTS)


def test_names_that_yaml_or_a_shell_would_interpret_come_back(tmp_path: Path) -> None:
    run = Finished(tmp_path / "results", train=STRANGE[:3], test=STRANGE)
    submit(run, tmp_path / "submission/MDL1")
    assert check_submission(tmp_path / "submission/MDL1") == []
    found = yaml.safe_load((tmp_path / "submission/MDL1/provenance.yaml").read_text(encoding="utf-8"))
    assert found["data"]["test_tracks"] == list(found["data"]["test"]) == list(found["scores"]) == STRANGE
    assert {path.stem for path in (tmp_path / "submission/MDL1/test").iterdir()} == set(STRANGE)


def new_sources(run: Finished, name: str) -> None:
    """Other sources in the same place, prepared, and nothing made from them yet."""
    run.versions[name] = 1
    run.prepare()


STALE: list[tuple[str, Callable[[Finished], None], list[str]]] = [
    ("training track", lambda run: new_sources(run, TRAIN[0]), ["not written, 1 fault", "training.identity is"]),
    (
        "extra training track",
        lambda run: (run.names["train"].append("New"), run.prepare()),
        ["not written, 1 fault", "training.identity is"],
    ),
    ("test track", lambda run: new_sources(run, TEST[0]), [f"{TEST[0]}: {{}} has estimates made from other prepared audio"]),
    ("weights", lambda run: (new_sources(run, TRAIN[0]), run.train()), [f"{name}: {{}} has estimates made from another" for name in TEST]),
    (
        "checkpoint",
        lambda run: (new_sources(run, TRAIN[0]), run.train(), run.separate()),
        [f"{name}: {{}} has scores of other estimates" for name in TEST],
    ),
    ("engine", lambda run: run.score("fast"), ["not written, 3 faults", *["were made by engine fast, not museval"] * 3]),
]


@pytest.mark.parametrize(("change", "expected"), [(change, expected) for _, change, expected in STALE], ids=[name for name, *_ in STALE])
def test_what_was_made_from_something_else_is_refused(
    run: Finished, folder: Path, change: Callable[[Finished], None], expected: list[str]
) -> None:
    change(run)
    lines = refused(run, folder)
    assert not folder.exists() and len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        stage = run.root / ("MDL1/scores" if "scores of" in words else "MDL1/estimates")
        assert words.replace("{}", str(stage)) in line


def test_stale_estimates_are_forgotten_so_that_the_same_command_makes_them_again(run: Finished, folder: Path) -> None:
    Stage(run.root / "MDL1/estimates").finish_job("job", [slug_of(name) for name in TEST])
    new_sources(run, TEST[0])
    refused(run, folder)
    assert not (run.root / "MDL1/estimates/jobs/job.json").exists()
    run.separate()
    run.score()
    submit(run, folder)
    assert check_submission(folder) == []


def test_a_changed_recipe_is_named(run: Finished, folder: Path) -> None:
    run.recipe = tiny_recipe(training={"n_epochs": 3})
    (line,) = refused(run, folder)
    assert (
        line == f"{run.checkpoint}: was made with different settings from those in recipe MDL1; delete it and run the same command again."
    )


def test_every_changed_or_missing_file_has_its_line(run: Finished, folder: Path) -> None:
    estimate, score = run.root / f"MDL1/estimates/test/{TEST[0]}/vocals.wav", run.root / f"MDL1/scores/test/{TEST[1]}.json"
    estimate.write_text("other")
    score.unlink()
    remedy = "run the same command again to make it."
    assert refused(run, folder) == [f"{estimate}: was changed after it was written; {remedy}", f"{score}: is missing; {remedy}"]


def test_damaged_weights_and_a_damaged_checkpoint_are_named(run: Finished, folder: Path) -> None:
    for path in (weights := run.root / "trainings/T/weights.safetensors", run.checkpoint):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    lines = refused(run, folder)
    assert [line.partition(":")[0] for line in lines] == [str(run.checkpoint), str(weights)]
    assert all("was changed after it was written" in line for line in lines)


def test_what_a_person_wrote_is_kept(run: Finished, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "madsep")
    submit(run, folder)
    text = (folder / "description.md").read_text(encoding="utf-8")
    run.recipe = tiny_recipe(description={"title": "Another title"})
    submit(run, folder)
    generated = (folder / "description.md").read_text(encoding="utf-8")
    assert "Another title" in generated and "Another title" not in text and not caplog.messages
    edited = generated.replace("Contact: not given", "Contact: ada@example.org")
    (folder / "description.md").write_text(edited, encoding="utf-8")
    (folder / "README.md").write_text("Read me.", encoding="utf-8")
    run.recipe = tiny_recipe()
    for _ in range(2):
        submit(run, folder)
        assert (folder / "description.md").read_text(encoding="utf-8") == edited
        assert (folder / "README.md").read_text(encoding="utf-8") == "Read me."
        assert check_submission(folder) == []
    assert caplog.messages == [f"{folder}: kept your edited README.md and description.md; delete it to generate it again"] * 2
    (folder / "description.md").unlink()
    submit(run, folder)
    assert (folder / "description.md").read_text(encoding="utf-8") == text


def test_tracks_that_left_the_run_leave_the_submission(run: Finished, submission: Path) -> None:
    run.names["test"] = TEST[1:]
    submit(run, submission)
    assert {path.stem for path in (submission / "test").iterdir()} == set(TEST[1:])
    assert check_submission(submission) == []


def test_files_that_belong_to_nobody_are_named(run: Finished, submission: Path) -> None:
    for name in ("notes.txt", "test/Other.json", ".DS_Store", "train/a.json"):
        (submission / name).parent.mkdir(exist_ok=True)
        (submission / name).write_text("{}")
    expected = [".DS_Store", "notes.txt", "test/Other.json", "train/a.json"]
    assert refused(run, submission) == [f"{submission / name}: is not part of a submission; move or delete it." for name in expected]


def test_a_link_is_followed(run: Finished, made: Path, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere/a-long-name"
    shutil.copytree(made / "submission/MDL1", target)
    (target / "README").write_text("Mine.")
    folder.parent.mkdir()
    folder.symlink_to(target)
    submit(run, folder)
    assert folder.is_symlink() and (target / "README").read_text() == "Mine." and check_submission(folder) == []
    assert {path.name for path in target.parent.iterdir()} == {target.name}


def test_a_write_that_is_interrupted_leaves_the_old_one(run: Finished, submission: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(submission.parent)

    def interrupted(*_: Any, **__: Any) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "check_submission", interrupted)
    with pytest.raises(KeyboardInterrupt):
        submit(run, submission)
    assert content(submission.parent) == before


def changed(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> list[str]:
    """Let `edit` change provenance.yaml; return the faults."""
    values = read_yaml(folder / "provenance.yaml")
    edit(values)
    write_yaml(folder / "provenance.yaml", values)
    return check_submission(folder)


FORGED: list[tuple[Callable[[dict[str, Any]], Any], list[str]]] = [
    (lambda v: v["settings"]["training"].update(n_epochs=9), ["settings.training was changed"]),
    (lambda v: v["settings"].pop("loss"), ["settings.loss was changed"]),
    (lambda v: v["settings"].update(new=1), ["settings.new was changed"]),
    (lambda v: v["settings_sha256"].update(loss="0"), ["settings.loss was changed"]),
    (
        lambda v: v["data"]["train"][TRAIN[0]]["sources"].update(vocals="0"),
        [f"data.train: the prepared audio of '{TRAIN[0]}' was made from"],
    ),
    (lambda v: v["data"]["test"][TEST[1]]["sources"].update(vocals="0"), [f"data.test: the prepared audio of '{TEST[1]}' was made from"]),
    (lambda v: v["data"]["train"].pop(TRAIN[0]), ["training.identity is"]),
    (lambda v: v["data"].update(validation_tracks=[TRAIN[0]]), ["training.identity is"]),
    (lambda v: v["data"].update(validation_tracks=["X"]), ["data.validation_tracks: 'X' is not among", "training.identity is"]),
    (lambda v: v["training"].update(identity="0"), ["training.identity is 0;", "the checkpoint was made from training"]),
    (lambda v: v["checkpoint"].update(identity="0"), ["checkpoint.identity is 0;"]),
    (lambda v: v["checkpoint"].update(weights="0"), ["the checkpoint holds weights 0, which are not"]),
    (lambda v: v["checkpoint"].update(sha256="0"), ["the estimates of"] * 3),
    (lambda v: v["estimates"][TEST[0]]["files"].popitem(), [f'the scores of "{TEST[0]}" were made from estimates']),
    (lambda v: v["estimates"][TEST[0]]["made_from"].pop("prepared"), ["were made from prepared audio without a digest, not from"]),
    (lambda v: v["data"]["test"][TEST[1]].update(sha256="0"), ["the estimates of", "the scores of"]),
    (lambda v: v["scores"].pop(TEST[1]), [f"scores: '{TEST[1]}' is missing"]),
    (lambda v: v["estimates"].update(X=v["estimates"][TEST[1]]), ["estimates: 'X' is not among data.test_tracks"]),
    (lambda v: v["scoring"].update(engine="fast"), ["were made by engine museval, not fast"] * 3),
    (
        lambda v: v["scoring"].update(audit_by_museval={"scores": {slug_of(TEST[1]): "0"}}),
        [f"the audit by museval compared other scores of '{TEST[1]}'"],
    ),
    (lambda v: v.pop("training"), ["'training': is missing"]),
    (lambda v: v["data"].update(test=3), ["'data.test': input should be a valid dictionary"]),
]


@pytest.mark.parametrize(("edit", "expected"), FORGED)
def test_a_changed_provenance_is_seen(submission: Path, edit: Callable[[dict[str, Any]], Any], expected: list[str]) -> None:
    faults = changed(submission, edit)
    assert len(faults) == len(expected), faults
    for fault, words in zip(faults, expected, strict=True):
        assert fault.startswith("provenance.yaml: ") and words in fault


def test_new_sources_beside_an_old_checkpoint_are_refused(submission: Path, tmp_path: Path) -> None:
    """The whole description of a training track is that of other sources."""
    run = Finished(tmp_path / "results")
    new_sources(run, TRAIN[1])
    submitted = read_yaml(submission / "provenance.yaml")["data"]["train"][TRAIN[1]]
    track = run.tracks("train")[1]
    new = submitted | {"sources": dict(track.sources), "identity": track.identity, "sha256": track.sha256}
    (fault,) = changed(submission, lambda values: values["data"]["train"].update({TRAIN[1]: new}))
    assert fault.startswith("provenance.yaml: training.identity is ")


def test_a_changed_score_file_is_seen(submission: Path) -> None:
    path = submission / "test" / f"{TEST[0]}.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert check_submission(submission) == [
        f"test/{TEST[0]}.json: its SHA-256 is not the one in provenance.yaml; it was changed after the submission was written"
    ]


def test_times_are_those_of_the_run_s_own_jobs(run: Finished) -> None:
    run.measure({"prepare/train/a": (1.25, 10), "prepare/train/stale": (100, 1000), "prepare/test/b": (2, "-"), "train/T": (3, "-")})
    log = run.root / "logs/train/T.log"
    log.parent.mkdir(parents=True)
    log.write_text("INFO: Slurm job 17 on node3\n")
    assert times(run.sources.jobs) == {
        "prepare": {"n_jobs": 2, "seconds": 3.2, "peak_memory_mb": 10.0},
        "train": {"n_jobs": 1, "seconds": 3.0, "peak_memory_mb": None, "slurm_job_ids": [17]},
    }
    jobs = dataclasses.replace(run.sources.jobs, names={"score": ["score/MDL1/x"]})
    assert times(jobs) == {"score": {"n_jobs": 1, "seconds": 0, "peak_memory_mb": None, "not_measured": ["score/MDL1/x"]}}
    assert times(Jobs(run.root, run.root, {})) == {}
