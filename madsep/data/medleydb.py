"""Songs in the layout of MedleyDB: <song>/<song>_METADATA.yaml and <song>/<song>_STEMS/<song>_STEM_NN.wav.

Bittner et al., "MedleyDB: a multitrack dataset for annotation-intensive MIR research", ISMIR 2014. The metadata name the instrument of each
stem, in the terms of the taxonomy that comes with the data set.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madsep.core.errors import InputError
from madsep.core.reading import visible
from madsep.core.yaml_files import read_yaml
from madsep.data.audio import read_wav

LAYOUT = "medleydb"
# the voices of the taxonomy, without crowds and without beatboxing, which is percussion
VOICES = frozenset({f"{who} {what}" for who in ("male", "female") for what in ("singer", "speaker", "rapper")} | {"vocalists"})


@dataclass(frozen=True)
class MedleySong:
    """The files of a song's voices and of its other stems, and whether they bleed into each other, according to its metadata."""

    voices: tuple[Path, ...]
    others: tuple[Path, ...]
    has_bleed: bool

    @property
    def is_usable(self) -> bool:
        """Whether the song can be used for training: it has a voice and other stems, and no bleed."""
        return bool(self.voices and self.others) and not self.has_bleed


def medley_folders(root: Path) -> list[Path]:
    """Return the sorted song folders in `root` or its Audio/ folder, or an empty list if it is not in MedleyDB's layout."""
    folder = root / "Audio" if (root / "Audio").is_dir() else root
    return [path for path in visible(folder) if path.is_dir() and _metadata(path).is_file()]


def source_files(folder: Path) -> dict[str, Path]:
    """Return the files from which a song is read, keyed by their names: the metadata and the stems."""
    stems = folder / f"{folder.name}_STEMS"
    wavs = [path for path in visible(stems) if path.suffix == ".wav"] if stems.is_dir() else []
    return {path.name: path for path in (_metadata(folder), *wavs)}


def read_song(folder: Path) -> MedleySong:
    """Read the metadata of a song. A stem with both voices and other instruments counts as bleed.

    Raises InputError if the metadata are not in MedleyDB's format, or if a listed stem is missing.
    """
    path = _metadata(folder)
    metadata, files = read_yaml(path), source_files(folder)
    stems = metadata.get("stems")
    if not isinstance(stems, dict) or not stems or metadata.get("has_bleed") not in ("yes", "no"):
        raise InputError(
            f"{path}: is not the metadata of a MedleyDB song; expected has_bleed (yes or no) and stems with their instruments."
        )
    voices: list[Path] = []
    others: list[Path] = []
    has_bleed = metadata["has_bleed"] == "yes"
    for name, stem in stems.items():
        file, instruments = _stem(path, name, stem)
        if file not in files:
            raise InputError(f"{folder}: the stem {file}, which {path.name} lists, is missing; copy the song again.")
        is_voice = bool(instruments & VOICES)
        has_bleed |= is_voice and not instruments <= VOICES
        (voices if is_voice else others).append(files[file])
    return MedleySong(tuple(voices), tuple(others), has_bleed)


def read_medley_stems(folder: Path, sample_rate_hz: int, n_channels: int) -> dict[str, np.ndarray]:
    """Return mixture, vocals and other of a song, each the float32 sum (n_channels, n_samples) of stems. Mono is copied to all channels.

    The song's own mix is not used because it was mastered and is not the sum of the stems. Raises InputError for a stem of another rate,
    length or number of channels.
    """
    song = read_song(folder)
    files = {"vocals": song.voices, "other": song.others}
    parts = {name: [_read(path, sample_rate_hz, n_channels) for path in paths] for name, paths in files.items()}
    lengths = {part.shape[1] for of_source in parts.values() for part in of_source}
    if len(lengths) > 1:
        raise InputError(f"{folder}: its stems last from {min(lengths)} to {max(lengths)} samples; expected equal lengths.")
    vocals, other = (np.asarray(np.sum(of_source, axis=0), np.float32) for of_source in parts.values())
    return {"mixture": vocals + other, "vocals": vocals, "other": other}


def _read(path: Path, sample_rate_hz: int, n_channels: int) -> np.ndarray:
    audio, found_hz = read_wav(path)
    if found_hz != sample_rate_hz or len(audio) not in (1, n_channels):
        expected = f"expected {sample_rate_hz} Hz and 1 or {n_channels} channels"
        raise InputError(f"{path}: {expected}, found {found_hz} Hz and {len(audio)}.")
    return np.repeat(audio, n_channels, axis=0) if len(audio) < n_channels else audio


def _metadata(folder: Path) -> Path:
    return folder / f"{folder.name}_METADATA.yaml"


def _stem(path: Path, name: str, stem: Any) -> tuple[str, set[str]]:
    """Return the file name and the instruments of one stem in the metadata."""
    file = stem.get("filename") if isinstance(stem, dict) else None
    instruments = stem.get("instrument") if isinstance(stem, dict) else None
    listed = [instruments] if isinstance(instruments, str) else instruments
    if not isinstance(file, str) or not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
        raise InputError(f"{path}: stem {name} has no filename and instrument; expected both as in MedleyDB.")
    return file, set(listed)
