"""The published scores of the 2018 Signal Separation Evaluation Campaign (SiSEC), which ship with the package.

They come from the score files in https://github.com/sigsep/sigsep-mus-2018. sisec18/README.md describes the tables. F.-R. Stöter,
A. Liutkus, N. Ito, "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pandas as pd

from madsep.core.tables import Column, read_table
from madsep.scoring.scores import METRICS, ordered

DATA = Path(__file__).parent / "sisec18"
SCORES: Mapping[str, Column] = dict.fromkeys(("SDR", "ISR", "SIR", "SAR"), float)
COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "medians.csv": {"system": str, "kind": str, "target": str, **SCORES},
    "track_medians.csv.gz": {"system": str, "track": str, "target": str, **dict(sorted(SCORES.items()))},
    "frames.csv": {"track": str, "n_frames": int},
}


def published_medians() -> pd.DataFrame:
    """Return the median over tracks of the median over frames of 31 systems, in dB: system, kind, target, metric, median.

    A kind is supervised, supervised+extra (trained with more than MUSDB18), blind, or oracle, which includes MIX.
    """
    return _tidy(_read("medians.csv"))


def published_track_medians() -> pd.DataFrame:
    """Return the median over frames of each of the 50 tracks, in dB: system, kind, track, target, metric, median."""
    tracks = _read("track_medians.csv.gz")
    return _tidy(tracks.assign(kind=tracks["system"].map(published_kinds())))


def published_kinds() -> dict[str, str]:
    """Return the kind of each of the 31 systems, as in `published_medians`."""
    medians = _read("medians.csv")
    return dict(zip(medians["system"], medians["kind"], strict=True))


def published_frames() -> dict[str, int]:
    """Return the number of 1 s frames of each of the 50 test tracks in the files of MDL1. Some systems have one more in four tracks."""
    frames = _read("frames.csv")
    return dict(zip(frames["track"], frames["n_frames"], strict=True))


@cache
def _read(name: str) -> pd.DataFrame:
    """Return a table, which is read only once. Callers must not change it."""
    return read_table(DATA / name, COLUMNS[name])


def _tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Turn the columns of the four metrics into rows."""
    keys = [key for key in ("system", "kind", "track", "target") if key in table]
    return ordered(table.melt(keys, list(METRICS), var_name="metric", value_name="median").sort_values("system", kind="stable"))
