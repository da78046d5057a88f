"""Choose the tracks that the page shows, and the part of each that it plays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from madsep.core.errors import InputError, nearest
from madsep.data.datasets import BASELINE
from madsep.listening.sources import System
from madsep.scoring.medians import track_medians
from madsep.scoring.scores import METRICS, decibels, ordered

SLACK = 0.1  # a part may have this share fewer frames with a score than the best one


@dataclass(frozen=True)
class Part:
    """The part of a track that the page plays, from `start_s` for `length_s` seconds, and the scores of its frames.

    A frame counts as defined if every system has a score in it. Medians are over frames, of SDR in dB, averaged over systems.
    """

    start_s: float
    length_s: float
    target: str
    n_frames: int
    n_defined: int
    median_db: float
    track_median_db: float


def choose_tracks(systems: Sequence[System], named: Sequence[str]) -> dict[str, list[str]]:
    """Return the tracks to show, each with the reasons: the worst, median and best of each system by SDR, then those `named`.

    The SDR of a track is the median over frames, of the vocals or else of the first target. For an even number of tracks, the lower one
    of the two in the middle counts as the median. MIX chooses tracks only if there is no other system. Raises InputError if a named track
    has no scores, or if no track has an SDR.
    """
    chosen: dict[str, list[str]] = {}
    choosing = [system for system in systems if system.name != BASELINE] or systems
    for system in choosing:
        sdr = _track_sdr(system)
        for word, place in (("worst", 0), ("median", (len(sdr) - 1) // 2), ("best", len(sdr) - 1)):
            if len(sdr):
                track, value = str(sdr.index[place]), float(sdr.iloc[place])
                chosen.setdefault(track, []).append(f"{word} of {system.name}, {decibels(value)} dB")
    known = sorted({str(track) for system in systems for track in system.scores["track"]})
    for track in named:
        if track not in known:
            raise InputError(f"listen: no system has scores of the track '{track}'{nearest(track, known)}.")
        chosen.setdefault(track, []).append("named")
    if not chosen:
        raise InputError(f"{', '.join(system.name for system in choosing)}: no track has an SDR, so there is nothing to choose from.")
    return chosen


def first_target(scores: pd.DataFrame) -> str:
    """Return the vocals, or the target that tables show first."""
    return str(ordered(scores.drop_duplicates("target"))["target"].iloc[0])


def choose_part(systems: Sequence[System], track: str, excerpt_s: float, duration_s: float) -> Part:
    """Return a part of `excerpt_s` seconds with active vocals and a typical score, or the whole track if it is shorter.

    Parts begin with a frame. Those with the most defined frames, less SLACK, are considered. Of these, the one with the median SDR nearest
    to the track's is chosen, or the earliest if there are several.
    """
    tables = [system.scores[(system.scores["track"] == track) & (system.scores["metric"] == METRICS[0])] for system in systems]
    tables = [table for table in tables if len(table)]
    target = first_target(pd.concat(tables))
    frames = pd.concat({number: _by_time(table, target) for number, table in enumerate(tables)}, axis=1, join="inner")
    times, sdr = frames.index.to_numpy(float), frames.to_numpy(float)
    hop_s = float(times[1] - times[0]) if len(times) > 1 else duration_s
    n_frames = max(1, min(len(times), int(excerpt_s / hop_s + 1e-9)))
    starts = np.arange(len(times) - n_frames + 1)
    defined = ~np.isnan(sdr).any(axis=1)
    n_defined = np.array([defined[start : start + n_frames].sum() for start in starts])
    medians = np.array([_median(sdr[start : start + n_frames]) for start in starts])
    distances = np.where(n_defined >= n_defined.max() - SLACK * n_frames, np.abs(medians - _median(sdr)), np.inf)
    best = int(np.argmin(np.where(np.isnan(distances), np.inf, distances)))
    is_whole = n_frames == len(times) and duration_s <= excerpt_s
    start_s = 0.0 if is_whole else float(times[best])
    length_s = min(excerpt_s, duration_s - start_s)
    return Part(start_s, length_s, target, n_frames, int(n_defined[best]), float(medians[best]), _median(sdr))


def _track_sdr(system: System) -> pd.Series:
    """Return the median SDR of each track that has one, in ascending order, then by name."""
    scores = system.scores[system.scores["metric"] == METRICS[0]]
    medians = track_medians(scores[scores["target"] == first_target(scores)]).dropna(subset="median")
    return medians.sort_values(["median", "track"]).set_index("track")["median"]


def _by_time(table: pd.DataFrame, target: str) -> pd.Series:
    return table[table["target"] == target].set_index("time")["score"]


def _median(sdr: np.ndarray) -> float:
    """Return the mean over systems of the median over their defined frames, or NaN if there are none."""
    medians = [float(np.median(known)) for column in sdr.T if len(known := column[~np.isnan(column)])]
    return float(np.mean(medians)) if medians else float("nan")
