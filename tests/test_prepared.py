"""Reading prepared tracks by their manifests."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madsep.core.errors import InputError
from madsep.data.prepared import check_rate, read_prepared, signal


def prepare(folder: Path, slugs: list[str], subset: str, signals: list[str]) -> Path:
    """A manifest and its arrays, in which every sample of signal i of a track is i."""
    folder.mkdir(exist_ok=True)
    entries = []
    for slug in slugs:
        np.save(folder / f"{slug}.npy", np.repeat(np.arange(len(signals), dtype=np.float32), 10).reshape(-1, 2, 5))
        entries.append({"slug": slug, "name": f"Artist - {slug}", "subset": subset, "file": f"{slug}.npy", "signals": signals})
    manifest = folder / f"{slugs[0]}.json"
    manifest.write_text(json.dumps({"tracks": entries}))
    return manifest


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    """Two jobs, in folders of their own."""
    signals = ["mixture", "vocals", "accompaniment"]
    return [prepare(tmp_path / "a", ["test001", "test002"], "test", signals), prepare(tmp_path / "b", ["test003"], "test", signals)]


def slugs(entries: list[dict[str, Any]]) -> list[str]:
    return [entry["slug"] for entry in entries]


def test_entries_come_in_the_order_of_the_manifests_with_files_beside_them(manifests: list[Path]) -> None:
    entries = read_prepared(manifests, "test")
    assert slugs(entries) == ["test001", "test002", "test003"]
    assert slugs(read_prepared(manifests[::-1], "test")) == ["test003", "test001", "test002"]
    assert [entry["file"] for entry in entries] == [manifests[i].parent / f"test00{n}.npy" for i, n in ((0, 1), (0, 2), (1, 3))]
    assert entries[0]["name"] == "Artist - test001"


def test_only_the_tracks_asked_for(manifests: list[Path]) -> None:
    assert slugs(read_prepared(manifests, "test", ["test003", "test002"])) == ["test002", "test003"]


def test_a_test_track_never_trains(tmp_path: Path, manifests: list[Path]) -> None:
    training = prepare(tmp_path / "c", ["train001"], "train", ["mixture", "vocals"])
    with pytest.raises(InputError, match=r"Artist - test001: is a test track; expected train tracks only\. Test tracks never train\."):
        read_prepared([training, manifests[0]], "train")
    with pytest.raises(InputError, match=r"Artist - train001: is a train track; expected test tracks only"):
        read_prepared([training], "test")


def test_a_missing_file_is_named(manifests: list[Path]) -> None:
    (manifests[0].parent / "test002.npy").unlink()
    with pytest.raises(InputError, match=r"test002.npy: is missing; remove the manifests beside it"):
        read_prepared(manifests, "test")
    assert slugs(read_prepared(manifests, "test", ["test001"])) == ["test001"]


def test_signals_are_found_by_name_and_stay_on_disk(manifests: list[Path]) -> None:
    entry = read_prepared(manifests, "test")[0]
    for value, name in enumerate(["mixture", "vocals", "accompaniment"]):
        found = signal(entry, name)
        np.testing.assert_array_equal(found, np.full((2, 5), value, np.float32))
        assert isinstance(found, np.memmap)


def test_another_rate_than_the_front_ends_is_refused() -> None:
    entries = [{"name": name, "sample_rate_hz": rate_hz} for name, rate_hz in (("A", 16_000), ("B", 44_100))]
    check_rate(entries[:1], 16_000, "MDL1-16k")
    with pytest.raises(InputError, match=r"^B: has a sample rate of 44100 Hz, the front end of recipe MDL1-16k expects 16000 Hz; choose"):
        check_rate(entries, 16_000, "MDL1-16k")
