"""The stems of a track as arrays, read from a stem file or from wavs."""

from pathlib import Path

import numpy as np

from madsep.core.errors import InputError
from madsep.core.ffmpeg import probe
from madsep.data.audio import read_wav
from madsep.data.containers import examine_audio
from madsep.data.datasets import DATASETS, MUSDB18, Dataset
from madsep.data.medleydb import LAYOUT, read_medley_stems
from madsep.data.tracks import Track

# Decoders may drop the encoder's priming samples, which are up to two AAC frames
STEM_TOLERANCE_SAMPLES = 2048


def read_stems(track: Track) -> dict[str, np.ndarray]:
    """Return the stems by name, each float32 of shape (n_channels, n_samples), all of equal length and at the data set's rate.

    A song of MedleyDB has the stems mixture, vocals and other.

    Raises InputError if a file is damaged or truncated, or if its rate, channel count or length differs from the others.
    """
    if track.layout == LAYOUT:
        dataset = DATASETS[track.dataset]
        return read_medley_stems(Path(track.path), dataset.sample_rate_hz, dataset.n_channels)
    stems = _decode_stem_file(track) if track.layout == "stems" else _read_wavs(track)
    n_samples = stems["mixture"].shape[1]
    for name, stem in stems.items():
        if stem.shape[1] != n_samples:
            found = f"the stem '{name}' has {stem.shape[1]} samples, expected {n_samples} as in the mixture"
            raise InputError(f"{stem_file(track, name)}: {found}; all stems of a track must be equally long.")
    return stems


def stem_file(track: Track, stem: str) -> Path:
    """Return the file that contains a stem of a track."""
    return track.source_files()["stems" if track.layout == "stems" else stem]


def _read_wavs(track: Track) -> dict[str, np.ndarray]:
    stems = {}
    dataset = DATASETS[track.dataset]
    for name in dataset.stems:
        path = stem_file(track, name)
        stems[name], sample_rate_hz = read_wav(path)
        if dataset.mono_stems and len(stems[name]) == 1:
            stems[name] = np.repeat(stems[name], dataset.n_channels, axis=0)
        _check_format(path, dataset, sample_rate_hz, len(stems[name]))
    return stems


def _check_format(path: Path, dataset: Dataset, sample_rate_hz: int, n_channels: int) -> None:
    if sample_rate_hz != dataset.sample_rate_hz:
        raise InputError(f"{path}: expected a sample rate of {dataset.sample_rate_hz} Hz, found {sample_rate_hz} Hz.")
    if n_channels != dataset.n_channels:
        raise InputError(f"{path}: expected {dataset.channels}, found {n_channels}.")


def _decode_stem_file(track: Track) -> dict[str, np.ndarray]:
    """Decode the five streams of a MUSDB18 track with musdb, that is with ffmpeg to 16 bit, like the campaign's tools."""
    path = Path(track.path)
    if (kind := examine_audio(path).kind) != "mov":
        raise InputError(f"{path}: is not an mp4 file; expected a stem file. Copy or download it again.")
    streams = probe(path, kind)
    if len(streams) != len(MUSDB18.stems):
        raise InputError(f"{path}: expected {len(MUSDB18.stems)} audio streams ({', '.join(MUSDB18.stems)}), found {len(streams)}.")
    for stream in streams:
        _check_format(path, MUSDB18, stream.sample_rate_hz, stream.n_channels)
    import musdb

    multitrack = musdb.MultiTrack(path=str(path), name=track.name, subset=track.subset, stem_id=0)
    stems = {}
    for index, (name, stream) in enumerate(zip(MUSDB18.stems, streams, strict=True)):
        audio = multitrack.load_audio(str(path), index).T.astype(np.float32)
        n_expected = round((stream.duration_s or 0) * MUSDB18.sample_rate_hz)
        if audio.shape[1] == 0 or audio.shape[1] < n_expected - STEM_TOLERANCE_SAMPLES:
            reason = f"'{name}' decodes to {audio.shape[1]} samples, its header promises {n_expected}"
            raise InputError(f"{path}: the file is truncated or damaged: {reason}; copy or download it again.")
        stems[name] = np.ascontiguousarray(audio)
    return stems


def accompaniment(stems: dict[str, np.ndarray]) -> np.ndarray:
    """Return the sum of all stems of a track except the mixture and the vocals, (n_channels, n_samples)."""
    first, *rest = (stem for name, stem in stems.items() if name not in ("mixture", "vocals"))
    return sum(rest, start=first)
