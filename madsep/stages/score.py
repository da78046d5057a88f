"""Score estimates of test tracks with museval (BSSEval v4) and whole-track metrics."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from madsep.audio import read_wav
from madsep.errors import InputError
from madsep.ffmpeg import require_ffmpeg
from madsep.files import write_text
from madsep.logs import log
from madsep.prepared import read_prepared, signal

TARGETS = ("vocals", "accompaniment")
FRAME_S = 1.0  # window and hop of SiSEC 2018
METRICS = ("SDR", "SIR", "ISR", "SAR")
EPSILON = 1e-7  # of the MDX 2021 and SDX 2023 challenges' definitions

Signals = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """Which prepared test tracks to score, and where.

    `estimates` is the folder that holds test/<true name>/<target>.wav; None scores the unprocessed mixture as every target.
    """

    prepared: Sequence[Path]
    slugs: Sequence[str]
    estimates: Path | None
    table: Path


def score(job: Job, n_threads: int) -> None:
    """Write test/<slug>.json, museval's JSON, beside the job's table for each track, then that tidy CSV of whole-track metrics.

    Raises InputError when an estimate is missing or of another length, or a reference is silent throughout.
    """
    require_ffmpeg()  # museval cannot be imported without it
    rows = []
    with threadpool_limits(n_threads):
        for entry in read_prepared(job.prepared, "test", job.slugs):
            references = {target: signal(entry, target) for target in TARGETS}
            for target, reference in references.items():
                if not reference.any():
                    raise InputError(f"{entry['name']}: the {target} reference is silent throughout; BSSEval is not defined for it.")
            estimated = _estimates(entry["name"], signal(entry, "mixture"), job.estimates)
            text = museval_json(entry["name"], references, estimated, entry["sample_rate_hz"])
            write_text(job.table.parent / "test" / f"{entry['slug']}.json", text)
            for target in TARGETS:
                rows.append((entry["name"], target, "SDR_global", global_sdr(references[target], estimated[target])))
                rows.append((entry["name"], target, "SI-SDR", si_sdr(references[target], estimated[target])))
            log.info("scored %s (%s)", entry["name"], entry["slug"])
    write_text(job.table, pd.DataFrame(rows, columns=["track", "target", "metric", "value"]).to_csv(index=False))


def _estimates(name: str, mixture: np.ndarray, folder: Path | None) -> Signals:
    """Estimates (n_channels, n_samples) of all targets, as long as the mixture."""
    if folder is None:
        return dict.fromkeys(TARGETS, mixture)
    found = {}
    for target in TARGETS:
        path = folder / "test" / name / f"{target}.wav"
        if not path.is_file():
            raise InputError(f"{path}: this estimate is missing; separate the track again (remove its manifest in {folder}).")
        found[target] = read_wav(path)[0]
        if found[target].shape != mixture.shape:
            raise InputError(f"{path}: has shape {found[target].shape} (channels, samples); expected {mixture.shape} as the mixture.")
    return found


def museval_json(name: str, references: Signals, estimates: Signals, sample_rate_hz: int) -> str:
    """Return museval's own JSON text for one track: BSSEval v4, window and hop of 1 s, frame by frame.

    A target whose estimate is silent throughout cannot be scored by museval; all its frames are NaN, as silent frames are.
    """
    import museval

    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # type: ignore[attr-defined]  # museval 0.4.1 catches np.linalg.linalg.LinAlgError, a name that numpy 2 has dropped
    n_frame = round(FRAME_S * sample_rate_hz)
    stacked = [np.stack([signals[target].T.astype(np.float64) for target in references]) for signals in (references, estimates)]
    silent = [target for target in references if not estimates[target].any()]
    if silent:
        log.warning("%s: the estimate of %s is silent throughout; every frame is NaN", name, ", ".join(silent))
        n_frames = museval.metrics.Framing(n_frame, n_frame, stacked[0].shape[1]).nwin
        metrics = np.full((len(METRICS), len(references), n_frames), np.nan)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "divide by zero", RuntimeWarning)  # a perfect frame is infinite; museval writes NaN
            sdr, isr, sir, sar = museval.evaluate(*stacked, win=n_frame, hop=n_frame, mode="v4")
        metrics = np.stack([sdr, sir, isr, sar])
    store = museval.TrackStore(win=FRAME_S, hop=FRAME_S, track_name=name)
    for number, target in enumerate(references):
        store.add_target(target, {metric: metrics[i, number].tolist() for i, metric in enumerate(METRICS)})
    store.validate()
    return str(store.json)


def global_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Signal-to-distortion ratio in dB of whole signals (n_channels, n_samples), all channels together.

    10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)), in float64: the score of MDX 2021 and SDX 2023, also called uSDR.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    return float(10 * np.log10((np.sum(reference**2) + EPSILON) / (np.sum((reference - estimate) ** 2) + EPSILON)))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant SDR in dB: the reference is scaled by a = <s', s> / (<s, s> + 1e-7) over all channels first."""
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    scale = np.sum(estimate * reference) / (np.sum(reference**2) + EPSILON)
    return global_sdr(scale * reference, estimate)
