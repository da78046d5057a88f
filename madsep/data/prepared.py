"""Prepared tracks: reading what the prepare stage wrote."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madsep.core.errors import InputError
from madsep.core.files import read_json

TARGETS = ("vocals", "accompaniment")  # what a system that estimates the voice gives


def read_prepared(manifests: Sequence[Path], subset: str, slugs: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Entries of prepared tracks (of those in `slugs`, or of all) in the order of the manifests, with `file` as a path beside its manifest.

    Raises InputError when a track is not of `subset`, its file is missing, or a slug is in no manifest.
    """
    entries = [entry | {"file": Path(manifest).parent / entry["file"]} for manifest in manifests for entry in read_json(manifest)["tracks"]]
    if slugs is not None:
        wanted = set(slugs)
        entries = [entry for entry in entries if entry["slug"] in wanted]
    missing = set(slugs or ()) - {entry["slug"] for entry in entries}
    if missing:
        raise InputError(f"{', '.join(sorted(missing))}: not among the prepared tracks of {', '.join(map(str, manifests))}.")
    for entry in entries:
        if entry["subset"] != subset:
            raise InputError(f"{entry['name']}: is a {entry['subset']} track; expected {subset} tracks only. Test tracks never train.")
        if not entry["file"].is_file():
            raise InputError(f"{entry['file']}: is missing; remove the manifests beside it and run again to prepare the data anew.")
    return entries


def signal(entry: dict[str, Any], name: str) -> np.ndarray:
    """Memory-mapped signal `name` of a prepared track, float32 (n_channels, n_samples)."""
    array: np.ndarray = np.load(entry["file"], mmap_mode="r")
    return array[entry["signals"].index(name)]


def check_rate(entries: Sequence[dict[str, Any]], sample_rate_hz: int, recipe: str) -> None:
    """Raise InputError where prepared tracks have another rate than the `sample_rate_hz` of the front end of `recipe`."""
    for entry in entries:
        if entry["sample_rate_hz"] != sample_rate_hz:
            raise InputError(
                f"{entry['name']}: has a sample rate of {entry['sample_rate_hz']} Hz, the front end of recipe {recipe} expects "
                f"{sample_rate_hz} Hz; choose a recipe made for this data set, or override its front_end."
            )
