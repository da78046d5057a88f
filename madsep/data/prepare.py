"""Decode tracks once: check every stem, and write the signals that training and scoring need as float32 arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from madsep.core.errors import InputError
from madsep.core.ffmpeg import ffmpeg_version, require_ffmpeg
from madsep.core.files import atomic, sha256, write_json
from madsep.core.logs import log
from madsep.data.datasets import DATASETS
from madsep.data.stems import accompaniment, read_stems, stem_file
from madsep.data.tracks import Track

# Energy of mixture - (drums + bass + other + vocals) over that of the mixture. In stem files the five streams are
# coded apart: Music Delta - 80s Rock leaves -31.6 dB, between -31.9 and -31.1 dB in each of its seconds. Leaving out
# one of its stems gives -8.5 to -3.9 dB. Wavs of 16 bit leave about -90 dB when the mixture is the sum.
WARN_RESIDUAL_DB = {"stems": -20.0, "wav": -40.0}
MAX_RESIDUAL_DB = -10.0


def prepare(
    tracks: Sequence[Track], signals: Sequence[str], mono: bool, out_dir: Path, manifest: Path, sample_rate_hz: int | None = None
) -> None:
    """Decode and check `tracks`; write each as <out_dir>/<slug>.npy and, at last, the JSON `manifest`.

    An array is float32 of shape (len(signals), n_channels, n_samples), at full scale 1 and at `sample_rate_hz` or, where that is None, at
    the data set's rate, then lossless for 16-bit input; n_channels is the data set's, or 1 with `mono`, their mean. Signals are the
    stems' names and "accompaniment", the sum of all but mixture and vocals. The tracks are of one data set. Memory: about 3 MB for each
    second of MUSDB18's longest track, 6 MB with all stems.
    Raises InputError with one line for each faulty track, without a manifest; ValueError for an unknown signal.
    """
    known = {signal for track in tracks for signal in (*DATASETS[track.dataset].stems, "accompaniment")}
    if not tracks or not signals or not set(signals) <= known:
        raise ValueError(f"expected tracks and signals out of {sorted(known)}, found {len(tracks)} tracks, {tuple(signals)}")
    if any(track.layout == "stems" for track in tracks):
        require_ffmpeg()
    entries, faults = [], []
    for track in tracks:
        try:
            stems = read_stems(track)
            residual_db, notes = _check_mixture(track, stems)
        except InputError as error:
            faults.append(str(error))
            continue
        for note in notes:
            log.warning("%s (%s): %s", track.name, track.slug, note)
        path = Path(out_dir) / f"{track.slug}.npy"
        array = np.stack([_signal(stems, signal, mono) for signal in signals])
        rate_hz = DATASETS[track.dataset].sample_rate_hz
        if sample_rate_hz not in (None, rate_hz):
            array = np.stack([soxr.resample(signal.T, rate_hz, sample_rate_hz).T for signal in array])
            rate_hz = sample_rate_hz
        _save(path, array)
        entry = _entry(track, signals, path, array.shape) | {"sample_rate_hz": rate_hz, "mixture_residual_db": residual_db, "notes": notes}
        entries.append(entry)
        log.info("prepared %s (%s), %.1f s", track.name, track.slug, entry["n_samples"] / entry["sample_rate_hz"])
    if faults:
        raise InputError("\n".join(faults))
    write_json(manifest, {"tracks": entries})


def _check_mixture(track: Track, stems: dict[str, np.ndarray]) -> tuple[float | None, list[str]]:
    """Compare the mixture with the sum of the stems; return the residual in dB (None when there is none) and notes."""
    dataset = DATASETS[track.dataset]
    notes = [f"known erratum: {dataset.errata[track.name]}"] if track.name in dataset.errata else []
    energy = _energy(stems["mixture"])
    if energy == 0:
        raise InputError(f"{track.path}: the mixture is silent; copy or download it again.")
    residual = _energy(stems["mixture"] - accompaniment(stems) - stems["vocals"])
    residual_db = round(10 * float(np.log10(residual / energy)), 2) if residual > 0 else None
    if residual_db is not None and residual_db > WARN_RESIDUAL_DB[track.layout]:
        what = f"the mixture differs from the sum of its stems by {residual_db:.1f} dB of its energy"
        limit_db = MAX_RESIDUAL_DB
        if residual_db > limit_db and track.name not in dataset.unsummed:
            raise InputError(f"{track.path}: {what}, at most {limit_db:.0f} dB is allowed; these are not its stems.")
        notes.append(what)
    for name in ("vocals", "accompaniment"):
        if track.subset == "test" and not _signal(stems, name, mono=True).any():
            notes.append(f"the {name} are silent throughout, so this track cannot be scored")
    return residual_db, notes


def _energy(audio: np.ndarray) -> float:
    return float(np.sum(np.square(audio), dtype=np.float64))


def _signal(stems: dict[str, np.ndarray], name: str, mono: bool) -> np.ndarray:
    """Return one signal, float32 of shape (n_channels, n_samples), or (1, n_samples) with `mono`."""
    audio = accompaniment(stems) if name == "accompaniment" else stems[name]
    return audio.mean(axis=0, keepdims=True) if mono else audio


def _save(path: Path, array: np.ndarray) -> None:
    """Write an .npy file through Python's own stream: `np.save` does not tell a full disk from other failures."""
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)


def _entry(track: Track, signals: Sequence[str], path: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    dataset = DATASETS[track.dataset]
    sources = sorted({stem_file(track, stem) for stem in dataset.stems})
    return {
        "slug": track.slug,
        "name": track.name,
        "subset": track.subset,
        "layout": track.layout,
        "path": track.path,
        "file": path.name,
        "sha256": sha256(path),
        "signals": list(signals),
        "n_channels": shape[1],
        "n_samples": shape[2],
        "source_sha256": {source.name: sha256(source) for source in sources},
        "ffmpeg": ffmpeg_version() if track.layout == "stems" else None,
    }
