"""Prepared tracks of made songs, written as the prepare stage writes them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Stage
from madsep.core.files import digest, sha256
from madsep.data.prepared import PreparedTrack, read_prepared
from madsep.data.tracks import slug_of

Tracks = Sequence[PreparedTrack]

VOICE = ("mixture", "vocals")


def write_track(folder: Path, name: str, signals: np.ndarray, names: Sequence[str] = VOICE, subset: str = "train") -> PreparedTrack:
    """Write signals (n_signals, n_channels, n_samples) as a prepared track at 44.1 kHz."""
    stage, slug = Stage(folder), slug_of(name)
    path = folder / f"{slug}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, signals.astype(np.float32))
    with stage.making(slug, {"mixture": sha256(path), "form": digest(list(names))}) as made:
        made |= {"files": [path], "name": name, "subset": subset, "layout": "wav", "signals": list(names), "notes": [], "ffmpeg": None}
        made |= {"n_channels": signals.shape[1], "n_samples": signals.shape[2], "sample_rate_hz": 44_100, "mixture_residual_db": None}
    (track,) = read_prepared(folder, [slug], [subset])
    return track


def write_songs(folder: Path, songs: Sequence[tuple[np.ndarray, np.ndarray]], subset: str = "train") -> list[PreparedTrack]:
    """Write mono songs, each a mixture and its voice, as the tracks `Artist - 0`, `Artist - 1`, ..."""
    return [write_track(folder, f"Artist - {number}", np.stack(song)[:, None], subset=subset) for number, song in enumerate(songs)]


def read_songs(folder: Path) -> list[PreparedTrack]:
    """Read all tracks of a folder."""
    return read_prepared(folder, [path.stem for path in (folder / "records").iterdir()], ["train"])
