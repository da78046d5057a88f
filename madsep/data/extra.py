"""Further training tracks, which lie outside the data set."""

from collections.abc import Iterable
from pathlib import Path

from madsep.core.errors import InputError
from madsep.data.datasets import Dataset
from madsep.data.tracks import Track, check_layout, check_stems, duration_s, layout_of, listed, name_of, track_paths


def find_extra_tracks(root: Path | str, dataset: Dataset, known: Iterable[str]) -> list[Track]:
    """Return further training tracks, sorted by name: those in `root`/train, with the stems of the data set.

    Raises InputError when there are none, one lacks a stem, or one is a test track of the data set or among the `known` tracks.
    """
    folder = Path(root).expanduser() / "train"
    paths = sorted(track_paths(folder, dataset), key=name_of) if folder.is_dir() else []
    if not paths:
        raise InputError(f"extra_root: {folder} holds no tracks; expected folders with {', '.join(dataset.stems)} as .wav.")
    check_layout(folder, paths)
    twice = sorted({name_of(path) for path in paths} & {*known, *dataset.test_names()})
    if twice:
        raise InputError(f"extra_root: {folder} holds tracks of {dataset.title} itself: {listed(twice)}; take them away.")
    check_stems(paths, dataset, "wav")
    return [Track(name_of(path), "extra", layout_of(path, "wav"), str(path), duration_s(path), dataset.name) for path in paths]
