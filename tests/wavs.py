"""Small tracks of noise as wav trees, their prepared form, and a checkpoint to separate them with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from prepared_tracks import with_sources

from madsep.data.datasets import MUSDB18
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.tracks import find_tracks
from madsep.models.checkpoint import Checkpoint, write_tensors

RATE_HZ = 44_100


def noise_stems(seed: int, duration_s: float, peak: int = 3000) -> dict[str, np.ndarray]:
    """Return four stems of 16-bit noise, each (n_samples, 2) with magnitudes up to `peak`, and their sum, the mixture."""
    rng = np.random.default_rng(seed)
    stems = {name: rng.integers(-peak, peak, (round(duration_s * RATE_HZ), 2), dtype=np.int16) for name in MUSDB18.stems[1:]}
    return {"mixture": sum(stems.values()), **stems}


def write_track(folder: Path, stems: dict[str, np.ndarray]) -> None:
    """Write stems as 16-bit wavs into `folder`, which is created if necessary."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, samples in stems.items():
        sf.write(folder / f"{name}.wav", samples, RATE_HZ, subtype="PCM_16")


def prepare_test_tracks(root: Path, folder: Path, signals: Sequence[str] = ("mixture", "vocals", "accompaniment")) -> list[PreparedTrack]:
    """Prepare the test tracks below `root` in `folder`, as the workflow does. Return them."""
    tracks = [with_sources(track) for track in find_tracks(root, MUSDB18, allow_partial=True) if track.subset == "test"]
    prepare(tracks, Form(tuple(signals), False, RATE_HZ), folder, "test")
    return read_prepared(folder, [track.slug for track in tracks], ["test"])


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> Path:
    """Write a checkpoint as the workflow does. Its mask and its denoiser each pass about 0.7 of their input."""
    with torch.no_grad():
        for layer in (checkpoint.network.mask, checkpoint.network.denoiser_dec):
            layer.bias.fill_(0.7)
    write_tensors(path, checkpoint.network.state_dict(), {"recipe": checkpoint.recipe.system_values(), "provenance": {}})
    return path
