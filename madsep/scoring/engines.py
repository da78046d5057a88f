"""The two scorers of one track: museval itself, and the package's own engine, which gives the same numbers."""

import warnings
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_limits

from madsep.bsseval import TrackScorer, scores_text
from madsep.bsseval.scores import METRICS, MUSEVAL_VERSION, Scoring
from madsep.core.ffmpeg import require_ffmpeg
from madsep.core.logs import log
from madsep.data.datasets import STEMS
from madsep.scoring.estimates import Signals

ACCOMPANIMENT = tuple(stem for stem in STEMS if stem != "vocals")
FRAME_S = 1.0  # window and hop of SiSEC 2018


@dataclass(frozen=True)
class Engine:
    """Which scorer, `museval` or `fast`, the threads that it uses, and whether the fast one warns of scores that measure rounding."""

    name: str
    n_threads: int = 1
    warns: bool = True


def score_text(engine: Engine, name: str, references: Signals, estimates: Signals, sample_rate_hz: int) -> str:
    """Score track `name` and return museval's JSON text: BSSEval v4, window and hop of 1 s.

    If an estimate is silent throughout, which neither engine can score, all frames are NaN, as silent frames are; a warning says so.
    Raises InputError if museval is asked for and ffmpeg is missing, without which museval cannot be imported.
    """
    silent = [target for target, estimate in estimates.items() if not estimate.any()]
    if silent:
        log.warning("%s: the estimate of %s is silent throughout; every frame is NaN", name, ", ".join(silent))
        n_samples, n_frame = next(iter(references.values())).shape[1], round(FRAME_S * sample_rate_hz)
        return scores_text({"targets": _undefined(estimates, max(n_samples // n_frame, 1)), "museval_version": MUSEVAL_VERSION})
    score = _museval_text if engine.name == "museval" else _fast_text
    with threadpool_limits(engine.n_threads):  # of the linear algebra: more would stand in the way of other jobs
        return score(engine, name, references, estimates, sample_rate_hz)


def _museval_text(engine: Engine, name: str, references: Signals, estimates: Signals, sample_rate_hz: int) -> str:
    require_ffmpeg()
    import museval

    if not hasattr(np.linalg, "linalg"):
        np.linalg.linalg = np.linalg  # type: ignore[attr-defined]  # museval 0.4.1 names an exception there; numpy 2 has dropped it
    targets = {target: SimpleNamespace(audio=reference.T.astype(np.float64)) for target, reference in references.items()}
    track = SimpleNamespace(name=name, rate=sample_rate_hz, targets=targets, subset="test")
    estimated = {target: estimate.T.astype(np.float64) for target, estimate in estimates.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "divide by zero", RuntimeWarning)  # a perfect frame is infinite; museval writes NaN
        store = museval.eval_mus_track(track, estimated, mode="v4", win=FRAME_S, hop=FRAME_S)
    return str(store.json)


def _fast_text(engine: Engine, name: str, references: Signals, estimates: Signals, sample_rate_hz: int) -> str:
    scoring = Scoring(win=FRAME_S, hop=FRAME_S, n_threads=engine.n_threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parts = ACCOMPANIMENT if references.keys() >= set(ACCOMPANIMENT) else None  # then its correlations are sums of theirs
        scorer = TrackScorer({target: signal.T for target, signal in references.items()}, sample_rate_hz, scoring, parts)
        scores = scorer.score({target: signal.T for target, signal in estimates.items()})
    for warning in caught if engine.warns else ():
        log.warning("%s: %s", name, warning.message)
    return scores_text(scores)


def _undefined(targets: Signals, n_frames: int) -> list[dict[str, object]]:
    metrics = dict.fromkeys(METRICS, float("nan"))
    frames = [{"time": number * FRAME_S, "duration": FRAME_S, "metrics": metrics} for number in range(n_frames)]
    return [{"name": target, "frames": frames} for target in targets]
