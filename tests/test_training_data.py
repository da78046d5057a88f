"""The list of a training's tracks."""

from pathlib import Path

import pytest
from trainings import Tracks, sung, write_prepared

from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json
from madsep.training.data import read_training_data, write_training_data


def identities(tracks: Tracks) -> dict[str, str]:
    return {track.slug: track.identity for track in tracks}


def test_tracks_are_read_back(tracks: Tracks, tmp_path: Path) -> None:
    held_out = tracks[1].slug
    write_training_data(identities(tracks), [held_out], tmp_path / "data.json")
    found, validation = read_training_data(tmp_path / "data.json", tracks[0].file.parent)
    assert sorted(found, key=lambda track: track.name) == list(tracks) and validation == [held_out]
    assert read_json(tmp_path / "data.json") == {"tracks": identities(tracks), "validation": [held_out]}


def test_only_other_content_is_written(tracks: Tracks, tmp_path: Path) -> None:
    """Whatever order the tracks come in; a damaged file is replaced."""
    path, data = tmp_path / "data.json", identities(tracks)
    write_training_data(data, [], path)
    before = path.stat()
    write_training_data(dict(reversed(data.items())), [], path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    for change in (lambda: write_training_data(data, [tracks[0].slug], path), lambda: path.write_text("{")):
        change()
        write_training_data(data, [], path)
        assert read_json(path) == {"tracks": data, "validation": []}


def test_tracks_prepared_from_other_audio_are_refused(tmp_path: Path) -> None:
    songs = write_prepared(tmp_path / "prepared", [sung(0), sung(1)])
    write_training_data(identities(songs), [], tmp_path / "data.json")
    write_prepared(tmp_path / "prepared", [sung(0), sung(2)])
    with pytest.raises(InputError, match=r"was prepared from audio that differs from that of this run; run the same command again\.$"):
        read_training_data(tmp_path / "data.json", tmp_path / "prepared")


def test_test_tracks_never_train(tmp_path: Path) -> None:
    songs = write_prepared(tmp_path / "prepared", [sung(5)], "test")
    write_training_data(identities(songs), [], tmp_path / "data.json")
    with pytest.raises(InputError, match="Artist - 0: is a test track; expected train or extra tracks only"):
        read_training_data(tmp_path / "data.json", tmp_path / "prepared")


@pytest.mark.parametrize(
    "content", [[], {}, {"tracks": {"a": 1}, "validation": []}, {"tracks": [], "validation": []}, {"tracks": {"a": "b"}}]
)
def test_files_that_list_no_tracks_are_refused(tmp_path: Path, content: object) -> None:
    write_json(tmp_path / "data.json", content)
    with pytest.raises(InputError, match=r"data\.json: does not list the tracks of a training; remove it"):
        read_training_data(tmp_path / "data.json", tmp_path)
