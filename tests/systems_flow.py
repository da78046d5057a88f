"""Run many systems on a few synthetic songs: make the songs and settings, and read the results."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf

from madsep.data.tracks import slug_of
from madsep.synth import make_dataset

RECIPES = {
    "MDL1": "MDL1",
    "MIM-DWF": "MDWF",
    "MIM-HW": "MIHW",
    "GRA": "GRA",
    "CHA": "CHA",
    "HEL1": "HEL1",
}  # recipe -> name of its submission
FOUR_SOURCES = ("CHA", "HEL1")
ORACLES = ("IRM1", "MWF")
STEMS = ("vocals", "drums", "bass", "other")
ALONE = ("vocals", "accompaniment")

FRONT_END = {"window_length": 513, "fft_length": 1024, "hop_length": 256}
TINY_SYSTEMS = {
    "MDL1": {"front_end": FRONT_END, "network": {"n_encoder_bins": 50, "n_denoiser_hidden": 25}, "training": {"n_epochs": 1}},
    "MIM-DWF": {"front_end": {"window_length": 255, "fft_length": 256, "hop_length": 128}, "training": {"n_epochs": 1}},
    "MIM-HW": {"front_end": FRONT_END, "network": {"n_layers": 2}, "training": {"n_epochs": 1}},
    "GRA": {"network": {"n_hidden": 50, "n_hidden_layers": 1}, "training": {"n_epochs": 1}},
    "CHA": {"network": {"n_hidden": 20}, "training": {"n_epochs": 8, "block_s": None}},  # after one epoch, its drums are silent
    "HEL1": {"training": {"n_epochs": 1, "batch_size": 200}},
    "HEL1-base": {"network": {"n_layers": 1, "n_hidden": 20}, "training": {"batch_size": 50}},
}


def make_songs(root: Path) -> Path:
    """Write a synthetic MUSDB of 2 + 3 songs of 2 s to `root`/musdb and an extra one of 1 + 1 to `root`/extra. Return `root`."""
    make_dataset(root / "musdb", 2, 3, 2.0, seed=3)
    make_dataset(root / "extra", 1, 1, 2.0, seed=4)
    return root


def install_plugin(site: Path, package: str, systems: dict[str, str], code: str) -> None:
    """Write a package into `site` as pip would install it. It has the module `code` and registers `systems`, name -> callable."""
    (site / package).mkdir()
    (site / package / "__init__.py").write_text(code)
    info = site / f"{package}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    lines = [f"{name} = {package}:{separate}" for name, separate in systems.items()]
    (info / "entry_points.txt").write_text("\n".join(["[madsep.separators]", *lines, ""]))


def job_of(folder: Path) -> str:
    """Return the name of the job that the tracks of a folder share. They are short enough for a single job."""
    first, *_, last = track_names(folder)
    return f"{slug_of(first)}--{slug_of(last)}"


def track_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def systems_config(root: Path, **changes: Any) -> dict[str, Any]:
    """Return the settings of six systems and two oracles on the CPU, scored with the fast engine without museval's audit."""
    return {
        "musdb_root": str(root / "musdb"),
        "allow_partial": True,
        "device": "cpu",
        "systems": [*RECIPES, *ORACLES],
        "threads": {"train": 1, "separate": 1, "score": 1},
        "scoring": {"engine": "fast", "audit_tracks": 0, "audit_seed": 1},
        "bootstrap": {"n_resamples": 200, "seed": 1},
        "overrides": TINY_SYSTEMS,
    } | changes


def scored_targets(path: Path) -> list[str]:
    """Return the names of the targets in a file of scores."""
    return [target["name"] for target in json.loads(path.read_text(encoding="utf-8"))["targets"]]


def vocals_sdr(folder: Path, system: str) -> float:
    """Return the median over tracks of the vocals SDR in dB."""
    medians = pd.read_csv(folder / "results" / system / "medians.csv").set_index(["target", "metric"])["median"]
    return float(medians["vocals", "SDR"])


def read_int16(path: Path) -> np.ndarray:
    """Return the samples of a 16-bit wav (n_samples, n_channels), as integers that do not overflow when added."""
    return sf.read(path, dtype="int16")[0].astype(int)
