"""Framewise scores in museval's JSON layout, read into one tidy table."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.core.reading import GZIP, visible
from madsep.data import datasets
from madsep.scoring.protocols import SISEC18, Protocol

TARGETS = tuple(dict.fromkeys((*datasets.TARGETS, *datasets.STEMS)))  # in the order of the tables
METRICS = ("SDR", "SIR", "ISR", "SAR")
MAX_NAME_LENGTH = 100  # of a target
SUFFIXES = (".json", f".json{GZIP}")
SISEC_FRAMING = (1.0, 1.0, 0.0)  # seconds: length of a frame, distance between frames, beginning of the first
COLUMNS = ["track", "target", "metric", "time", "duration", "score"]
# if the mixture is the sum of its stems, MIX has no artefacts, and its SAR of 80 dB or far more is not comparable
NO_ARTEFACTS_DB = 80.0
TIME_DIGITS = 4  # decimals of seconds to which framings are distinguished
TIME_TOLERANCE_S = 1e-4


def read_scores(folder: Path) -> pd.DataFrame:
    """Read every museval JSON (`.json` or `.json.gz`) in `folder` or in its `test/`, with one row per frame and metric.

    The columns are track (the file's name without its last `.json` or `.json.gz`), target, metric, time and duration in seconds, and
    score in dB. Dropped frames are NaN. Infinite scores are read as NaN, which museval writes for them. Hidden files and other folders
    are ignored.

    Raises InputError if the folder is missing, holds no JSON, holds JSON files both in `test/` and outside it, or has a track both as
    `.json` and as `.json.gz`. Raises it if a file is not in museval's layout or is not of protocol sisec18.
    """
    return pd.concat([read_track(path) for path in score_files(folder)], ignore_index=True)


def read_track(path: Path, protocol: Protocol = SISEC18) -> pd.DataFrame:
    """Read one file as `read_scores` does. Raises InputError if it is of another protocol, or not in museval's layout."""
    rows = [(_track_of(path), *row) for row in _track_rows(path, protocol)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"time": float, "duration": float, "score": float})


def framing(scores: pd.DataFrame) -> str:
    """Return in words how the frames differ from SiSEC's consecutive 1-second frames, or an empty string if they do not."""
    found: dict[tuple[float, float, float] | None, set[str]] = {}
    for (track, _), frames in scores[scores["metric"] == METRICS[0]].groupby(["track", "target"], sort=True):
        found.setdefault(_framing(frames["time"].to_numpy(), frames["duration"].to_numpy()), set()).add(str(track))
    found.pop(SISEC_FRAMING, None)
    return "; ".join(f"{_framing_words(kind)} in {_tracks_words(tracks)}" for kind, tracks in found.items())


def _framing(times: NDArray[np.float64], durations: NDArray[np.float64]) -> tuple[float, float, float] | None:
    """Return length, distance and beginning of frames in seconds, or None if length or distance varies."""
    hops, length = np.diff(times), float(durations[0])
    hop = float(hops[0]) if len(hops) else length
    if not (np.allclose(durations, length, rtol=0, atol=TIME_TOLERANCE_S) and np.allclose(hops, hop, rtol=0, atol=TIME_TOLERANCE_S)):
        return None
    return round(length, TIME_DIGITS), round(hop, TIME_DIGITS), round(float(times[0]), TIME_DIGITS)


def _framing_words(kind: tuple[float, float, float] | None) -> str:
    if kind is None:
        return "frames of differing lengths or distances"
    length, hop, start = kind
    return f"frames of {length:g} s every {hop:g} s" + (f" from {start:g} s on" if start else "")


def _tracks_words(tracks: set[str]) -> str:
    first, *others = sorted(tracks)
    return f"{first} and {len(others)} other track{'s' * (len(others) > 1)}" if others else first


