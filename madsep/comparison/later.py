"""Results published on MUSDB18 after SiSEC 2018. They ship with the package, each with its source. later/README.md describes them.

Like the campaign's, they are medians over tracks of medians over 1 s frames. They are known only for SDR and not per track. So they are
listed, but not used in tests, intervals and figures.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from madsep.core.tables import Column, read_table
from madsep.scoring.scores import TARGETS, decibels

TABLE = Path(__file__).parent / "later/results.csv"
AUDIO = ("stems", "HQ", "stems or HQ")  # what the estimates were scored on: MUSDB18's stem files, MUSDB18-HQ, or not known which
NO_EXTRA = "none"
STATED, ASSUMED = "stated", "assumed"  # whether the source states the averages, or only "SDR" or "median"
ABOUT: Mapping[str, Column] = {"system": str, "year": int, "audio": str, "extra_songs": str, "recipe": str, "n_trainings": int}
COLUMNS: Mapping[str, Column] = {**ABOUT, **dict.fromkeys(TARGETS, float), "source": str}


def later_results() -> pd.DataFrame:
    """Return the results, one row per system: SDR of each target in dB, NaN if it was not published, and the other COLUMNS.

    `extra_songs` is the number of songs in training besides MUSDB18's, `none`, or `private`. `n_trainings` is the number of trainings over
    which the source averaged.
    """
    return read_table(TABLE, COLUMNS)


def later_values() -> dict[str, Any]:
    """Return the values of the page's template: rows by descending vocals SDR, and the choices of each filter."""
    table = later_results().sort_values(["vocals", "system"], ascending=[False, True])
    return {
        "targets": TARGETS,
        "rows": [_row(row) for row in table.to_dict("records")],
        "filters": {
            "audio": [audio for audio in AUDIO if (table["audio"] == audio).any()],
            "extra": ["no extra songs", "extra songs"],
            "year": [str(year) for year in sorted(set(table["year"]))],
        },
    }


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    averaged = f", mean of {row['n_trainings']} trainings" if row["n_trainings"] > 1 else ""
    marked = ", averages not stated" if row["recipe"] == ASSUMED else ""
    return {
        **{name: row[name] for name in ("system", "year", "audio", "extra_songs", "source")},
        "extra": "no extra songs" if row["extra_songs"] == NO_EXTRA else "extra songs",
        "note": (averaged + marked).removeprefix(", "),
        "cells": [{"value": "" if math.isnan(row[target]) else f"{row[target]:.3f}", "text": decibels(row[target])} for target in TARGETS],
    }
