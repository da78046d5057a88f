"""Finished trainings: found again, tied to their data, alone in their folder, and made of parts."""

import fcntl
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_recipe
from trainings import EACH_STEP, NEVER, OUTPUTS, Killed, Tracks, killed_at, run, same_bytes, sung, write_prepared

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError, Stopped
from madsep.core.files import read_json
from madsep.models.checkpoint import read_tensors
from madsep.systems.identity import training_identity
from madsep.training.step import Step
from madsep.training.train import Options, train

pytestmark = pytest.mark.usefixtures("torch_settings_restored")

N_STEPS = 24  # of the tiny recipe's two epochs


@pytest.fixture(scope="module")
def finished(tracks: Tracks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tiny_recipe(), tracks, tmp_path_factory.mktemp("finished"))


def parts(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Stage(folder).checked("weights").facts["parts"]
    return found


def test_a_training_is_known_by_recipe_and_data(finished: Path, tracks: Tracks) -> None:
    identity = training_identity(tiny_recipe(), {track.slug: track.identity for track in tracks}, [])
    record = Stage(finished).checked("weights")
    assert record.made_from == {"training": identity}
    assert list(record.files) == ["weights.safetensors"]
    assert record.facts["device"] == "cpu" and record.facts["versions"]["torch"] == torch.__version__
    assert read_tensors(finished / "weights.safetensors")[1]["identity"] == identity
    assert list(read_json(finished / "jobs/train.json")["tracks"]) == ["weights"]


def test_a_finished_training_is_not_repeated(
    finished: Path, tracks: Tracks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if its job's stamp is gone, or the tracks come in another order."""
    before = (finished / "weights.safetensors").stat()
    (finished / "jobs/train.json").unlink()
    monkeypatch.setattr(Step, "__call__", lambda step, spans: pytest.fail("a step was taken"))
    caplog.set_level("INFO", "madsep")
    run(tiny_recipe(), tracks[::-1], finished)
    assert any("were trained before" in line for line in caplog.messages)
    assert (finished / "weights.safetensors").stat() == before and (finished / "jobs/train.json").exists()


def test_the_order_of_tracks_does_not_matter(finished: Path, tracks: Tracks, tmp_path: Path) -> None:
    assert same_bytes(run(tiny_recipe(), tracks[::-1], tmp_path), finished)


def test_changed_weights_are_trained_again(finished: Path, tracks: Tracks, tmp_path: Path) -> None:
    run(tiny_recipe(), tracks, tmp_path)
    with (tmp_path / "weights.safetensors").open("r+b") as stream:
        stream.write(b"!")
    assert same_bytes(run(tiny_recipe(), tracks, tmp_path), finished)


def test_finished_weights_stay_until_their_successors_are_there(tracks: Tracks, tmp_path: Path) -> None:
    """Other data in the same folder, which the workflow never asks for: a training that fails leaves the weights as they are."""
    run(tiny_recipe(), tracks, tmp_path)
    before = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", 3)
        run(tiny_recipe(), tracks[:2], tmp_path)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_other_audio_under_the_same_names_is_another_training(finished: Path, tracks: Tracks, tmp_path: Path) -> None:
    other = write_prepared(tmp_path / "other", [sung(seed) for seed in (0, 1, 3)])
    assert [track.slug for track in other] == [track.slug for track in tracks]
    run(tiny_recipe(), other, tmp_path / "run")
    assert Stage(tmp_path / "run").record("weights").identity != Stage(finished).record("weights").identity
    copied = write_prepared(tmp_path / "copied", [sung(seed) for seed in range(3)])
    assert same_bytes(run(tiny_recipe(), copied, tmp_path / "again"), finished)


def test_two_trainings_in_one_folder_are_refused(tracks: Tracks, tmp_path: Path) -> None:
    with (tmp_path / "train.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError) as error:
            run(tiny_recipe(), tracks, tmp_path)
    assert str(error.value) == f"{tmp_path}: another process is training in this folder; wait until it has finished, or stop it."
    assert [path.name for path in tmp_path.iterdir()] == ["train.lock"]


def test_a_folder_that_cannot_be_made_is_named(tracks: Tracks, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="lies below a file"):
        run(tiny_recipe(), tracks, tmp_path / "file" / "run")


# --- parts


def test_each_part_of_a_training_is_recorded(finished: Path, tracks: Tracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in ("17", "18"):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        with pytest.raises(Stopped):
            train(tiny_recipe(), tracks, [], tmp_path, Options("cpu", 1, NEVER, 1e-9))
    monkeypatch.delenv("SLURM_JOB_ID")
    assert [part["slurm_job_id"] for part in read_json(tmp_path / "training.json")["parts"]] == ["17", "18"]
    run(tiny_recipe(), tracks, tmp_path)
    assert [(part["steps"], part["device"], part["slurm_job_id"]) for part in parts(tmp_path)] == [
        (1, "cpu", "17"),
        (1, "cpu", "18"),
        (N_STEPS - 2, "cpu", None),
    ]
    for part in parts(tmp_path):
        assert part["began"].endswith("+00:00") and part["seconds"] >= 0
    assert same_bytes(tmp_path, finished)
    assert sorted(path.name for path in tmp_path.iterdir()) == OUTPUTS


def test_a_killed_part_counts_with_what_it_saved(tracks: Tracks, tmp_path: Path) -> None:
    for save_every_s in (EACH_STEP, NEVER):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            killed_at(patch, Step, "__call__", 5)
            run(tiny_recipe(), tracks, tmp_path, save_every_s)
    run(tiny_recipe(), tracks, tmp_path)
    assert [part["steps"] for part in parts(tmp_path)] == [5, 0, N_STEPS - 5]


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"parts": [{"began": 1}]})])
def test_damaged_parts_are_left_out_and_that_is_said(
    tracks: Tracks, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    (tmp_path / "training.json").write_text(content)
    run(tiny_recipe(), tracks, tmp_path)
    assert len(parts(tmp_path)) == 1
    assert f"{tmp_path}/training.json: is damaged, so the earlier parts of this training are not in its provenance." in caplog.messages
