"""Mixtures on disk, loaded one at a time: wavs, flacs, stem files, folders of tracks, and tracks prepared by the workflow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.reading import visible
from madsep.data.audio import read_wav
from madsep.data.datasets import MUSDB18
from madsep.data.layouts import STEM_SUFFIX, SUFFIXES, SongFiles, add_folder
from madsep.data.prepared import PreparedTrack
from madsep.data.stems import read_stems
from madsep.data.tracks import Track

MIXTURE = "mixture"  # name in a folder of stems


@dataclass(frozen=True)
class Mixture:
    """A named mixture. `load` reads it and returns the audio (n_channels, n_samples) and the sample rate in hertz."""

    name: str
    load: Callable[[], tuple[NDArray[np.float32], int]]

    def mono(self, sample_rate_hz: int) -> NDArray[np.float32]:
        """Return the mean of the channels, (n_samples,). Raises InputError if it is silent or its rate is not `sample_rate_hz`."""
        audio, found_hz = self.load()
        if found_hz != sample_rate_hz:
            raise InputError(
                f"{self.name}: has a sample rate of {found_hz} Hz, the checkpoint's is {sample_rate_hz} Hz; resample it first."
            )
        mixture: NDArray[np.float32] = np.mean(audio, axis=0, dtype=np.float32)
        if not mixture.any():
            raise InputError(f"{self.name}: is silent throughout, so nothing can be learnt from it; leave it out.")
        return mixture


def find_mixtures(paths: Sequence[Path]) -> list[Mixture]:
    """Return the mixtures that `paths` name, in the same order. Those of a folder are sorted by name.

    A path is a wav or flac, a stem file of MUSDB18, a track's folder with its mixture as wav or flac, or a folder of any of these. Raises
    InputError for anything else, and if two mixtures have the same name.
    """
    found = [mixture for path in paths for mixture in _at(Path(path))]
    names = [mixture.name for mixture in found]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise InputError(f"{double[0]}: is given {names.count(double[0])} times; expected each track once.")
    return found


def prepared_mixtures(tracks: Sequence[PreparedTrack]) -> list[Mixture]:
    """Return the mixtures of prepared tracks, in the same order."""
    return [_prepared(track) for track in tracks]


def _at(path: Path) -> Iterator[Mixture]:
    if (mixture := _track(path)) is not None:
        yield mixture
    elif path.is_dir():
        tracks = [track for entry in visible(path) if (track := _track(entry)) is not None]
        if not tracks:
            raise InputError(f"{path}: holds no tracks; expected folders with {MIXTURE}.wav or .flac, such files, or *{STEM_SUFFIX}.")
        yield from tracks
    else:
        raise InputError(f"{path}: {'no such file or folder' if not path.exists() else 'is not a wav, a flac or a stem file'}.")


def _track(path: Path) -> Mixture | None:
    """Return the single track at `path`, or None."""
    if path.is_dir():
        file = add_folder(SongFiles(path.name, None, path, "wav folders"), path, [MIXTURE]).files.get(MIXTURE)
        return Mixture(path.name, lambda: read_wav(file)) if file else None
    if path.name.endswith(STEM_SUFFIX) and path.is_file():
        name = path.name.removesuffix(STEM_SUFFIX)
        track = Track(name, "test", "stems", str(path), 0.0, MUSDB18.name)
        return Mixture(name, lambda: (read_stems(track)["mixture"], MUSDB18.sample_rate_hz))
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return Mixture(path.stem, lambda: read_wav(path))
    return None


def _prepared(track: PreparedTrack) -> Mixture:
    return Mixture(track.name, lambda: (track.signal("mixture"), track.sample_rate_hz))
