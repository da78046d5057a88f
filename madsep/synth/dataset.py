"""Writes a synthetic data set in the folder layout of MUSDB18-HQ."""

import math
import shutil
from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.core.files import write_error
from madsep.core.progress import Progress
from madsep.data.wav_writer import WavWriter
from madsep.synth.dsp import SAMPLE_RATE_HZ, Signal
from madsep.synth.names import SUBSETS, track_name
from madsep.synth.songs import render_song

MIN_DURATION_S = 0.5


def make_dataset(root: Path, n_train: int, n_test: int, duration_s: float, seed: int) -> None:
    """Write `root`/{train,test}/<track name>/{mixture,vocals,drums,bass,other}.wav: stereo, 44.1 kHz, 16-bit PCM.

    The mixture is the exact sum of the four stems. The same seed gives the same bytes, and a track does not depend
    on how many others there are. `root` must not exist or be empty; on any failure nothing is left in it.

    Raises InputError for a folder in use or not writable, a full disk, fewer than one track in a subset, a negative
    seed, or songs shorter than half a second.
    """
    root = Path(root)
    _check(n_train, n_test, duration_s, seed)
    existed = root.is_dir()
    staging = _claim(root)
    try:
        tracks = [(subset, index) for subset, n in zip(SUBSETS, (n_train, n_test), strict=True) for index in range(n)]
        with Progress("synthetic tracks", len(tracks)) as progress:
            for subset, index in tracks:
                name = track_name(subset, index, seed)
                rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SUBSETS.index(subset), index)))
                _write_track(staging / subset / name, render_song(duration_s, rng))
                progress.advance(1)
                progress.note(f"{progress.done} of {progress.total}: {subset}/{name}")
        for subset in SUBSETS:
            (staging / subset).rename(root / subset)
        staging.rmdir()
    except BaseException as error:
        for folder in (staging, *(root / subset for subset in SUBSETS)) if existed else (root,):
            shutil.rmtree(folder, ignore_errors=True)
        raise (write_error(root, error) or error) from None


def _check(n_train: int, n_test: int, duration_s: float, seed: int) -> None:
    if n_train < 1 or n_test < 1:
        raise InputError(f"{n_train} training and {n_test} test tracks: at least one of each is needed.")
    if not MIN_DURATION_S <= duration_s < math.inf:
        raise InputError(f"a duration of {duration_s} s: songs must last at least {MIN_DURATION_S} s.")
    if seed < 0:
        raise InputError(f"seed {seed}: a seed must be 0 or more.")


def _claim(root: Path) -> Path:
    """Create `root` if it does not exist and return a new folder in it for the unfinished tracks."""
    staging = root / ".unfinished"
    try:
        if root.exists() and any(root.iterdir()):
            raise InputError(f"{root}: the folder is not empty; give a new one, or empty it first.")
        staging.mkdir(parents=True)
    except (NotADirectoryError, FileExistsError):
        raise InputError(f"{root}: is a file or lies below one; give a new folder for the synthetic data set.") from None
    except OSError as error:
        raise (write_error(root, error) or error) from None
    return staging


def _write_track(folder: Path, stems: dict[str, Signal]) -> None:
    """Write the stems (n_samples, 2) and their sum as 16-bit integers."""
    folder.mkdir(parents=True)
    quantised = {name: np.round(32768.0 * stem).astype(np.int16) for name, stem in stems.items()}
    mixture = np.sum(list(quantised.values()), axis=0, dtype=np.int16)  # cannot overflow: the sum stays below 0.95
    for name, samples in {"mixture": mixture, **quantised}.items():
        with WavWriter(folder / f"{name}.wav", SAMPLE_RATE_HZ, samples.T.shape, "PCM_16") as wav:
            wav.write(np.divide(samples.T, 32768, dtype=np.float32))
