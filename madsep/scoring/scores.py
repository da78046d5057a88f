"""Framewise BSSEval v4 scores in museval's JSON layout, read into one tidy table."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.core.reading import visible
from madsep.data import datasets

TARGETS = tuple(dict.fromkeys((*datasets.TARGETS, *datasets.STEMS)))  # in the order in which tables show them
METRICS = ("SDR", "SIR", "ISR", "SAR")
COLUMNS = ["track", "target", "metric", "time", "duration", "score"]
# MIX holds no artefacts if the mixture is the sum of its stems: its SAR, 80 dB and far more, is then nothing to compare with
NO_ARTEFACTS_DB = 80.0


def read_scores(folder: Path) -> pd.DataFrame:
    """Read every museval JSON in `folder`, or in its `test/`, one row per frame and metric.

    Columns: track (the file's name without its last `.json`), target, metric, time and duration in seconds, score in
    dB. A dropped frame is NaN; an infinite score counts as NaN, which is what museval writes for it. Hidden files and other
    folders are not searched.

    Raises InputError if the folder is missing, holds no JSON, holds JSON files both in `test/` and outside it, or if a file
    is not museval's layout.
    """
    return pd.concat([read_track(path) for path in score_files(folder)], ignore_index=True)


def read_track(path: Path) -> pd.DataFrame:
    """Read one file as `read_scores` does. Raises InputError if it is not in museval's layout."""
    rows = [(path.stem, *row) for row in _track_rows(path)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"time": float, "duration": float, "score": float})


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
    return here or below


def _jsons(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.suffix == ".json" and path.is_file()] if folder.is_dir() else []


def decibels(value: float, sign: str = "") -> str:
    """Return a score as text with two decimals: a dash for NaN, "> 80" beyond what can be compared; `sign` "+" shows that of gains."""
    if value > NO_ARTEFACTS_DB:
        return f"> {NO_ARTEFACTS_DB:.0f}"
    return "-" if math.isnan(value) else f"{value:{sign}z.2f}"


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by target (vocals, accompaniment, drums, bass, other) and metric (SDR, SIR, ISR, SAR).

    Other names follow in alphabetical order; rows of one target and metric keep their order.
    """
    return frame.sort_values(["target", "metric"], key=_ranks).reset_index(drop=True)


def _ranks(names: pd.Series) -> pd.Series:
    known = (*TARGETS, *METRICS)
    return names.map({name: rank for rank, name in enumerate([*known, *sorted(set(names) - set(known))])})


def _track_rows(path: Path) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield target, metric, time, duration, score for every frame of one file."""
    document = read_json(path)
    targets = document.get("targets") if isinstance(document, dict) else None
    if not isinstance(targets, list) or not targets:
        raise _layout_error(path, "there is no list `targets` with scores in it")
    seen: set[str] = set()
    for target in targets:
        name = target.get("name") if isinstance(target, dict) else None
        if not isinstance(name, str):
            raise _layout_error(path, "a target has no name")
        if name in seen:
            raise _layout_error(path, f"target {name} is there twice")
        seen.add(name)
        frames = target.get("frames")
        if not isinstance(frames, list) or not frames:
            raise _layout_error(path, f"target {name} has no frames")
        for index, frame in enumerate(frames):
            yield from _frame_rows(path, f"frame {index} of target {name}", name, frame)


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
    return InputError(f"{path}: not museval's layout: {problem}. Score the track again, or take the file away.")
