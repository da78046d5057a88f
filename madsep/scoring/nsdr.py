"""GNSDR, GSIR and GSAR: length-weighted means of BSS Eval v3 scores of the voice, as singing-voice separation on MIR-1K is measured.

NSDR = SDR of the estimate - SDR of the mixture, both against the voice, clip by clip (Ozerov, Philippe, Bimbot, Gribonval, IEEE TASLP
15(5), 2007); the G stands for the mean over clips weighted by their lengths (Hsu and Jang, IEEE TASLP 18(2), 2010; Huang, Kim,
Hasegawa-Johnson, Smaragdis, ISMIR 2014).
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from madsep.bsseval import SourcesScorer
from madsep.core.errors import InputError
from madsep.core.files import atomic
from madsep.core.intervals import interval
from madsep.core.logs import log
from madsep.data.prepared import signal
from madsep.scoring.estimates import Estimates
from madsep.scoring.scores import NO_ARTEFACTS_DB

COLUMNS = ["track", "n_samples", "metric", "value"]
MEANS = {"GNSDR": "NSDR", "GSDR": "SDR", "GSIR": "SIR", "GSAR": "SAR"}  # mean over clips: what it is the mean of


def score_nsdr(estimates: Estimates, table: Path) -> None:
    """Write `table`, a tidy CSV (track, n_samples, metric, value in dB) of the voice's SDR, SIR, SAR, SDR_mixture and NSDR on each track.

    The references are the voice and the accompaniment; scores of the voice depend on no other estimate than its own. Where that is silent
    throughout, its SDR, SIR, SAR and NSDR are NaN; a warning says so. Raises InputError for tracks of several channels, when an estimate
    is missing or of another length, or a reference is silent throughout.
    """
    rows: list[tuple[Any, ...]] = []
    with threadpool_limits(1):  # the systems are small: more threads would only stand in the way of other jobs
        for entry, references, estimated in estimates.tracks():
            name, voice, mixture = entry["name"], references["vocals"], signal(entry, "mixture")
            if len(voice) != 1:
                raise InputError(f"{name}: has {len(voice)} channels; NSDR is a score of mono data.")
            scorer = SourcesScorer(np.concatenate([voice, references["accompaniment"]]))
            scores = clip_scores(name, scorer, estimated["vocals"][0], mixture[0])
            rows += [(name, voice.shape[1], metric, value) for metric, value in scores.items()]
            log.info("scored %s (%s): NSDR %.2f dB", name, entry["slug"], scores["NSDR"])
    _write(pd.DataFrame(rows, columns=COLUMNS), table)


def clip_scores(name: str, scorer: SourcesScorer, estimate: np.ndarray, mixture: np.ndarray) -> dict[str, float]:
    """Return SDR, SIR, SAR, SDR_mixture and NSDR in dB of one clip's voice.

    `scorer` holds the references voice and accompaniment; `estimate` and `mixture` have shape (n_samples,). NaN where the estimate is
    silent throughout, with a warning that calls the clip `name`.
    """
    of_mixture, _, _ = scorer.score_source(0, mixture)
    if estimate.any():
        sdr, sir, sar = scorer.score_source(0, estimate)
    else:
        log.warning("%s: the estimate of vocals is silent throughout; its scores are NaN", name)
        sdr = sir = sar = np.nan
    return {"SDR": sdr, "SIR": sir, "SAR": sar, "SDR_mixture": of_mixture, "NSDR": sdr - of_mixture}


def aggregate_nsdr(tables: Sequence[Path], out: Path, seed: int, n_resamples: int) -> None:
    """Write `out`, a CSV (metric, value, low, high, n_clips) of one system's GNSDR, GSDR, GSIR and GSAR in dB, from tables of `score_nsdr`.

    Raises InputError for a table with other columns, and for a track that is there twice.
    """
    _write(length_weighted_means(pd.concat([_read(path) for path in tables]), seed, n_resamples), out)


def length_weighted_means(scores: pd.DataFrame, seed: int, n_resamples: int) -> pd.DataFrame:
    """Return GNSDR, GSDR, GSIR and GSAR: the columns metric, value, low, high (dB), n_clips, from those of `score_nsdr`'s tables.

    `low` and `high` bound the 95 % percentile bootstrap interval over clips, NaN for fewer than two. Clips without a number are named in a
    warning and not counted. Raises InputError for a track that is there twice.
    """
    clips = scores.sort_values("track", kind="stable").set_index("track")
    rows = []
    for mean, metric in MEANS.items():
        group = clips[clips["metric"] == metric]
        if not group.index.is_unique:
            raise InputError(f"{group.index[group.index.duplicated()][0]}: is scored twice; expected one {metric} for each track.")
        known = group.dropna()
        value = _weighted_mean(known["value"].to_numpy(), known["n_samples"].to_numpy()) if len(known) else np.nan
        samples = [known["value"].to_numpy(), known["n_samples"].to_numpy()]
        rows.append((mean, value, *interval(samples, _weighted_mean, seed, n_resamples, vectorized=True), len(known)))
    unknown = clips.index[clips["value"].isna()].unique()
    if len(unknown):
        log.warning("%d clips have no score and are not counted in the means: %s", len(unknown), ", ".join(unknown))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high", "n_clips"])


def nsdr_table(systems: Mapping[str, pd.DataFrame]) -> str:
    """Return the means of `aggregate_nsdr` of several systems, by name and in their order, as text; the mixture may be one of them."""
    table = Table(title="Voice: means over clips, weighted by length (BSS Eval v3, sources)")
    table.add_column("system")
    for heading in ("GNSDR, dB", "95 %", "GSIR, dB", "GSAR, dB", "GSDR, dB", "clips"):
        table.add_column(heading, justify="right")
    for name, means in systems.items():
        values = dict(zip(means["metric"], means["value"], strict=True))
        nsdr = means[means["metric"] == "GNSDR"].iloc[0]
        bounds = f"{_decibels(nsdr['low'])} to {_decibels(nsdr['high'])}"
        sir, sar, sdr = (_decibels(values[mean]) for mean in ("GSIR", "GSAR", "GSDR"))
        table.add_row(name, _decibels(nsdr["value"]), bounds, sir, sar, sdr, str(nsdr["n_clips"]))
    text = io.StringIO()
    Console(file=text, width=100).print(table)
    return text.getvalue()


def _weighted_mean(values: np.ndarray, weights: np.ndarray, axis: int = -1) -> Any:
    return np.sum(values * weights, axis=axis) / np.sum(weights, axis=axis)


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"track": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error}). Score the track again.") from None
    if list(table.columns) != COLUMNS or not pd.api.types.is_numeric_dtype(table["value"]):
        raise InputError(f"{path}: expected the columns {','.join(COLUMNS)} with numbers in the last one. Score the track again.")
    return table


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6f")


def _decibels(value: float) -> str:
    if value > NO_ARTEFACTS_DB:
        return f"> {NO_ARTEFACTS_DB:.0f}"
    return "-" if np.isnan(value) else f"{value:.2f}"
