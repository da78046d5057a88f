"""Write any arrays as prepared tracks, like the prepare stage. Also names of tracks that break code without quoting."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Stage
from madsep.core.files import sha256
from madsep.data.prepared import PreparedTrack, read_prepared
from madsep.data.tracks import Track, slug_of

AWKWARD_NAMES = (
    *("{bar}", "<b>", "\"q'", "*?[x]", "$HOME `ls` \\", "Beyonc\u00e9", "Beyonce\u0301", "\u6f22" * 83 + "x"),
    *("NA", "None", "nan", "null", "007", "true", "1e5", "-", "#"),
)


def write_prepared_track(
    folder: Path, name: str, signals: Mapping[str, np.ndarray], sample_rate_hz: int = 44_100, subset: str = "test"
) -> PreparedTrack:
    """Write signals, each (n_channels, n_samples), as a prepared track of the stage in `folder`. Return the track."""
    array, slug, stage = np.stack(list(signals.values())).astype(np.float32), slug_of(name), Stage(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made_from = {signal: hashlib.sha256(samples.tobytes()).hexdigest() for signal, samples in zip(signals, array, strict=True)}
    with stage.making(slug, made_from | {"form": f"{sample_rate_hz}"}) as made:
        np.save(folder / f"{slug}.npy", array)
        made |= {"files": [folder / f"{slug}.npy"], "name": name, "subset": subset, "layout": "wav", "signals": list(signals)}
        made |= {"n_channels": array.shape[1], "n_samples": array.shape[2], "sample_rate_hz": sample_rate_hz}
        made |= {"mixture_residual_db": None, "notes": [], "ffmpeg": None}
    (track,) = read_prepared(folder, [slug], [subset])
    return track


def with_sources(track: Track) -> Track:
    """Return a track with the digests of its files, as in the inventory."""
    return replace(track, sources={name: sha256(file) for name, file in track.source_files().items()})
