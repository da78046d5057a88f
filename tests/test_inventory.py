"""The inventory: digests of sources, computed once, the same wherever the data lie."""

import os
import shutil
from pathlib import Path

import pytest

from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.data import inventory
from madsep.data.datasets import MUSDB18
from madsep.data.inventory import Digests, read_inventory, with_digests, write_inventory
from madsep.data.tracks import Track


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are really read, as they are."""
    names: list[str] = []

    def counted(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr(inventory, "sha256", counted)
    return names


def write_track(root: Path, name: str) -> Track:
    (root / name).mkdir(parents=True)
    for stem in MUSDB18.stems:
        (root / name / f"{stem}.wav").write_text(f"{name} {stem}")
    return Track(name, "train", "wav", str(root / name), 1.0, "musdb18")


def write_stem_file(root: Path, name: str) -> Track:
    (root / f"{name}.stem.mp4").write_text(name)
    return Track(name, "test", "stems", str(root / f"{name}.stem.mp4"), 1.0, "musdb18")


def test_each_source_has_its_digest(tmp_path: Path) -> None:
    wavs, stems = with_digests([write_track(tmp_path, "A"), write_stem_file(tmp_path, "B")], Digests(tmp_path / "cache.json"))
    assert wavs.sources == {stem: sha256(tmp_path / f"A/{stem}.wav") for stem in MUSDB18.stems}
    assert stems.sources == {"stems": sha256(tmp_path / "B.stem.mp4")}


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, hashed: list[str]) -> None:
    track = write_track(tmp_path, "A")
    first = with_digests([track], Digests(tmp_path / "cache.json"))
    assert len(hashed) == 5
    assert with_digests([track], Digests(tmp_path / "cache.json")) == first and len(hashed) == 5
    (tmp_path / "A/bass.wav").write_text("A BASS")  # of the same length
    (changed,) = with_digests([track], Digests(tmp_path / "cache.json"))
    assert hashed[5:] == ["bass.wav"]
    assert {stem for stem in MUSDB18.stems if changed.sources[stem] != first[0].sources[stem]} == {"bass"}


def test_a_change_that_keeps_size_and_time_is_found(tmp_path: Path) -> None:
    track = write_track(tmp_path, "A")
    first = with_digests([track], Digests(tmp_path / "cache.json"))
    path = tmp_path / "A/bass.wav"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text("A BASS")
    os.utime(path, ns=times)
    assert with_digests([track], Digests(tmp_path / "cache.json")) != first


def test_the_same_data_elsewhere_have_the_same_digests(tmp_path: Path, hashed: list[str]) -> None:
    track = write_track(tmp_path / "one", "A")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    digests = Digests(tmp_path / "cache.json")
    places = [Track("A", "train", "wav", str(tmp_path / place / "A"), 1.0, "musdb18") for place in ("link", "two")]
    (first,) = with_digests([track], digests)
    assert [found.sources for found in with_digests(places, digests)] == [first.sources] * 2
    assert len(hashed) == 10  # none through the link


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_damaged_cache_is_written_again(tmp_path: Path, text: str) -> None:
    track = write_track(tmp_path, "A")
    first = with_digests([track], Digests(tmp_path / "cache.json"))
    (tmp_path / "cache.json").write_text(text)
    assert with_digests([track], Digests(tmp_path / "cache.json")) == first


def test_a_source_that_is_missing_or_no_file(tmp_path: Path) -> None:
    track = write_track(tmp_path, "A")
    (tmp_path / "A/bass.wav").unlink()
    with pytest.raises(InputError, match=r"A/bass\.wav: cannot be read \(No such file"):
        with_digests([track], Digests(tmp_path / "cache.json"))
    (tmp_path / "A/bass.wav").mkdir()
    with pytest.raises(InputError, match=r"A/bass\.wav: is a folder; expected a file"):
        with_digests([track], Digests(tmp_path / "cache.json"))


def test_the_inventory_is_read_as_it_was_written_and_written_only_when_it_changes(tmp_path: Path) -> None:
    names = ("{bar}", "NA", "Beyonc\u00e9", "Beyonce\u0301", "007", "\"q'")
    tracks = with_digests([write_track(tmp_path, name) for name in names], Digests(tmp_path / "cache.json"))
    path = tmp_path / "inventory.json"
    write_inventory(tracks, path)
    assert read_inventory(path) == {track.slug: track for track in tracks} and len({track.slug for track in tracks}) == len(names)
    before = path.stat().st_ino
    write_inventory(tracks, path)
    assert path.stat().st_ino == before
    write_inventory(tracks[1:], path)
    assert list(read_inventory(path).values()) == tracks[1:]


@pytest.mark.parametrize(("text", "message"), [("{}", "is not an inventory"), ("[]", "is not an inventory"), ("{", "not valid JSON")])
def test_a_damaged_inventory(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "inventory.json").write_text(text)
    with pytest.raises(InputError, match=message):
        read_inventory(tmp_path / "inventory.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_inventory(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_inventory_is_written_again(tmp_path: Path, text: str) -> None:
    path = tmp_path / "inventory.json"
    path.write_text(text)
    tracks = with_digests([write_track(tmp_path, "A")], Digests(tmp_path / "cache.json"))
    write_inventory(tracks, path)
    assert read_inventory(path) == {tracks[0].slug: tracks[0]}
