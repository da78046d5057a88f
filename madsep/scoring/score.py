"""Scores of test tracks by the protocol of a run, and whole-track metrics."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from madsep.core.artefacts import Stage
from madsep.core.files import write_json, write_text
from madsep.core.logs import log
from madsep.data.prepared import PreparedTrack
from madsep.scoring.engines import Engine, score_text
from madsep.scoring.estimates import Scorable, for_each, scorable
from madsep.scoring.protocols import MDX21, MIR1K

EPSILON = 1e-7  # from the definitions of the MDX 2021 and SDX 2023 challenges


def score(tracks: Sequence[PreparedTrack], targets: Sequence[str], estimates: Path | None, folder: Path, job: str, engine: Engine) -> None:
    """Score the tracks of a job and write test/<true name>.json and a record for each to the stage's folder `folder`.

    The JSON has museval's layout, in mdx21 without frames. It names the protocol unless that is sisec18. The record holds the whole-track
    metrics.

    `estimates` is the folder of an estimates stage, or None for MIX. Scores made from the same references and estimates are kept. Raises
    InputError, after scoring the other tracks, for an estimate that is missing, changed or of another length, and for a reference that is
    silent throughout.
    """
    stage = Stage(folder)
    if estimates is None:  # MIX is a sum of the references, so its SAR only measures rounding
        engine = replace(engine, warns=False)
    for_each(tracks, lambda track: score_track(scorable(track, targets, estimates, engine.protocol), stage, engine))
    stage.finish_job(job, [track.slug for track in tracks])


def score_track(track: Scorable, stage: Stage, engine: Engine) -> None:
    """Write <subset>/<true name>.json and the record of one track, unless they are up to date. Raises InputError as `score` says."""
    made_from = made_from_of(track, engine)
    if stage.is_current(track.slug, made_from):
        log.info("the scores of %s are up to date", track.name)
        return
    path = stage.folder / track.subset / f"{track.name}.json"
    if path.exists():
        log.info("%s: no record shows that this engine made it from these references and estimates; scored again", path)
    with stage.making(track.slug, made_from) as made:
        pair = track.read()
        whole_track = {
            target: {"SDR": global_sdr(pair.references[target], estimate), "SI-SDR": si_sdr(pair.references[target], estimate)}
            for target, estimate in pair.estimates.items()
        }
        if engine.protocol == MDX21:
            targets = [{"name": target, **values} for target, values in whole_track.items()]
            write_json(path, {"protocol": MDX21.name, "targets": targets})
        elif engine.protocol == MIR1K:
            from madsep.scoring.nsdr import clip_document  # loads pandas, which no other protocol needs here

            write_json(path, clip_document(track.name, pair))
        else:
            write_text(path, score_text(engine, track.name, pair))
        made |= {"files": [path], "name": track.name, "whole_track": whole_track}
    log.info("scored %s (%s)", track.name, track.slug)


def made_from_of(track: Scorable, engine: Engine) -> dict[str, str]:
    """Return the ingredients of a track's scores by an engine."""
    return {**track.made_from, "engine": engine.name}


def global_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the signal-to-distortion ratio in dB of whole signals (n_channels, n_samples), over all channels.

    10 log10((sum s^2 + 1e-7) / (sum (s - s')^2 + 1e-7)), in float64: the score of MDX 2021 and SDX 2023, also called uSDR.
    """
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    return float(10 * np.log10((np.sum(reference**2) + EPSILON) / (np.sum((reference - estimate) ** 2) + EPSILON)))


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Return the scale-invariant SDR in dB: `global_sdr` with the reference scaled by <s', s> / (<s, s> + 1e-7) over all channels."""
    reference, estimate = reference.astype(np.float64), estimate.astype(np.float64)
    scale = np.sum(estimate * reference) / (np.sum(reference**2) + EPSILON)
    return global_sdr(scale * reference, estimate)