def score_files(folder: Path) -> list[Path]:
    """Return the JSONs in `folder` or in its `test/`, sorted by name. Raises InputError as `read_scores` says."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give one that holds museval's JSON files, in it or in its test/.")
    here, below = _jsons(folder), _jsons(folder / "test")
    if here and below:
        raise InputError(
            f"{folder}: holds JSON files ({here[0].name}, ...) and so does its test/; it is not clear which are the "
            "scores. Give the test/ folder itself, or move the others away."
        )
    if not here and not below:
        raise InputError(f"{folder}: no JSON file in it or in its test/; expected museval's scores, one file per track.")
    _refuse_twins(here or below)
    return here or below


def _jsons(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.name.endswith(SUFFIXES)] if folder.is_dir() else []


def _track_of(path: Path) -> str:
    return path.name.removesuffix(GZIP).removesuffix(".json")


def _refuse_twins(paths: list[Path]) -> None:
    """Raise InputError if a track has two files."""
    for path in paths:
        if path.suffix == GZIP and path.with_suffix("") in paths:
            raise InputError(f"{path}: the folder also holds {path.stem}; it is not clear which are the scores. Move one of them away.")


def decibels(value: float, sign: str = "") -> str:
    """Return a score as text with two decimals, a dash for NaN, or "> 80" above 80 dB. With `sign` "+", gains show their sign."""
    if value > NO_ARTEFACTS_DB:
        return f"> {NO_ARTEFACTS_DB:.0f}"
    return "-" if math.isnan(value) else f"{value:{sign}z.2f}"


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by target (vocals, accompaniment, drums, bass, other) and metric (SDR, SIR, ISR, SAR).

    Other names follow in alphabetical order. Rows of one target and metric keep their order.
    """
    return frame.sort_values(["target", "metric"], key=_ranks).reset_index(drop=True)


def _ranks(names: pd.Series) -> pd.Series:
    known = (*TARGETS, *METRICS)
    return names.map({name: rank for rank, name in enumerate([*known, *sorted(set(names) - set(known))])})


def protocol_in(document: Any) -> str:
    """Return the protocol that a score file's document names; museval's name none and are of sisec18."""
    return str(document.get("protocol", SISEC18.name)) if isinstance(document, dict) else SISEC18.name


def _track_rows(path: Path, protocol: Protocol) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield target, metric, time, duration, score for every frame of one file."""
    document = read_json(path)
    found = protocol_in(document)
    if found != protocol.name:
        raise InputError(f"{path}: holds scores of protocol {found}, which do not belong in a table of protocol {protocol.name}.")
    targets = document.get("targets") if isinstance(document, dict) else None
    if not isinstance(targets, list) or not targets:
        raise _layout_error(path, "there is no list `targets` with scores in it")
    seen: set[str] = set()
    for target in targets:
        name = target.get("name") if isinstance(target, dict) else None
        if not isinstance(name, str):
            raise _layout_error(path, "a target has no name")
        if not name.isprintable() or not 0 < len(name) <= MAX_NAME_LENGTH:
            raise _layout_error(path, f"{name[:MAX_NAME_LENGTH]!a} is not the name of a target")
        if name in seen:
            raise _layout_error(path, f"target {name} occurs twice")
        seen.add(name)
        yield from _target_rows(path, name, target.get("frames"))


def _target_rows(path: Path, name: str, frames: Any) -> Iterator[tuple[str, str, float, float, float]]:
    if not isinstance(frames, list) or not frames:
        raise _layout_error(path, f"target {name} has no frames")
    before = -math.inf
    for index, frame in enumerate(frames):
        where = f"frame {index} of target {name}"
        rows = list(_frame_rows(path, where, name, frame))
        time, duration = rows[0][2:4]
        if not (0 <= time < math.inf and 0 < duration < math.inf):
            raise _layout_error(path, f"{where} begins at {time:g} s and lasts {duration:g} s")
        if time == before:
            raise _layout_error(path, f"{where} occurs twice: the previous frame also begins at {time:g} s")
        if time < before:
            raise _layout_error(path, f"{where} begins at {time:g} s, before the previous frame")
        before = time
        yield from rows


def _frame_rows(path: Path, where: str, name: str, frame: Any) -> Iterator[tuple[str, str, float, float, float]]:
    metrics = frame.get("metrics") if isinstance(frame, dict) else None
    if not isinstance(metrics, dict):
        raise _layout_error(path, f"{where} has no `metrics`")
    time, duration = (_number(path, where, frame, key) for key in ("time", "duration"))
    for metric in METRICS:
        score = _number(path, where, metrics, metric)
        yield name, metric, time, duration, math.nan if math.isinf(score) else score


def _number(path: Path, where: str, values: dict[str, Any], key: str) -> float:
    if key not in values:
        raise _layout_error(path, f"{where} has no {key}")
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _layout_error(path, f"{key} in {where} is {value!r}, not a number")
    return float(value)


def _layout_error(path: Path, problem: str) -> InputError:
    return InputError(f"{path}: not museval's layout: {problem}. Score the track again, or remove the file.")
