"""Scores of one track in museval's layout: the same targets, keys, rounding and text."""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madsep.bsseval.engine import Scorer, Settings
from madsep.bsseval.signals import Signal, SumSignal, as_signal
from madsep.bsseval.stretches import Estimate
from madsep.errors import InputError

Source = Signal | np.ndarray | Path | str

# the release whose definition the scores follow, in the key that its own files carry
MUSEVAL_VERSION = "0.4.1"
METRICS = ("SDR", "SIR", "SAR", "ISR")  # in the order of museval's files
RANKS = (0, 2, 3, 1)  # of those among SDR, ISR, SIR, SAR
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"


def score_track(
    references: Mapping[str, Source],
    estimates: Mapping[str, Source],
    sample_rate_hz: float,
    settings: Settings | None = None,
    parts: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return museval's scores of one track, as `museval.eval_mus_track` does: a dict that `scores_text` writes.

    Signals are arrays (n_samples, n_channels), wav files or anything else that `as_signal` takes; none is held in memory whole. Targets
    are those of `references`, in that order, that have an estimate. Where vocals and accompaniment are among them, these two are scored
    against each other and the other targets with vocals, without accompaniment. `parts` names the references whose sum is the
    accompaniment; where it is not among the references it is the sum of all others but vocals.

    `settings` has windows in samples, a second each where it is None. Raises InputError as `Scorer` does.
    """
    return score_systems(references, {"": estimates}, sample_rate_hz, settings, parts)[""]


def score_systems(
    references: Mapping[str, Source],
    systems: Mapping[str, Mapping[str, Source]],
    sample_rate_hz: float,
    settings: Settings | None = None,
    parts: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return `score_track` for each of several systems on one track; the references' own part is computed once."""
    if settings is None:
        settings = Settings(int(sample_rate_hz), int(sample_rate_hz))
    signals = {name: as_signal(source) for name, source in references.items()}
    if ACCOMPANIMENT not in signals and parts is None:
        parts = [name for name in signals if name != VOCALS]
    scorers: dict[tuple[str, ...], Scorer] = {}
    scored = {}
    for system, given in systems.items():
        chosen = {name: as_signal(source) for name, source in given.items()}
        scored[system] = _score_system(signals, chosen, settings, (tuple(parts or ()), scorers))
        for target in scored[system]["targets"]:
            for frame in target["frames"]:
                frame["time"], frame["duration"] = frame["time"] / sample_rate_hz, frame["duration"] / sample_rate_hz
    return scored


def _score_system(
    signals: Mapping[str, Signal],
    estimates: Mapping[str, Signal],
    settings: Settings,
    shared: tuple[tuple[str, ...], dict[tuple[str, ...], Scorer]],
) -> dict[str, Any]:
    parts, scorers = shared
    stems = [name for name in signals if name in estimates and name != ACCOMPANIMENT]
    has_both = VOCALS in stems and ACCOMPANIMENT in estimates and (ACCOMPANIMENT in signals or bool(parts))
    if not has_both and ACCOMPANIMENT in signals and ACCOMPANIMENT in estimates:
        stems = [name for name in signals if name in estimates]
    if len(stems) < 2 and not has_both:
        warnings.warn("BSSEval needs at least two estimates: no target is scored", UserWarning, stacklevel=4)
        return {"targets": [], "museval_version": MUSEVAL_VERSION}
    base = dict.fromkeys(stems if len(stems) > 1 else [VOCALS])
    if has_both and not (parts and set(parts) <= set(base)):
        base[ACCOMPANIMENT] = None
    names = tuple(base)
    if names not in scorers:
        scorers[names] = Scorer(names, [_reference(signals, name, parts) for name in names], settings)
    wanted = [*names, *([ACCOMPANIMENT] if has_both and ACCOMPANIMENT not in names else [])]
    made = [Estimate(name, estimates[name], tuple(names.index(part) for part in ([name] if name in names else parts))) for name in wanted]
    scenarios, reported = [], []
    if len(stems) > 1:
        scenarios.append(tuple(wanted.index(name) for name in stems))
        reported.append([name for name in stems if not (has_both and name == VOCALS)])
    if has_both:
        scenarios.append((wanted.index(VOCALS), wanted.index(ACCOMPANIMENT)))
        reported.append([VOCALS, ACCOMPANIMENT])
    targets = []
    for scenario, names_out, values in zip(scenarios, reported, scorers[names].score(made, scenarios), strict=True):
        place = {wanted[number]: index for index, number in enumerate(scenario)}
        targets += [_target(name, values[:, place[name]], settings) for name in names_out]
    return {"targets": targets, "museval_version": MUSEVAL_VERSION}


def _reference(signals: Mapping[str, Signal], name: str, parts: tuple[str, ...]) -> Signal:
    if name in signals:
        return signals[name]
    return SumSignal([signals[part] for part in parts])


def _target(name: str, values: np.ndarray, settings: Settings) -> dict[str, Any]:
    """One target's frames with times in samples; `values` (4, n_frames) are SDR, ISR, SIR, SAR in dB."""
    frames = []
    for number, column in enumerate(values.T):
        metrics = {metric: _rounded(float(column[rank])) for metric, rank in zip(METRICS, RANKS, strict=True)}
        frames.append({"time": number * settings.hop, "duration": settings.window, "metrics": metrics})
    return {"name": name, "frames": frames}


def _rounded(value: float) -> float:
    """Five decimals, half to even; an infinite score is NaN in museval's files."""
    return math.nan if math.isinf(value) else round(value, 5)


def scores_text(scores: Mapping[str, Any]) -> str:
    """Return the JSON text of scores, byte for byte as museval writes it."""
    return _text(scores, "\n")


def _text(value: Any, newline: str, is_metric: bool = False) -> str:
    if isinstance(value, Mapping):
        items = [f"{json.dumps(key)}: {_text(item, newline + '  ', key in METRICS)}" for key, item in value.items()]
        return _bracketed(items, "{}", newline)
    if isinstance(value, list):
        return _bracketed((_text(item, newline + "  ") for item in value), "[]", newline)
    if is_metric:
        return "NaN" if math.isnan(value) else f"{value:.5f}"
    return json.dumps(value)


def _bracketed(items: Iterable[str], brackets: str, newline: str) -> str:
    listed = list(items)
    inner = newline + "  "
    return f"{brackets[0]}{inner}{f',{inner}'.join(listed)}{newline}{brackets[1]}" if listed else brackets


def require_rate(path: Path, found_hz: float, expected_hz: float) -> None:
    """Raise InputError unless a file has the rate of the track it belongs to."""
    if found_hz != expected_hz:
        raise InputError(f"{path}: has a sample rate of {found_hz:g} Hz; expected {expected_hz:g} Hz as the track.")
