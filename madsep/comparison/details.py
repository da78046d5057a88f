"""Details of a run besides its medians: whole-track scores, scores of frames, and the scoring engine."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madsep.core.artefacts import Record, read_record
from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.core.reading import is_there, visible
from madsep.core.tables import Column, read_table
from madsep.scoring.chain import RECORD
from madsep.scoring.scores import METRICS, read_scores

USDR, SI_SDR = "uSDR", "SI-SDR"
WHOLE_TRACK = {"SDR_global": USDR, "SDR": USDR, "SI-SDR": SI_SDR}  # name in tables and in records of scores -> name here
COLUMNS = ["track", "target", "metric", "value"]
GLOBAL: Mapping[str, Column] = {"track": str, "target": str, "metric": str, "value": float}

Frames = Mapping[tuple[str, str], NDArray[np.float64]]  # (track, target) -> SDR of each frame in dB, NaN if it has none


def _no_rows() -> pd.DataFrame:
    return pd.DataFrame(columns=COLUMNS)


@dataclass(frozen=True)
class Details:
    """Details of one run. Those that are not known are empty."""

    whole_track: pd.DataFrame = field(default_factory=_no_rows)  # track, target, metric (uSDR, SI-SDR), value (dB)
    frames: Frames = field(default_factory=dict)
    engine: str = ""


def details_of_tables(folder: Path) -> Details:
    """Return the details of a system of the workflow from the folder of its tables. Raises InputError if a file is faulty."""
    found, engine = Details(), ""
    if is_there(folder / "global.csv"):
        table = read_table(folder / "global.csv", GLOBAL)
        found = Details(table.assign(metric=table["metric"].map(WHOLE_TRACK)))
    if not is_there(folder / RECORD):
        return found
    stage = folder / str(read_record(folder / RECORD).facts.get("scores", "scores"))
    if not is_there(stage / "test"):
        return found
    for record in _records(stage):
        engine = record.made_from.get("engine", "")
    return Details(found.whole_track, frames_of(read_scores(stage / "test")), engine)


def details_of_scores(folder: Path, scores: pd.DataFrame) -> Details:
    """Return the details of `scores`, which were read from `folder`. Records of `madsep score` there hold whole-track scores.

    A record is ignored if its score file was changed.
    """
    rows: list[tuple[str, str, str, float]] = []
    engine = ""
    for record in _records(folder):
        if all(is_there(folder / name) and sha256(folder / name) == digest for name, digest in record.files.items()):
            engine = record.made_from.get("engine", engine)
            rows += _whole_track_rows(folder, record.facts)
    return Details(pd.DataFrame(rows, columns=COLUMNS), frames_of(scores), engine)


def frames_of(scores: pd.DataFrame) -> Frames:
    """Return the SDR of each frame from the rows of `read_scores`."""
    sdr = scores[scores["metric"] == METRICS[0]]
    return {(str(track), str(target)): group.to_numpy(float) for (track, target), group in sdr.groupby(["track", "target"])["score"]}


def _records(folder: Path) -> Iterator[Record]:
    """Yield the records in the folder of a stage. Other folders have none."""
    if (folder / "records").is_dir():
        yield from (read_record(path) for path in visible(folder / "records") if path.suffix == ".json")


def _whole_track_rows(folder: Path, facts: Mapping[str, Any]) -> Iterator[tuple[str, str, str, float]]:
    try:
        for target, values in facts["whole_track"].items():
            yield from ((facts["name"], target, WHOLE_TRACK[metric], float(value)) for metric, value in values.items())
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{folder / 'records'}: holds records that are not those of scores. Score the tracks again.") from None
