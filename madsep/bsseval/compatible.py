"""Drop-in replacements for museval.eval_mus_track and museval.eval_mus_dir, with the same arguments, results and files.

museval is not imported.
"""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madsep.bsseval.scores import ACCOMPANIMENT, SISEC18, Scoring, Source, TrackScorer, scores_text
from madsep.bsseval.signals import WavSignal
from madsep.core.errors import InputError
from madsep.core.files import write_text
from madsep.core.logs import log


class TrackScores:
    """The scores of one track as a dict, text and table, like museval's TrackStore.

    `museval.EvalStore().add_track(scores.df)` accepts them.
    """

    def __init__(self, track_name: str, scores: dict[str, Any]) -> None:
        self.track_name = track_name
        self.scores = scores

    @property
    def json(self) -> str:
        """The text of museval's score file."""
        return scores_text(self.scores)

    @property
    def df(self) -> Any:
        """A pandas table with museval's columns: time, target, metric, score, track."""
        import pandas as pd

        rows = [
            (frame["time"], target["name"], metric, frame["metrics"][metric], self.track_name)
            for metric in ("SDR", "SAR", "ISR", "SIR")
            for target in self.scores["targets"]
            for frame in target["frames"]
        ]
        return pd.DataFrame(rows, columns=["time", "target", "metric", "score", "track"])

    def save(self, path: Path | str) -> None:
        """Write the score file, whole or not at all."""
        write_text(path, self.json)

    def __repr__(self) -> str:
        lines = []
        for target in self.scores["targets"]:
            line = target["name"].ljust(16) + "==> "
            for metric in ("SDR", "SIR", "ISR", "SAR"):
                line += f"{metric}:{_median(frame['metrics'][metric] for frame in target['frames']):>8.3f}  "
            lines.append(line + "\n")
        return "".join(lines)


def eval_mus_track(
    track: Any,
    user_estimates: Mapping[str, Source],
    output_dir: Path | str | None = None,
    mode: str = "v4",
    win: float = 1.0,
    hop: float = 1.0,
) -> TrackScores:
    """Score the estimates of a musdb track. `user_estimates` maps targets to arrays (n_samples, n_channels) or wav files.

    If `output_dir` is given, the scores are written to <output_dir>/<subset>/<track name>.json. Raises InputError as `TrackScorer` does.
    """
    return _eval_track(track, user_estimates, output_dir, dataclasses.replace(SISEC18, mode=mode, win=win, hop=hop))


def eval_mus_dir(
    dataset: Iterable[Any], estimates_dir: Path | str, output_dir: Path | str | None = None, ext: str = "wav", n_threads: int = 1
) -> None:
    """Score every track of a musdb dataset that has a folder <estimates_dir>/<subset>/<track name> with one file per target.

    Tracks without such a folder, or with an empty one, are skipped and named in the log. Raises InputError as `eval_mus_track` does, and if
    the sample rate of a file differs from its track's.
    """
    for track in dataset:
        folder = Path(estimates_dir) / track.subset / track.name
        paths = sorted(path for path in folder.iterdir() if path.suffix == f".{ext}") if folder.is_dir() else []
        if not paths:
            log.info("%s: no estimates; the track is skipped", folder)
            continue
        estimates = {path.stem: WavSignal(path) for path in paths}
        for signal in estimates.values():
            if signal.sample_rate_hz != track.rate:
                raise InputError(f"{signal.path}: has a rate of {signal.sample_rate_hz} Hz; expected {track.rate:g} Hz, as in the track.")
        _eval_track(track, estimates, output_dir, dataclasses.replace(SISEC18, n_threads=n_threads))


def _eval_track(track: Any, estimates: Mapping[str, Source], output_dir: Path | str | None, scoring: Scoring) -> TrackScores:
    parts = _parts_of_accompaniment(track)
    stems_suffice = parts is not None and set(parts) <= set(estimates)
    wanted = [name for name in track.targets if name in estimates and not (stems_suffice and name == ACCOMPANIMENT)]
    references = {name: np.asarray(track.targets[name].audio) for name in wanted}
    scorer = TrackScorer(references, track.rate, scoring, parts if stems_suffice else ())
    scores = TrackScores(track.name, scorer.score(estimates))
    if output_dir:
        scores.save(Path(output_dir) / track.subset / f"{track.name}.json")
    return scores


def _parts_of_accompaniment(track: Any) -> Sequence[str] | None:
    """Return the targets whose sum musdb defines as the accompaniment, or None if musdb defines it otherwise."""
    sources = getattr(track.targets.get(ACCOMPANIMENT), "sources", None)
    if not sources or any(source.gain != 1 or source.name not in track.targets for source in sources):
        return None
    return [source.name for source in sources]


def _median(values: Iterable[float]) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        return float(np.nanmedian(list(values)))
