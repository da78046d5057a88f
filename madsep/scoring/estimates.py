"""The references and estimates of a track, and the digests that identify its scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from madsep.core.artefacts import Ingredients, Stage
from madsep.core.errors import Faults, InputError
from madsep.core.logs import log
from madsep.core.reading import is_there, reading
from madsep.data.audio import read_wav
from madsep.data.datasets import STEMS
from madsep.data.prepared import PreparedTrack
from madsep.scoring.protocols import SISEC18, Protocol

Signals = Mapping[str, np.ndarray]  # by target, (n_channels, n_samples)
OF_BASELINE = "mix"  # stands for the digest of the estimates of MIX, which have no files
Item = TypeVar("Item")


@dataclass(frozen=True)
class Pair:
    """A track's references and estimates, of the same shapes and rate.

    `stems` are there if a protocol checks them for silence, and `mixture`, of the same shape, if a protocol subtracts its score.
    """

    references: Signals
    estimates: Signals
    sample_rate_hz: int
    stems: Signals = field(default_factory=dict)
    mixture: np.ndarray | None = None


@dataclass(frozen=True)
class Scorable:
    """A track with its estimates: the name and ingredients of its scores, and the function that reads the audio."""

    slug: str
    name: str
    subset: str
    made_from: Ingredients  # references, estimates, targets
    read: Callable[[], Pair]


def scorable(track: PreparedTrack, targets: Sequence[str], estimates: Path | None, protocol: Protocol = SISEC18) -> Scorable:
    """Return a prepared track with the estimates in the stage's folder `estimates`, or those of MIX if there is none.

    Raises InputError if the estimates are missing or were changed after they were written.
    """
    made_from = {**origins(track, estimates), "targets": ",".join(targets)}
    return Scorable(track.slug, track.name, track.subset, made_from, partial(read_pair, track, targets, estimates, protocol))


def origins(track: PreparedTrack, estimates: Path | None) -> dict[str, str]:
    """Return the digests of a track's references and estimates, and verify each file of the estimates.

    Raises InputError if the estimates are missing or were changed after they were written.
    """
    return {"references": track.sha256, "estimates": OF_BASELINE if estimates is None else Stage(estimates).checked(track.slug).content}


def read_pair(track: PreparedTrack, targets: Sequence[str], estimates: Path | None, protocol: Protocol = SISEC18) -> Pair:
    """Return a prepared track's references and estimates; see `scorable`.

    Raises InputError if an estimate is missing or of another length, or if a reference for BSS Eval is silent throughout.
    """
    references = {target: track.signal(target) for target in targets}
    stems = {stem: track.signal(stem) for stem in STEMS} if protocol.drops_silent_stems else {}
    if not protocol.scores_silence:
        check_audible(track.name, references)
    if estimates is None:
        return Pair(references, mix(track.signal("mixture"), targets), track.sample_rate_hz, stems)
    files = {target: estimates / "test" / track.name / f"{target}.wav" for target in targets}
    return Pair(references, read_estimates(files, references, track.sample_rate_hz), track.sample_rate_hz, stems)


def read_estimates(files: Mapping[str, Path], references: Signals, sample_rate_hz: int, pad: bool = False, mono: bool = False) -> Signals:
    """Return the estimates in `files` for all targets of `references`. With `pad`, short estimates are padded with silence.

    With `mono`, each estimate becomes the mean of its channels before it is compared with its reference.

    Raises InputError if an estimate is missing, or differs from its reference in length, channel count or rate.
    """
    found: dict[str, np.ndarray] = {}
    for target, reference in references.items():
        path = files[target]
        if not is_there(path):
            raise InputError(f"{path}: this estimate is missing; separate the track again.")
        with reading(path):  # refuses pipes and folders
            found[target], rate_hz = read_wav(path)
        if mono:
            found[target] = found[target].mean(axis=0, keepdims=True)
        if pad:
            found[target] = _padded(path, found[target], reference.shape[1])
        if (found[target].shape, rate_hz) != (reference.shape, sample_rate_hz):
            sizes = [f"{n_samples} samples of {n_channels} channels" for n_channels, n_samples in (found[target].shape, reference.shape)]
            expected = f"expected {sizes[1]} at {sample_rate_hz} Hz as the reference"
            if found[target].shape[1] < reference.shape[1]:
                expected += "; separate the track again, or score it with --pad"
            raise InputError(f"{path}: has {sizes[0]} at {rate_hz} Hz; {expected}.")
    return found


def _padded(path: Path, estimate: np.ndarray, n_samples: int) -> np.ndarray:
    """Return an estimate padded with silence to `n_samples`, and log how much is missing. Longer estimates are unchanged."""
    n_missing = n_samples - estimate.shape[1]
    if n_missing <= 0:
        return estimate
    log.warning("%s: %d of %d samples (%.2f %%) are missing; scored as silence", path, n_missing, n_samples, 100 * n_missing / n_samples)
    return np.pad(estimate, ((0, 0), (0, n_missing)))


def check_audible(name: str, references: Signals) -> None:
    """Raise InputError if a reference of the track `name` is silent throughout."""
    for target, reference in references.items():
        if not reference.any():
            raise InputError(f"{name}: the {target} reference is silent throughout; BSSEval is not defined for it.")


def mix(mixture: np.ndarray, targets: Sequence[str]) -> Signals:
    """Return SiSEC 2018's baseline MIX: a quarter of the mixture for each source, and three quarters for the accompaniment.

    `mixture` and the estimates have shape (n_channels, n_samples). Source: github.com/sigsep/sigsep-mus-oracle, MIX.py.
    """
    n_sources = len(STEMS)
    return {target: mixture * np.float32((n_sources - 1 if target == "accompaniment" else 1) / n_sources) for target in targets}


def for_each(items: Sequence[Item], work: Callable[[Item], object]) -> None:
    """Call `work` on each item, and continue with the others if one fails.

    Raises InputError at the end with the lines of each failed item, DiskFull at once, and ValueError if there are no items.
    """
    if not items:
        raise ValueError("expected one track at least, found none")
    faults = Faults()
    for item in items:
        with faults.gathered():
            work(item)
    faults.raise_all()
