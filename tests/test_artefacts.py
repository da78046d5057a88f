"""Artefacts of stages: known by what they were made from, refused when they changed, and never finished by halves."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from madsep.core.artefacts import Record, Stage, read_record
from madsep.core.errors import InputError
from madsep.core.files import digest, read_json, sha256, write_json
from madsep.core.temporary import TEMPORARY

MADE_FROM = {"audio": "1", "form": "2"}
ROOT = Path(__file__).resolve().parents[1]


def make(stage: Stage, slug: str, text: str = "audio", made_from: dict[str, str] = MADE_FROM) -> Path:
    """Make an artefact of one file."""
    path = stage.folder / "test" / slug / "vocals.wav"
    with stage.making(slug, made_from) as made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        made |= {"files": [path], "name": slug}
    return path


def jobs(stage: Stage) -> list[str]:
    return sorted(path.stem for path in (stage.folder / "jobs").glob("*"))


def records(stage: Stage) -> list[str]:
    return sorted(path.stem for path in (stage.folder / "records").glob("*"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Tracks a, b and c, made by the jobs a--b and c."""
    stage = Stage(tmp_path / "stage")
    for slug in "abc":
        make(stage, slug)
    stage.finish_job("a--b", ["a", "b"])
    stage.finish_job("c", ["c"])
    return stage


def test_a_record_says_what_it_was_made_from_and_what_it_is(stage: Stage) -> None:
    files = {"test/a/vocals.wav": sha256(stage.folder / "test/a/vocals.wav")}
    record = stage.checked("a")
    assert record == Record(MADE_FROM, files, {"name": "a"}) == stage.record("a")
    assert (record.identity, record.content) == (digest(MADE_FROM), digest(files))
    assert read_json(stage.folder / "jobs/a--b.json") == {"tracks": {s: sha256(stage.folder / f"records/{s}.json") for s in "ab"}}
    assert sorted(path.name for path in stage.folder.iterdir()) == ["jobs", "records", "test"]


def test_what_was_made_from_the_same_is_current(stage: Stage) -> None:
    assert stage.is_current("a", dict(reversed(MADE_FROM.items())))
    assert not stage.is_current("d", MADE_FROM)
    assert (records(stage), jobs(stage)) == (["a", "b", "c"], ["a--b", "c"])


@pytest.mark.parametrize("made_from", [{"audio": "1"}, {"audio": "2", "form": "2"}, {**MADE_FROM, "more": ""}, {}])
def test_what_was_made_from_something_else_is_not_current_and_no_job_promises_it(stage: Stage, made_from: dict[str, str]) -> None:
    assert not stage.is_current("b", made_from)
    assert (records(stage), jobs(stage)) == (["a", "c"], ["c"])
    assert stage.is_current("a", MADE_FROM) and stage.is_current("c", MADE_FROM)


@pytest.mark.parametrize(("damage", "fault"), [(lambda path: path.write_text("audiO"), "was changed after"), (Path.unlink, "is missing")])
def test_a_file_that_changed_is_refused_and_forgotten(stage: Stage, damage, fault: str) -> None:
    damage(stage.folder / "test/b/vocals.wav")
    with pytest.raises(InputError, match=rf"test/b/vocals\.wav: {fault}.*; run the same command again to make it\.$"):
        stage.checked("b")
    assert (records(stage), jobs(stage)) == (["a", "c"], ["c"])
    assert not stage.is_current("b", MADE_FROM)


def test_a_missing_record_is_refused_and_the_job_that_promises_it_forgotten(stage: Stage) -> None:
    (stage.folder / "records/c.json").unlink()
    with pytest.raises(InputError, match=r"records/c\.json: is missing; run the same command again to make it\.$"):
        stage.checked("c")
    assert jobs(stage) == ["a--b"]
    with pytest.raises(InputError, match=r"records/c\.json: cannot be read"):
        stage.finish_job("c", ["c"])
    assert jobs(stage) == ["a--b"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"made_from": {}, "files": {}}', '{"made_from": {}, "files": [], "facts": {}}'])
def test_a_damaged_record_is_refused_and_forgotten(stage: Stage, text: str) -> None:
    path = stage.folder / "records/c.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"records/c\.json: is not"):
        read_record(path)
    assert not stage.is_current("c", MADE_FROM)
    assert (records(stage), jobs(stage)) == (["a", "b"], ["a--b"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tracks": 3}'])
def test_a_damaged_stamp_of_a_job_is_removed_when_anything_is_made(stage: Stage, text: str) -> None:
    (stage.folder / "jobs/a--b.json").write_text(text)
    make(stage, "c")
    assert jobs(stage) == []


def test_a_failure_while_making_leaves_no_record_and_no_stamp(stage: Stage) -> None:
    with pytest.raises(RuntimeError), stage.making("a", MADE_FROM):
        (stage.folder / "test/a/vocals.wav").write_text("half")
        raise RuntimeError
    assert (records(stage), jobs(stage)) == (["b", "c"], ["c"])
    assert not stage.is_current("a", MADE_FROM)
    make(stage, "a")
    stage.finish_job("a--b", ["a", "b"])
    assert stage.is_current("a", MADE_FROM) and jobs(stage) == ["a--b", "c"]


KILLED = """
import os, signal, sys
from madsep.core.artefacts import Stage
from madsep.core.files import atomic

stage = Stage(sys.argv[1])
with stage.making("a", {"audio": "new"}), atomic(stage.folder / "test/a/vocals.wav") as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_while_making_leaves_no_record_and_no_stamp_and_is_swept(stage: Stage) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(stage.folder)], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert (records(stage), jobs(stage)) == (["b", "c"], ["c"])
    left = [path for path in (stage.folder / "test/a").iterdir() if path.name.startswith(TEMPORARY)]
    assert len(left) == 1 and left[0].suffix not in (".wav", ".json", ".npy")
    make(stage, "a")
    stage.finish_job("a", ["a"])
    assert [path.name for path in (stage.folder / "test/a").iterdir()] == ["vocals.wav"]


def test_two_jobs_make_their_tracks_at_once(tmp_path: Path) -> None:
    """Each forgets, makes and stamps its own, again and again, in one folder."""
    stage = Stage(tmp_path)

    def work(name: str) -> None:
        for number in range(5):
            for slug in (f"{name}1", f"{name}2"):
                make(Stage(tmp_path), slug, f"{number}", {"number": f"{number}"})
            Stage(tmp_path).finish_job(name, [f"{name}1", f"{name}2"])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, "ab"))
    assert (jobs(stage), records(stage)) == (["a", "b"], ["a1", "a2", "b1", "b2"])
    assert all(stage.is_current(slug, {"number": "4"}) for slug in records(stage))


def test_a_folder_without_permission_is_told_plainly(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(InputError, match="no permission to write there"):
        stage.forget("a")


def test_a_file_outside_the_stage_is_no_artefact_of_it(stage: Stage, tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {})
    with pytest.raises(ValueError, match="is not in the subpath"), stage.making("a", MADE_FROM) as made:
        made |= {"files": [tmp_path / "other.json"]}
    assert records(stage) == ["b", "c"]
