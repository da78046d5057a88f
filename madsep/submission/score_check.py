"""Check scores in museval's JSON layout: each track by itself, and the tracks of a submission against each other.

Values of the wrong type are skipped here. The check of the schema reports them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from madsep.scoring.scores import METRICS, TARGETS

PAIR = ("vocals", "accompaniment")
STEMS = ("vocals", "drums", "bass", "other")
N_LISTED = 8

Frames = list[dict[str, Any]]


def target_set_faults(documents: dict[str, Any]) -> Iterator[str]:
    """Yield a fault for each track whose targets differ from those of most tracks, and one if those of most tracks are incomplete.

    `documents` maps labels of tracks to JSON content. A complete set is vocals with accompaniment, or the four stems, or both.
    """
    if not documents:
        return
    found = {label: frozenset(name for name, _ in _targets(document)) for label, document in documents.items()}
    counts = Counter(found.values())
    usual = max(counts, key=lambda targets: (counts[targets], len(targets)))
    if not (usual >= set(PAIR) or usual >= set(STEMS)) or not usual <= set(TARGETS):
        yield f"test/: the targets are {_names(usual)}; expected vocals and accompaniment, or the four stems, or both"
    for label, targets in found.items():
        if targets != usual:
            yield f"{label}: the targets are {_names(targets)}; those of the other tracks are {_names(usual)}"


def track_faults(document: Any, duration_s: float | None) -> Iterator[str]:
    """Yield the faults in one track's scores: metrics, time grid, frame counts, infinities, implausible NaN.

    `duration_s` is the track's duration in seconds, if known. The number of frames may differ by one from its whole seconds, because
    decoders differ.
    """
    targets = _targets(document)
    yield from (f"target {name} occurs {n} times" for name, n in Counter(n for n, _ in targets).items() if n > 1)
    for name, frames in targets:
        yield from (f"target {name} {fault}" for fault in _target_faults(frames))
    counts = {name: len(frames) for name, frames in targets if frames}
    if len(set(counts.values())) > 1:
        yield f"targets differ in their number of frames: {', '.join(f'{name} {n}' for name, n in counts.items())}"
    for n_frames in sorted(set(counts.values())):
        if duration_s is not None and abs(n_frames - math.floor(duration_s)) > 1:
            yield f"has {n_frames} frames; expected {math.floor(duration_s)} +-1 for {duration_s:g} s"
    yield from _nan_pattern_faults(dict(targets))


def is_number(value: Any) -> bool:
    """Whether a value read from JSON or YAML is a number. NaN and infinities count as numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def listed(items: Iterable[Any]) -> str:
    """Return the first few items as text, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - N_LISTED} more" if len(texts) > N_LISTED else ""
    return ", ".join(texts[:N_LISTED]) + more


def _target_faults(frames: Frames) -> Iterator[str]:
    if not frames:
        yield "has no frames"
        return
    grid = [(frame.get("time"), frame.get("duration")) for frame in frames]
    off_grid = [index for index, place in enumerate(grid) if place != (index, 1)]
    if off_grid:
        yield f"is off the time grid (0, 1, 2, ... s, each 1 s long) in frames {listed(off_grid)}"
    for metric in METRICS:
        missing = [index for index, frame in enumerate(frames) if metric not in _metrics(frame)]
        if missing:
            yield f"lacks {metric} in frames {listed(missing)}"
    scores = _scores(frames)
    infinite = np.flatnonzero(np.isinf(scores).any(axis=1))
    if len(infinite):
        yield f"has infinite scores in frames {listed(infinite)}"
    nan = np.isnan(scores)
    if nan.all():
        yield f"has NaN in all of its {len(frames)} frames"
    partly = np.flatnonzero(nan.any(axis=1) & ~nan.all(axis=1))
    if len(partly):
        yield f"has NaN for some metrics but not for all in frames {listed(partly)}"


def _nan_pattern_faults(targets: dict[str, Frames]) -> Iterator[str]:
    """Yield frames that are NaN for some targets but not for others that were scored together with them.

    A frame is dropped for all targets if any reference or estimate is silent (museval/metrics.py, `bss_eval`). If vocals and accompaniment
    are both present, museval scores these two separately from the other stems.
    """
    pair = set(PAIR) if set(PAIR) <= set(targets) else set()
    for group in (pair, set(targets) - pair):
        together = [name for name in targets if name in group and targets[name]]
        if len(together) < 2:
            continue
        n_frames = min(len(targets[name]) for name in together)
        dropped = np.stack([np.isnan(_scores(targets[name][:n_frames])).all(axis=1) for name in together])
        uneven = np.flatnonzero(dropped.any(axis=0) & ~dropped.all(axis=0))
        if len(uneven):
            yield f"NaN in some but not all of the targets {', '.join(together)} in frames {listed(uneven)}"


def _targets(document: Any) -> list[tuple[str, Frames]]:
    """Return name and frames of every target that has a name."""
    targets = document.get("targets") if isinstance(document, dict) else None
    named = [t for t in _items(targets) if isinstance(t.get("name"), str)]
    return [(target["name"], _items(target.get("frames"))) for target in named]


def _items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _metrics(frame: dict[str, Any]) -> dict[str, Any]:
    metrics = frame.get("metrics")
    return metrics if isinstance(metrics, dict) else {}


def _scores(frames: Frames) -> NDArray[np.float64]:
    """Return the scores, shape (n_frames, 4) in dB. A score that is missing or not a number counts as 0. Other checks report it."""
    rows = [[_metrics(frame).get(metric) for metric in METRICS] for frame in frames]
    return np.array([[score if is_number(score) else 0.0 for score in row] for row in rows], dtype=np.float64)


def _names(targets: frozenset[str]) -> str:
    return ", ".join(sorted(targets)) or "none"
