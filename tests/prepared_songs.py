"""Prepared tracks of made songs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from prepared_tracks import write_prepared_track

from madsep.data.prepared import PreparedTrack, read_prepared

Tracks = Sequence[PreparedTrack]


def write_songs(folder: Path, songs: Sequence[tuple[np.ndarray, np.ndarray]], subset: str = "train") -> list[PreparedTrack]:
    """Write mono songs, each a mixture and its voice, as the prepared tracks `Artist - 0`, `Artist - 1`, ..."""
    named = {f"Artist - {number}": {"mixture": mixture[None], "vocals": voice[None]} for number, (mixture, voice) in enumerate(songs)}
    return [write_prepared_track(folder, name, signals, subset=subset) for name, signals in named.items()]


def read_songs(folder: Path) -> list[PreparedTrack]:
    """Read all tracks of a folder."""
    return read_prepared(folder, [path.stem for path in (folder / "records").iterdir()], ["train"])
