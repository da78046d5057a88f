"""The prepare stage: decode tracks, check every stem, and write the signals for training and scoring as float32 arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from madsep.core.artefacts import Stage
from madsep.core.errors import Faults, InputError
from madsep.core.ffmpeg import ffmpeg_version, require_ffmpeg
from madsep.core.files import atomic, sha256
from madsep.core.logs import log
from madsep.data.coding import LAYOUT as DECODED
from madsep.data.coding import is_decoded
from madsep.data.datasets import DATASETS
from madsep.data.prepared import Form
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import Track

# Energy of mixture - (drums + bass + other + vocals) relative to the mixture. The five streams of a stem file are coded separately: for
# Music Delta - 80s Rock the residual is -31.6 dB, and -31.9 to -31.1 dB in each second. Without one of its stems it is -8.5 to -3.9 dB.
# In 16-bit wavs it is about -90 dB if the mixture is the sum.
WARN_RESIDUAL_DB = {True: -20.0, False: -40.0}  # of stem files, decoded or not; of other wavs
MAX_RESIDUAL_DB = -10.0


def prepare(tracks: Sequence[Track], form: Form, folder: Path, job: str) -> None:
    """Decode and check `tracks`, write each as <folder>/<slug>.npy with its record, then write the stamp of `job`.

    Arrays are float32 of shape (len(form.signals), n_channels, n_samples) with full scale 1 at the form's rate, which is lossless for
    16-bit input at the data set's rate. n_channels is that of the data set, or 1 for the mean of the channels if the form is mono. Signals
    are the names of stems and "accompaniment", the sum of all stems except mixture and vocals. Tracks already prepared from the same files
    in the same form are skipped. Memory: about 3 MB per second of MUSDB18's longest track, 6 MB with all stems.
    After all tracks, raises InputError with one line per faulty track, and writes no stamp. Raises ValueError for an unknown signal.
    """
    known = {signal for track in tracks for signal in (*DATASETS[track.dataset].stems, "accompaniment")}
    if not tracks or not form.signals or not set(form.signals) <= known:
        raise ValueError(f"expected tracks and signals out of {sorted(known)}, found {len(tracks)} tracks, {form.signals}")
    stage, faults = Stage(folder), Faults()
    due = [track for track in tracks if not _is_current(stage, track, form)]
    if any(track.layout == "stems" for track in due):
        require_ffmpeg()
    for track in due:
        with faults.gathered():
            _prepare(track, form, stage)
    faults.raise_all()
    stage.finish_job(job, [track.slug for track in tracks])


def _is_current(stage: Stage, track: Track, form: Form) -> bool:
    """Whether a track is already prepared in its subset. An extra track may have become a training track."""
    current = stage.is_current(track.slug, form.ingredients(track)) and stage.record(track.slug).facts["subset"] == track.subset
    if current:
        log.info("%s (%s): the prepared audio is up to date", track.name, track.slug)
    return current


def _prepare(track: Track, form: Form, stage: Stage) -> None:
    stems = read_stems(track)
    residual_db, layout, notes = _check_mixture(track, stems)
    for note in notes:
        log.warning("%s (%s): %s", track.name, track.slug, note)
    array = np.stack([_signal(stems, signal, form.mono) for signal in form.signals])
    rate_hz = DATASETS[track.dataset].sample_rate_hz
    if form.sample_rate_hz != rate_hz:
        array = np.stack([soxr.resample(signal.T, rate_hz, form.sample_rate_hz).T for signal in array])
    if {name: sha256(file) for name, file in track.source_files().items()} != dict(track.sources):
        raise InputError(f"{track.path}: changed while the run was under way; run the same command again.")
    path = stage.folder / f"{track.slug}.npy"
    with stage.making(track.slug, form.ingredients(track)) as made:
        _save(path, array)
        made |= {
            "files": [path],
            "name": track.name,
            "subset": track.subset,
            "layout": layout,
            "signals": list(form.signals),
            "n_channels": array.shape[1],
            "n_samples": array.shape[2],
            "sample_rate_hz": form.sample_rate_hz,
            "mixture_residual_db": residual_db,
            "notes": notes,
            "ffmpeg": ffmpeg_version() if track.layout == "stems" else None,
        }
    log.info("prepared %s (%s), %.1f s", track.name, track.slug, array.shape[2] / form.sample_rate_hz)


def _check_mixture(track: Track, stems: dict[str, np.ndarray]) -> tuple[float | None, str, list[str]]:
    """Compare the mixture with the sum of the stems. Return the residual in dB (None if it is zero), the layout, and notes."""
    dataset = DATASETS[track.dataset]
    notes = [f"known erratum: {dataset.errata[track.name]}"] if track.name in dataset.errata else []
    energy = _energy(stems["mixture"])
    if energy == 0:
        raise InputError(f"{track.path}: the mixture is silent; copy or download it again.")
    residual = _energy(stems["mixture"] - accompaniment(stems) - stems["vocals"])
    residual_db = round(10 * float(np.log10(residual / energy)), 2) if residual > 0 else None
    layout = track.layout
    if layout == "wav" and dataset.has_stem_files and is_decoded(stems["mixture"], residual_db, dataset.sample_rate_hz):
        layout = DECODED
    if residual_db is not None and residual_db > WARN_RESIDUAL_DB[layout in ("stems", DECODED)]:
        what = f"the mixture differs from the sum of its stems by {residual_db:.1f} dB of its energy"
        limit_db = MAX_RESIDUAL_DB
        if residual_db > limit_db and track.name not in dataset.unsummed:
            raise InputError(f"{track.path}: {what}, but at most {limit_db:.0f} dB is allowed; these are not its stems.")
        notes.append(what)
    for name in ("vocals", "accompaniment"):
        if track.subset == "test" and not _signal(stems, name, mono=True).any():
            notes.append(f"the {name} are silent throughout, so this track cannot be scored")
    return residual_db, layout, notes


def _energy(audio: np.ndarray) -> float:
    return float(np.sum(np.square(audio), dtype=np.float64))


def _signal(stems: dict[str, np.ndarray], name: str, mono: bool) -> np.ndarray:
    """Return one signal, float32 of shape (n_channels, n_samples), or (1, n_samples) if `mono`."""
    audio = accompaniment(stems) if name == "accompaniment" else stems[name]
    return audio.mean(axis=0, keepdims=True) if mono else audio


def _save(path: Path, array: np.ndarray) -> None:
    """Write an .npy file through Python's own stream, because `np.save` does not distinguish a full disk from other failures."""
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(array.data)
