"""Scores of one track in museval's layout: the same targets, keys, rounding and text."""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from madsep.bsseval.engine import Scorer, Settings
from madsep.bsseval.signals import Signal, SumSignal, as_signal
from madsep.bsseval.stretches import Estimate
from madsep.core.errors import InputError

Source = Signal | np.ndarray | Path | str

# The release whose definition the scores follow. Score files have museval's own key, so that files of both engines are interchangeable.
MUSEVAL_VERSION = "0.4.1"
METRICS = ("SDR", "SIR", "SAR", "ISR")  # in the order of museval's files
RANKS = (0, 2, 3, 1)  # their positions among SDR, ISR, SIR, SAR
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"


@dataclass(frozen=True)
class Scoring:
    """museval's win and hop (seconds) and mode (v4 or v3), and the number of threads."""

    win: float = 1.0
    hop: float = 1.0
    mode: str = "v4"
    n_threads: int = 1


SISEC18 = Scoring()  # as in the campaign: frames of one second, filters of the whole track


class TrackScorer:
    """Scorer of any number of systems on one track. Computations that involve only the references are done once.

    Signals are arrays (n_samples, n_channels), wav files or anything else that `as_signal` accepts. None is held in memory completely.
    `parts` names the references whose sum is the accompaniment. By default, if there is no reference accompaniment, it is the sum of all
    references except vocals.

    Raises InputError if the mode is not v3 or v4, or if `parts` contains names that are not references.
    """

    def __init__(
        self,
        references: Mapping[str, Source],
        sample_rate_hz: float,
        scoring: Scoring = SISEC18,
        parts: Sequence[str] | None = None,
    ) -> None:
        if scoring.mode not in ("v3", "v4"):
            raise InputError(f"mode {scoring.mode}: expected v4 or v3.")
        self._references = {name: as_signal(source) for name, source in references.items()}
        if parts is None:
            parts = [] if ACCOMPANIMENT in references else [name for name in references if name != VOCALS]
        if not set(parts) <= set(self._references):
            raise InputError(f"Accompaniment of {', '.join(parts)}: expected names of references, {', '.join(self._references)}.")
        self._parts, self._scoring = tuple(parts), scoring
        windows = int(scoring.win * sample_rate_hz), int(scoring.hop * sample_rate_hz)
        self._settings = Settings(*windows, 512, scoring.mode == "v3", scoring.n_threads)
        self._scorers: dict[tuple[str, ...], Scorer] = {}

    def score(self, estimates: Mapping[str, Source]) -> dict[str, Any]:
        """Return museval's scores as a dict, as `museval.eval_mus_track` does. `scores_text` writes it.

        Targets are the references that have an estimate, in the order of the references. Other estimates are ignored. If vocals and
        accompaniment are both estimated, these two are scored against each other, and the others together with vocals but without
        accompaniment.
        Raises InputError as `Scorer` does. If fewer than two targets are estimated, warns and returns empty scores.
        """
        scenarios = self._scenarios(estimates)
        scored = list(dict.fromkeys(name for names, _ in scenarios for name in names))
        if not scored:
            return {"targets": [], "museval_version": MUSEVAL_VERSION}
        stems = [name for name in scored if name != ACCOMPANIMENT]
        is_sum = bool(self._parts) and set(self._parts) <= set(stems)  # then the accompaniment needs no correlations
        base = tuple(stems if is_sum else scored)
        if base not in self._scorers:
            self._scorers[base] = Scorer(base, [self._reference(name) for name in base], self._settings)
        parts = {name: (name,) if name in base else self._parts for name in scored}
        made = [Estimate(name, as_signal(estimates[name]), tuple(base.index(part) for part in parts[name])) for name in scored]
        numbers = [tuple(scored.index(name) for name in names) for names, _ in scenarios]
        targets = []
        for (names, reported), values in zip(scenarios, self._scorers[base].score(made, numbers), strict=True):
            targets += [self._target(name, values[:, names.index(name)]) for name in reported]
        return {"targets": targets, "museval_version": MUSEVAL_VERSION}

    def _scenarios(self, estimates: Mapping[str, Source]) -> list[tuple[list[str], list[str]]]:
        """Return (targets scored together, targets reported from them) for each of museval's scenarios."""
        known = [*self._references, *([ACCOMPANIMENT] if self._parts and ACCOMPANIMENT not in self._references else [])]
        targets, scenarios = [name for name in known if name in estimates], []
        has_both = VOCALS in targets and ACCOMPANIMENT in targets
        if has_both:
            targets.remove(ACCOMPANIMENT)
        if len(targets) >= 2:
            scenarios.append((targets, [name for name in targets if not (has_both and name == VOCALS)]))
        elif not has_both:
            warnings.warn("BSSEval needs at least two estimates: the scores are empty", UserWarning, stacklevel=3)
        if has_both:
            scenarios.append(([VOCALS, ACCOMPANIMENT], [VOCALS, ACCOMPANIMENT]))
        return scenarios

    def _reference(self, name: str) -> Signal:
        if name in self._references:
            return self._references[name]
        return SumSignal([self._references[part] for part in self._parts])

    def _target(self, name: str, values: np.ndarray) -> dict[str, Any]:
        """Return one target's entry from its SDR, ISR, SIR and SAR in dB, (4, n_frames)."""
        frames = []
        for number, column in enumerate(values.T):
            metrics = {metric: _rounded(float(column[rank])) for metric, rank in zip(METRICS, RANKS, strict=True)}
            frames.append({"time": number * self._scoring.hop, "duration": self._scoring.win, "metrics": metrics})
        return {"name": name, "frames": frames}


def score_track(
    references: Mapping[str, Source],
    estimates: Mapping[str, Source],
    sample_rate_hz: float,
    scoring: Scoring = SISEC18,
    parts: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Return museval's scores of one system on one track. See `TrackScorer`."""
    return TrackScorer(references, sample_rate_hz, scoring, parts).score(estimates)


def scores_text(scores: Mapping[str, Any]) -> str:
    """Return the JSON text of scores, byte for byte as museval writes it."""
    return _text(scores, "\n", is_metric=False)


def _rounded(value: float) -> float:
    """Return a score with five decimals, rounded half to even. Infinite scores become NaN, as in museval's files."""
    return math.nan if math.isinf(value) else round(value, 5)


def _text(value: Any, newline: str, is_metric: bool) -> str:
    inner = newline + "  "
    if isinstance(value, Mapping):
        return _bracketed([f"{json.dumps(key)}: {_text(item, inner, key in METRICS)}" for key, item in value.items()], "{}", newline)
    if isinstance(value, list):
        return _bracketed([_text(item, inner, is_metric=False) for item in value], "[]", newline)
    if is_metric:
        return "NaN" if math.isnan(value) else f"{value:.5f}"
    return json.dumps(value)


def _bracketed(items: Iterable[str], brackets: str, newline: str) -> str:
    inside = f",{newline}  ".join(items)
    return f"{brackets[0]}{newline}  {inside}{newline}{brackets[1]}" if inside else brackets
