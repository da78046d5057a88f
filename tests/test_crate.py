"""A submission as an RO-Crate, read back by the library of the standard's authors."""

import urllib.parse
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate
from submissions import NOBODY, SCORING, TEST, TRAIN, Finished

from madsep.core.errors import InputError
from madsep.core.files import read_json, sha256
from madsep.core.yaml_files import read_yaml
from madsep.submission.check import check_submission
from madsep.submission.crate import write_crate
from madsep.submission.write import write_submission


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    finished = Finished(tmp_path / "results")
    write_submission(finished.sources, finished.recipe, SCORING, NOBODY, tmp_path / "MDL1")
    return tmp_path / "MDL1"


def test_a_crate_holds_the_files_and_tells_what_made_them(submission: Path, tmp_path: Path) -> None:
    write_crate(submission, tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    files = {path.relative_to(submission).as_posix() for path in submission.rglob("*") if path.is_file()}
    found = {urllib.parse.unquote(entity.id): entity for entity in crate.data_entities}
    assert found.keys() == files
    for name, entity in found.items():
        assert sha256(tmp_path / "crate" / name) == entity["sha256"] == sha256(submission / name)
    provenance = read_yaml(submission / "provenance.yaml")
    assert crate.dereference("#madsep")["version"] == provenance["versions"]["madsep"]
    assert crate.dereference("#checkpoint")["sha256"] == provenance["checkpoint"]["sha256"]
    (action,) = [entity for entity in crate.contextual_entities if entity.type == "CreateAction"]
    assert action["instrument"].id == "#madsep" and len(action["result"]) == len(TEST)
    assert {track["name"] for track in crate.dereference("#data")["hasPart"]} == {*TRAIN, *TEST}
    assert check_submission(submission) == []  # nothing was added to it


def test_crates_of_one_submission_tell_the_same(submission: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_crate(submission, tmp_path / folder)
    assert read_json(tmp_path / "one/ro-crate-metadata.json") == read_json(tmp_path / "two/ro-crate-metadata.json")


def test_what_cannot_be_a_crate_is_told(submission: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lies in the submission"):
        write_crate(submission, submission / "crate")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    with pytest.raises(InputError, match="the folder is not empty"):
        write_crate(submission, tmp_path / "full", overwrite=True)
    write_crate(submission, tmp_path / "whole")
    with pytest.raises(InputError, match="add --overwrite to replace the earlier result"):
        write_crate(submission, tmp_path / "whole")
    write_crate(submission, tmp_path / "whole", overwrite=True)
    (submission / "provenance.yaml").rename(tmp_path / "provenance.yaml")
    with pytest.raises(InputError, match=r"MDL1: not valid \(|has no provenance\.yaml"):
        write_crate(submission, tmp_path / "crate")
    assert not (tmp_path / "crate").exists()
