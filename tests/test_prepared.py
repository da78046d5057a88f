"""Reading prepared tracks: in order, of the right subset, and as they were written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_tracks import write_prepared_track

from madsep.core.errors import InputError
from madsep.core.files import read_json, sha256, write_json
from madsep.data.prepared import Form, PreparedTrack, check_rate, read_planned, read_prepared
from madsep.data.tracks import Track

SIGNALS = ("mixture", "vocals", "accompaniment")


def write(folder: Path, name: str, subset: str = "test") -> PreparedTrack:
    """A track of 5 stereo samples in which every sample of signal i is i."""
    return write_prepared_track(folder, name, {signal: np.full((2, 5), i) for i, signal in enumerate(SIGNALS)}, subset=subset)


@pytest.fixture
def tracks(tmp_path: Path) -> list[PreparedTrack]:
    return [write(tmp_path, name) for name in ("A - B", "C - D")]


def test_tracks_come_in_the_order_of_the_slugs(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    assert read_prepared(tmp_path, [track.slug for track in tracks[::-1]], ["test"]) == tracks[::-1]
    assert tracks[0].file == tmp_path / f"{tracks[0].slug}.npy" and tracks[0].sha256 == sha256(tracks[0].file)
    assert (tracks[0].name, tracks[0].duration_s) == ("A - B", 5 / 44_100)
    assert tracks[0].sources.keys() == set(SIGNALS)


def test_signals_are_found_by_name_and_stay_on_disk(tracks: list[PreparedTrack]) -> None:
    for value, name in enumerate(SIGNALS):
        found = tracks[0].signal(name)
        np.testing.assert_array_equal(found, np.full((2, 5), value, np.float32))
        assert isinstance(found, np.memmap)
    assert tracks[0].array().shape == (3, 2, 5)


def test_a_test_track_never_trains(tmp_path: Path) -> None:
    slugs = [write(tmp_path, subset, subset).slug for subset in ("train", "extra", "test")]
    assert [track.subset for track in read_prepared(tmp_path, slugs[:2], ["train", "extra"])] == ["train", "extra"]
    with pytest.raises(InputError, match=r"^test: is a test track; expected train or extra tracks only\.$"):
        read_prepared(tmp_path, slugs, ["train", "extra"])
    with pytest.raises(InputError, match=r"^train: is a train track; expected test tracks only\.$"):
        read_prepared(tmp_path, slugs, ["test"])


def shorten(path: Path) -> None:
    np.save(path, np.load(path)[..., :-1])


def reshape(path: Path) -> None:
    np.save(path, np.load(path).reshape(3, 5, 2))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4])


@pytest.mark.parametrize("damage", [shorten, reshape, flip, cut, Path.unlink])
def test_an_array_that_is_not_as_it_was_written_is_refused_and_forgotten(tmp_path: Path, tracks: list[PreparedTrack], damage) -> None:
    path, slug = tracks[1].file, tracks[1].slug
    damage(path)
    fault = "was changed after it was written" if path.exists() else "is missing"
    with pytest.raises(InputError, match=rf"^{path}: {fault}; run the same command again to make it\.$"):
        read_prepared(tmp_path, [track.slug for track in tracks], ["test"])
    assert not (tmp_path / f"records/{slug}.json").exists()
    assert read_prepared(tmp_path, [tracks[0].slug], ["test"]) == tracks[:1]


def test_a_missing_record_is_named(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    path = tmp_path / f"records/{tracks[0].slug}.json"
    path.unlink()
    with pytest.raises(InputError, match=rf"^{path}: is missing; run the same command again to make it\.$"):
        read_prepared(tmp_path, [tracks[0].slug], ["test"])


@pytest.mark.parametrize("fault", [{"facts": {}}, {"files": {}}, {"facts": {"notes": [], "signals": [], "colour": "red"}}])
def test_the_record_of_something_else_is_refused_and_forgotten(tmp_path: Path, tracks: list[PreparedTrack], fault: dict) -> None:
    path = tmp_path / f"records/{tracks[0].slug}.json"
    write_json(path, read_json(path) | fault)
    with pytest.raises(InputError, match=rf"the record of {tracks[0].slug} is not of a prepared track; run the same command again"):
        read_prepared(tmp_path, [tracks[0].slug], ["test"])
    assert not path.exists()


def test_an_array_that_changes_after_the_check_is_never_read_as_another(tracks: list[PreparedTrack]) -> None:
    shorten(tracks[0].file)
    with pytest.raises(InputError, match=r"holds float32 of shape \(3, 2, 4\); expected float32 of shape \(3, 2, 5\)"):
        tracks[0].signal("vocals")
    cut(tracks[1].file)
    with pytest.raises(InputError, match="cannot be read as an array"):
        tracks[1].array()
    np.save(tracks[0].file, np.zeros((3, 2, 5)))
    with pytest.raises(InputError, match="holds float64"):
        tracks[0].array()


def test_the_identity_is_that_of_the_sources_and_the_form() -> None:
    track = Track("A", "train", "wav", "/here/A", 1.0, "mir1k", {"mixture": "1", "vocals": "2", "accompaniment": "3"})
    form = Form(("mixture", "vocals"), True, 16_000)
    same = (replace(track, path="/there/A", duration_s=2.0), replace(track, name="B"))
    assert {form.identity(track), *(form.identity(other) for other in same)} == {form.identity(track)}
    others = [replace(track, sources={**track.sources, "vocals": "3"})]
    forms = [replace(form, signals=("vocals", "mixture")), replace(form, mono=False), replace(form, sample_rate_hz=44_100)]
    identities = {form.identity(track), *(form.identity(other) for other in others), *(other.identity(track) for other in forms)}
    assert len(identities) == 5


def test_what_was_prepared_from_other_audio_than_planned_is_refused_and_forgotten(tmp_path: Path, tracks: list[PreparedTrack]) -> None:
    identities = {track.slug: track.identity for track in tracks[::-1]}
    assert read_planned(tmp_path, identities, ["test"]) == tracks[::-1]
    with pytest.raises(
        InputError, match=rf"^{tracks[0].file}: was prepared from audio that differs from that of this run; run the same command again"
    ):
        read_planned(tmp_path, identities | {tracks[0].slug: "other"}, ["test"])
    assert [path.stem for path in (tmp_path / "records").iterdir()] == [tracks[1].slug]
    with pytest.raises(InputError, match="expected train tracks only"):
        read_planned(tmp_path, {tracks[1].slug: tracks[1].identity}, ["train"])


def test_another_rate_than_the_front_ends_is_refused(tracks: list[PreparedTrack]) -> None:
    slow = replace(tracks[0], name="slow", sample_rate_hz=16_000)
    check_rate([slow], 16_000, "MDL1-16k")
    with pytest.raises(
        InputError, match=r"^C - D: has a sample rate of 44100 Hz, the front end of recipe MDL1-16k expects 16000 Hz; choose"
    ):
        check_rate([slow, tracks[1]], 16_000, "MDL1-16k")
