"""GNSDR, GSIR and GSAR, the usual measures on MIR-1K: length-weighted means of the voice's BSS Eval v3 scores.

NSDR = SDR of the estimate - SDR of the mixture, both against the voice, for each clip (Ozerov, Philippe, Bimbot, Gribonval, IEEE TASLP
15(5), 2007). The G stands for the mean over clips, weighted by their lengths (Hsu and Jang, IEEE TASLP 18(2), 2010; Huang, Kim,
Hasegawa-Johnson, Smaragdis, ISMIR 2014).
"""

import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from madsep.bsseval import SourcesScorer
from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json, write_text
from madsep.core.intervals import Bootstrap, interval
from madsep.core.logs import log
from madsep.core.tables import Column, read_table
from madsep.data.prepared import PreparedTrack
from madsep.scoring.chain import check_chain, check_same_tracks, remove_others, write_tables
from madsep.scoring.estimates import Pair, for_each, origins, read_pair
from madsep.scoring.protocols import MIR1K
from madsep.scoring.scores import decibels

COLUMNS = ["track", "n_samples", "metric", "value"]
MEANS = {"GNSDR": "NSDR", "GSDR": "SDR", "GSIR": "SIR", "GSAR": "SAR"}  # mean over clips: the averaged metric
MEANS_COLUMNS: Mapping[str, Column] = {"metric": str, "value": float, "low": float, "high": float, "n_clips": int, "definition": str}
CLIPS_TABLE, MEANS_TABLE = "clips.csv", "gnsdr.csv"


def score_nsdr(tracks: Sequence[PreparedTrack], targets: Sequence[str], estimates: Path | None, folder: Path, job: str) -> None:
    """Write the voice's SDR, SIR, SAR, SDR_mixture and NSDR in dB for a job's mono tracks to the stage's folder `folder`, as JSON.

    `estimates` is the folder of an estimates stage, or None for MIX. Scores made from the same references and estimates are kept. The
    references are the voice and the accompaniment; only the voice's estimate matters. If it is silent throughout, its SDR, SIR, SAR and
    NSDR are NaN, with a warning. Raises InputError, after scoring the other tracks, for tracks of several channels, estimates that are
    missing, changed or of another length, and references that are silent throughout.
    """
    stage = Stage(folder)
    with threadpool_limits(1):  # the linear systems are small, so more threads would only slow down other jobs
        for_each(tracks, lambda track: _score_clip(track, targets, estimates, stage))
    stage.finish_job(job, [track.slug for track in tracks])


def _score_clip(track: PreparedTrack, targets: Sequence[str], estimates: Path | None, stage: Stage) -> None:
    made_from = {**origins(track, estimates), "engine": MIR1K.name, "targets": ",".join(targets)}
    if stage.is_current(track.slug, made_from):
        log.info("the scores of %s are up to date", track.name)
        return
    with stage.making(track.slug, made_from) as made:
        pair = read_pair(track, targets, estimates)
        document = clip_document(track.name, replace(pair, mixture=track.signal("mixture")))
        path = stage.folder / track.subset / f"{track.name}.json"
        write_json(path, document)
        made |= {"files": [path], "name": track.name}
    log.info("scored %s (%s)", track.name, track.slug)


def clip_document(name: str, pair: Pair) -> dict[str, Any]:
    """Return the scores of the voice of a clip as its JSON file holds them, null if the estimate is silent throughout.

    Raises InputError for several channels.
    """
    assert pair.mixture is not None  # of this protocol
    n_channels, n_samples = pair.mixture.shape
    if n_channels != 1:
        raise InputError(f"{name}: has {n_channels} channels; NSDR is a score of mono data.")
    scorer = SourcesScorer(np.concatenate([pair.references["vocals"], pair.references["accompaniment"]]))
    scores = clip_scores(name, scorer, pair.estimates["vocals"][0], pair.mixture[0])
    known = {metric: None if math.isnan(value) else value for metric, value in scores.items()}
    return {"protocol": MIR1K.name, "n_samples": n_samples, "vocals": known}


def clip_scores(name: str, scorer: SourcesScorer, estimate: np.ndarray, mixture: np.ndarray) -> dict[str, float]:
    """Return SDR, SIR, SAR, SDR_mixture and NSDR in dB of one clip's voice.

    `scorer` holds the references voice and accompaniment. `estimate` and `mixture` have shape (n_samples,). If the estimate is silent
    throughout, its scores are NaN, and a warning names the clip.
    """
    of_mixture, _, _ = scorer.score_source(0, mixture)
    if estimate.any():
        sdr, sir, sar = scorer.score_source(0, estimate)
    else:
        log.warning("%s: the estimate of vocals is silent throughout; its scores are NaN", name)
        sdr = sir = sar = np.nan
    return {"SDR": sdr, "SIR": sir, "SAR": sar, "SDR_mixture": of_mixture, "NSDR": sdr - of_mixture}


