"""Write prepared tracks and estimates like the stages before scoring."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile as sf

from madsep.core.artefacts import Stage
from madsep.core.files import digest
from madsep.data.prepared import PreparedTrack, read_prepared
from madsep.data.tracks import slug_of

Signals = Mapping[str, np.ndarray]  # name -> (n_channels, n_samples)


def write_prepared_tracks(folder: Path, tracks: Mapping[str, Signals], sample_rate_hz: int) -> list[PreparedTrack]:
    """Write test tracks, by name, as prepared audio of a stage. Return them as read from there."""
    stage = Stage(folder)
    for name, signals in tracks.items():
        array = np.stack(list(signals.values())).astype(np.float32)
        with stage.making(slug_of(name), {"stems": digest(array.tolist()), "form": digest(list(signals))}) as made:
            path = folder / f"{slug_of(name)}.npy"
            folder.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
            made |= {"files": [path], "name": name, "subset": "test", "layout": "wav", "signals": list(signals)}
            made |= {"n_channels": array.shape[1], "n_samples": array.shape[2], "sample_rate_hz": sample_rate_hz}
            made |= {"mixture_residual_db": None, "notes": [], "ffmpeg": None}
    return read_prepared(folder, [slug_of(name) for name in tracks], ["test"])


def write_estimates(folder: Path, track: PreparedTrack, estimates: Signals) -> None:
    """Write the estimates of a prepared track as 16-bit wavs, with their record."""
    stage = Stage(folder)
    with stage.making(track.slug, {"prepared": track.sha256, "checkpoint": "0"}) as made:
        made["files"] = []
        for target, samples in estimates.items():
            path = folder / "test" / track.name / f"{target}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, samples.T, track.sample_rate_hz, subtype="PCM_16")
            made["files"].append(path)
        made |= {"name": track.name, "n_clipped": dict.fromkeys(estimates, 0)}
