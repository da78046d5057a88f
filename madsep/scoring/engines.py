"""Scorers of one track: museval, and the package's own engine, which gives the same numbers and also scores by other protocols."""

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from madsep.bsseval import TrackScorer, scores_text
from madsep.bsseval.framing import frames
from madsep.bsseval.scores import METRICS, MUSEVAL_VERSION, Scoring
from madsep.core.ffmpeg import require_ffmpeg
from madsep.core.logs import log
from madsep.data.datasets import STEMS
from madsep.scoring.estimates import Pair
from madsep.scoring.protocols import PROTOCOLS, SISEC18, Protocol

ACCOMPANIMENT = tuple(stem for stem in STEMS if stem != "vocals")
Scores = dict[str, Any]  # museval's layout


@dataclass(frozen=True)
class Engine:
    """A scorer, its number of threads, and whether the package's own engine warns of scores that only measure rounding.

    `museval` and `fast` score by the protocol sisec18. Every other protocol has a single scorer, named after the protocol.
    """

    name: str
    n_threads: int = 1
    warns: bool = True

    @property
    def protocol(self) -> Protocol:
        """The protocol by which it scores."""
        return PROTOCOLS.get(self.name, SISEC18)


def score_text(engine: Engine, name: str, pair: Pair) -> str:
    """Score track `name` by BSS Eval and return museval's JSON text, which names the protocol unless that is sisec18.

    No engine can score an estimate that is silent throughout. All frames are then NaN, as silent frames are, and a warning says so. Raises
    InputError if the engine is museval and ffmpeg, which museval needs, is missing.
    """
    protocol = engine.protocol
    silent = [target for target, estimate in pair.estimates.items() if not estimate.any()]
    if silent:
        log.warning("%s: the estimate of %s is silent throughout; every frame is NaN", name, ", ".join(silent))
        scores: Scores = {"targets": _undefined(protocol, pair), "museval_version": MUSEVAL_VERSION}
    elif engine.name == "museval":
        with threadpool_limits(engine.n_threads):  # in the linear algebra; more threads would slow down other jobs
            return _museval_text(name, pair)
    else:
        with threadpool_limits(engine.n_threads):
            scores = _fast_scores(engine, name, pair)
        if protocol.drops_silent_stems:
            _drop_frames(scores, _without_a_stem(protocol, pair))
    return scores_text(scores if protocol == SISEC18 else {"protocol": protocol.name, **scores})


def _museval_text(name: str, pair: Pair) -> str:
    require_ffmpeg()
    import museval

    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # type: ignore[attr-defined]  # museval 0.4.1 uses this name; numpy 2 has dropped it
    targets = {target: SimpleNamespace(audio=reference.T.astype(np.float64)) for target, reference in pair.references.items()}
    track = SimpleNamespace(name=name, rate=pair.sample_rate_hz, targets=targets, subset="test")
    estimated = {target: estimate.T.astype(np.float64) for target, estimate in pair.estimates.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "divide by zero", RuntimeWarning)  # the score of a perfect frame is infinite; museval writes NaN
        store = museval.eval_mus_track(track, estimated, mode="v4", win=SISEC18.window_s, hop=SISEC18.hop_s)
    return str(store.json)


def _fast_scores(engine: Engine, name: str, pair: Pair) -> Scores:
    protocol, references = engine.protocol, pair.references
    assert protocol.mode is not None  # the protocol uses BSS Eval
    scoring = Scoring(protocol.window_s, protocol.hop_s, protocol.mode, engine.n_threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = ACCOMPANIMENT if references.keys() >= set(ACCOMPANIMENT) else None  # the accompaniment's correlations are sums of theirs
        scorer = TrackScorer({target: signal.T for target, signal in references.items()}, pair.sample_rate_hz, scoring, parts)
        scores = scorer.score({target: signal.T for target, signal in pair.estimates.items()})
    for warning in caught if engine.warns else ():
        log.warning("%s: %s", name, warning.message)
    return scores


def _frames(protocol: Protocol, pair: Pair) -> list[tuple[int, int]]:
    """Return the first sample of each frame and the sample after its last."""
    window, hop = (int(seconds * pair.sample_rate_hz) for seconds in (protocol.window_s, protocol.hop_s))
    n_samples = next(iter(pair.references.values())).shape[1]
    return frames(window, hop, n_samples)


def _without_a_stem(protocol: Protocol, pair: Pair) -> list[int]:
    """Return the numbers of the frames in which a stem of the track is silent."""
    stems, framed = pair.stems.values(), enumerate(_frames(protocol, pair))
    return [number for number, (start, stop) in framed if not all(stem[:, start:stop].any() for stem in stems)]


def _drop_frames(scores: Scores, numbers: list[int]) -> None:
    for target in scores["targets"]:
        for number in numbers:
            target["frames"][number]["metrics"] = dict.fromkeys(METRICS, float("nan"))


def _undefined(protocol: Protocol, pair: Pair) -> list[Scores]:
    metrics = dict.fromkeys(METRICS, float("nan"))
    times = [number * protocol.hop_s for number in range(len(_frames(protocol, pair)))]
    frames = [{"time": time, "duration": protocol.window_s, "metrics": metrics} for time in times]
    return [{"name": target, "frames": frames} for target in pair.estimates]