def aggregate_nsdr(tracks: Sequence[PreparedTrack], estimates: Path | None, scores: Path, out: Path, bootstrap: Bootstrap) -> None:
    """Write to `out` the table gnsdr.csv with the `length_weighted_means` of one system, and clips.csv with the scores of each clip.

    `estimates` and `scores` are stages' folders. MIX has no estimates. The stage's scores of other tracks are removed. Raises InputError
    as `check_chain` does.
    """
    check_chain(tracks, estimates, scores)
    stage = Stage(scores)
    remove_others(stage, tracks)
    clips = read_clips([(track.name, scores / file) for track in tracks for file in stage.record(track.slug).files])
    means = length_weighted_means(clips, bootstrap.seed, bootstrap.n_resamples)
    write_tables({MEANS_TABLE: means, CLIPS_TABLE: clips}, out, tracks, (estimates, scores), MIR1K)


def read_clips(files: Iterable[tuple[str, Path]]) -> pd.DataFrame:
    """Return the scores of clips, given by name and file, with the columns of clips.csv: track, n_samples, metric, value in dB."""
    return pd.DataFrame([row for name, path in files for row in _rows(name, path)], columns=COLUMNS)


def write_nsdr_overview(systems: Mapping[str, Path], path: Path) -> None:
    """Write the means of several systems as text, in their order, from the folders written by `aggregate_nsdr`.

    Raises InputError as `check_same_tracks` does.
    """
    check_same_tracks(systems, MIR1K)
    write_text(path, nsdr_table({name: read_table(folder / MEANS_TABLE, MEANS_COLUMNS) for name, folder in systems.items()}))


def length_weighted_means(scores: pd.DataFrame, seed: int, n_resamples: int) -> pd.DataFrame:
    """Return GNSDR, GSDR, GSIR and GSAR as columns metric, value, low, high (dB), n_clips, definition, from the columns of clips.csv.

    `low` and `high` bound the 95 % percentile bootstrap interval over clips. They are NaN for fewer than two clips. Clips without a number
    are not counted, and a warning names them. Raises InputError if a track is listed twice.
    """
    clips = scores.sort_values("track", kind="stable").set_index("track")
    rows = []
    for mean, metric in MEANS.items():
        group = clips[clips["metric"] == metric]
        if not group.index.is_unique:
            raise InputError(f"{group.index[group.index.duplicated()][0]}: was scored twice; expected one {metric} per track.")
        known = group.dropna()
        value = _weighted_mean(known["value"].to_numpy(), known["n_samples"].to_numpy()) if len(known) else np.nan
        samples = [known["value"].to_numpy(), known["n_samples"].to_numpy()]
        definition = MIR1K.definition(mean, MIR1K.average, len(known), float(group["value"].isna().mean()))
        rows.append((mean, value, *interval(samples, _weighted_mean, seed, n_resamples, vectorized=True), len(known), definition))
    unknown = clips.index[clips["value"].isna()].unique()
    if len(unknown):
        log.warning("%d clips have no score and are not counted in the means: %s", len(unknown), ", ".join(unknown))
    return pd.DataFrame(rows, columns=list(MEANS_COLUMNS))


def nsdr_table(systems: Mapping[str, pd.DataFrame]) -> str:
    """Return the `length_weighted_means` of several systems as text, in their order. The mixture may be one of them."""
    table = Table(title="Voice: means over clips, weighted by length (BSS Eval v3, sources)")
    table.add_column("system")
    for heading in ("GNSDR, dB", "95 %", "GSIR, dB", "GSAR, dB", "GSDR, dB", "clips"):
        table.add_column(heading, justify="right")
    for name, means in systems.items():
        values = dict(zip(means["metric"], means["value"], strict=True))
        nsdr = means[means["metric"] == "GNSDR"].iloc[0]
        bounds = f"{decibels(nsdr['low'])} to {decibels(nsdr['high'])}"
        sir, sar, sdr = (decibels(values[mean]) for mean in ("GSIR", "GSAR", "GSDR"))
        table.add_row(name, decibels(nsdr["value"]), bounds, sir, sar, sdr, str(nsdr["n_clips"]))
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()


def _weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> Any:
    return np.sum(values * weights, axis=axis) / np.sum(weights, axis=axis)


def _rows(name: str, path: Path) -> Iterator[tuple[str, int, str, float]]:
    """Yield the rows of clips.csv from a clip's score file."""
    document = read_json(path)
    for metric, value in document["vocals"].items():
        yield name, document["n_samples"], metric, math.nan if value is None else value
