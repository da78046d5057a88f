"""Writing of a synthetic data set in the folder layout of MUSDB18-HQ or DSD100."""

import math
import shutil
from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.core.files import write_error
from madsep.core.progress import Progress
from madsep.data.datasets import DSD100, MUSDB18, Dataset
from madsep.data.wav_writer import WavWriter
from madsep.synth.dsp import SAMPLE_RATE_HZ, Signal
from madsep.synth.names import SUBSETS, track_name
from madsep.synth.songs import render_song

MIN_DURATION_S = 0.5
MARK = ".madsep-synth"  # file that marks a synthetic data set, for --overwrite
LAYOUTS = {dataset.name: dataset for dataset in (MUSDB18, DSD100)}


def make_dataset(root: Path, n_train: int, n_test: int, duration_s: float, seed: int, layout: str = MUSDB18.name) -> None:
    """Write mixture.wav, vocals.wav, drums.wav, bass.wav and other.wav for each track: stereo, 44.1 kHz, 16-bit PCM.

    The folders are `root`/{train,test}/<track name>/ or, in the layout dsd100, `root`/{Mixtures,Sources}/{Dev,Test}/<number and name>/.
    The mixture is the exact sum of the four stems. The same seed gives the same songs in both layouts. A track does not depend on the
    number of tracks. `root` must be empty or not exist. After a failure it contains no new files.

    Raises InputError for a folder that is not empty or not writable, a full disk, a negative seed, songs shorter than half a second, a
    subset without tracks, or one with more tracks than the layout has numbers.
    """
    root, dataset = Path(root), LAYOUTS[layout]
    _check(dataset, (n_train, n_test), duration_s, seed)
    existed = root.is_dir()
    staging = _claim(root)
    made: list[Path] = []
    try:
        tracks = [(subset, index) for subset, n in zip(SUBSETS, (n_train, n_test), strict=True) for index in range(n)]
        with Progress("synthetic tracks", len(tracks)) as progress:
            for subset, index in tracks:
                name = track_name(subset, index, seed)
                rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(SUBSETS.index(subset), index)))
                folder = staging / dataset.folders[subset] / _numbered(dataset, subset, index, name)
                _write_track(dataset.wav_files(folder, dataset.layout), render_song(duration_s, rng))
                progress.advance(1)
                progress.note(f"{progress.done} of {progress.total}: {subset}/{name}")
        (staging / MARK).touch()
        for path in sorted(staging.iterdir()):
            made.append(path.rename(root / path.name))
        staging.rmdir()
    except BaseException as error:
        for path in (staging, *made) if existed else (root,):
            shutil.rmtree(path, ignore_errors=True)
        raise (write_error(root, error) or error) from None


def parts_of(layout: str) -> tuple[str, ...]:
    """Return the names at the top of a synthetic data set, the mark first."""
    dataset = LAYOUTS[layout]
    places = [*dataset.folders.values(), *(dataset.sources or {}).values()]
    return (MARK, *dict.fromkeys(place.partition("/")[0] for place in places))


def _numbered(dataset: Dataset, subset: str, index: int, name: str) -> str:
    return f"{dataset.numbers[subset][index]:03d} - {name}" if dataset.numbers else name


def _check(dataset: Dataset, n_tracks: tuple[int, int], duration_s: float, seed: int) -> None:
    counts = f"{n_tracks[0]} training and {n_tracks[1]} test tracks"
    if min(n_tracks) < 1:
        raise InputError(f"{counts}: at least one of each is needed.")
    for subset, count in zip(SUBSETS, n_tracks, strict=True):
        if dataset.numbers and count > len(dataset.numbers[subset]):
            raise InputError(f"{counts}: {dataset.title} has numbers for {len(dataset.numbers[subset])} {subset} tracks.")
    if not MIN_DURATION_S <= duration_s < math.inf:
        raise InputError(f"a duration of {duration_s} s: songs must last at least {MIN_DURATION_S} s.")
    if seed < 0:
        raise InputError(f"seed {seed}: a seed must be 0 or more.")


def _claim(root: Path) -> Path:
    """Create `root` if it does not exist. Return a new folder in it for unfinished tracks."""
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


def _write_track(files: dict[str, Path], stems: dict[str, Signal]) -> None:
    """Write the stems (n_samples, 2) and their sum as 16-bit integers to the paths in `files`, which are keyed by name."""
    quantised = {name: np.round(32768.0 * stem).astype(np.int16) for name, stem in stems.items()}
    mixture = np.sum(list(quantised.values()), axis=0, dtype=np.int16)  # cannot overflow: the sum stays below 0.95
    for name, samples in {"mixture": mixture, **quantised}.items():
        files[name].parent.mkdir(parents=True, exist_ok=True)
        with WavWriter(files[name], SAMPLE_RATE_HZ, samples.T.shape, "PCM_16") as wav:
            wav.write(np.divide(samples.T, 32768, dtype=np.float32))
