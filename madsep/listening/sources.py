"""Inputs of a listening page: scores and estimates of systems, and the references of their tracks."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.core.reading import is_there, visible
from madsep.data.datasets import ALL_TARGETS, BASELINE, MIR1K, MUSDB18, SUBSETS
from madsep.data.prepared import read_prepared
from madsep.data.stems import accompaniment, read_stems
from madsep.data.tracks import check_stems, find_subset, slug_of, track_of
from madsep.scoring.estimates import Signals, read_estimates
from madsep.scoring.scores import COLUMNS, METRICS, read_track, score_files

KINDS = ("test-four", "test")  # of prepared audio that holds references; the first has all stems


class Sound(NamedTuple):
    """Signals by name, each (n_channels, n_samples), and their rate."""

    signals: Signals
    sample_rate_hz: int


@dataclass(frozen=True)
class System:
    """A system's scores by track and frame, as returned by `read_scores`, and the folder of its estimates, if there is one."""

    name: str
    scores: pd.DataFrame
    estimates: Path | None = None

    def folder_of(self, track: str) -> Path | None:
        """Return the folder with the estimates of a track, or None if there are none."""
        folders = [self.estimates / subset / track for subset in SUBSETS] if self.estimates else []
        return next((folder for folder in folders if is_there(folder)), None)

    def files_of(self, track: str, targets: Iterable[str]) -> dict[str, Path]:
        """Return the files with the estimates of a track, by target."""
        folder = self.folder_of(track)
        files = {target: folder / f"{target}.wav" for target in targets} if folder else {}
        return {target: path for target, path in files.items() if is_there(path)}

    def estimated(self, track: str, references: Sound) -> Signals:
        """Return the estimates of a track by target. Empty if there are none.

        Raises InputError if an estimate was changed after it was written, or has another shape or rate than its reference.
        """
        files = self.files_of(track, (target for target in ALL_TARGETS if target in references.signals))
        if self.estimates is None or not files:
            return {}
        if (self.estimates / "records" / f"{slug_of(track)}.json").is_file():
            Stage(self.estimates).checked(slug_of(track))
        return read_estimates(files, {target: references.signals[target] for target in files}, references.sample_rate_hz)


class References(Protocol):
    """A source of the references of tracks."""

    def targets(self, track: str) -> Set[str]:
        """Return the names of a track's references. Raises InputError if they are missing."""
        ...

    def read(self, track: str) -> Sound:
        """Return the mixture and the references of a track. Raises InputError if they cannot be read."""
        ...


@dataclass(frozen=True)
class Prepared:
    """References from the folder of a run's prepared audio."""

    folder: Path
    kinds: Sequence[str] = KINDS  # in the order in which they are searched

    def targets(self, track: str) -> Set[str]:
        """Return the names of a track's references. Raises InputError if the track is not prepared."""
        return self.read(track).signals.keys() - {"mixture"}

    def read(self, track: str) -> Sound:
        """Return the mixture and the references of a track, as memory maps. Raises InputError if the track is not prepared."""
        slug = slug_of(track)
        for kind in self.kinds:
            if (self.folder / kind / "records" / f"{slug}.json").is_file():
                (prepared,) = read_prepared(self.folder / kind, [slug], ["test"])
                return Sound({name: prepared.signal(name) for name in prepared.signals}, prepared.sample_rate_hz)
        raise InputError(f"{self.folder}: holds no prepared audio of {track}; run the workflow again, or give --references.")


@dataclass(frozen=True)
class Tree:
    """References from a MUSDB18 tree in any of its layouts."""

    root: Path

    def targets(self, track: str) -> Set[str]:  # every track has all
        """Return the names of a track's references: all stems and the accompaniment."""
        return set(ALL_TARGETS)

    def read(self, track: str) -> Sound:
        """Return the mixture, the stems and the accompaniment of a track. Raises InputError if it is missing or damaged."""
        for subset in filter(lambda subset: is_there(self.root / subset), SUBSETS):
            songs = [song for song in find_subset(self.root / subset, MUSDB18) if song.name == track]
            if songs:
                check_stems(songs, MUSDB18, MUSDB18.layout)
                stems = read_stems(track_of(songs[0], subset, MUSDB18, MUSDB18.layout))
                return Sound({**stems, "accompaniment": accompaniment(stems)}, MUSDB18.sample_rate_hz)
        raise InputError(f"{self.root}: has no track {track} in test/ or train/; give the folder of MUSDB18 with --references.")


@dataclass(frozen=True)
class Material:
    """All inputs of a page. `references` is None if there is no audio."""

    systems: Sequence[System]
    references: References | None


def read_run(results: Path, names: Sequence[str] | None = None, kinds: Sequence[str] = KINDS) -> Material:
    """Return the systems of a run from its folder results/: those in `names`, or else all with scores, MIX first.

    `kinds` are the kinds of prepared audio that hold the references.

    Raises InputError if there are none, or if their scores cannot be read.
    """
    if names is None:
        found = [folder.name for folder in visible(results) if (folder / "scores/test").is_dir()]
        names = sorted(found, key=lambda name: (name != BASELINE, name))
    if not names:
        raise InputError(f"{results}: holds no scores of any system; expected <system>/scores/test/<track>.json of a finished run.")
    return Material([read_system(name, results / name) for name in names], Prepared(results / "prepared", kinds))


def read_material(arguments: Sequence[str], scores: Sequence[str], references: Path | None) -> Material:
    """Return the inputs that are named on the command line.

    Each of `arguments` is FOLDER or NAME=FOLDER: a run (its folder, or its results/), a system of a run, a folder of estimates in
    museval's layout, or a folder of museval's JSON files. Each of `scores` is NAME=FOLDER, the scores of the estimates with this name.
    Raises InputError if a folder holds none of these, estimates have no scores, or two systems have the same name.
    """
    given = dict(_named(argument) for argument in scores)
    systems: list[System] = []
    scored: set[str] = set()  # systems that `scores` may name
    prepared: References | None = None
    for argument in arguments:
        name, folder = _named(argument)
        results = next((path for path in (folder / "results", folder) if (path / "inventory.json").is_file()), None)
        if results:
            run = read_run(results)
            systems += run.systems
            prepared = prepared or run.references
        else:
            systems.append(read_system(name, folder, given.get(name)))
            scored.add(name)
            if (folder.parent / "prepared").is_dir():
                prepared = prepared or Prepared(folder.parent / "prepared")
    _check(systems, given.keys() - scored)
    return Material(systems, Tree(references) if references else prepared)


def read_system(name: str, folder: Path, scores: Path | None = None) -> System:
    """Return a system from a folder with scores/ and estimates/, as in a run, or from a folder of scores or estimates or both.

    Raises InputError if the folder holds neither, or estimates without scores.
    """
    if not is_there(folder):
        raise InputError(f"{folder}: no such folder; expected estimates (test/<track>/<target>.wav) or museval's JSON files.")
    places = [path for path in (folder / "estimates", folder / "scores", folder) if path.is_dir()]
    estimates = next((path for path in places if _has_estimates(path)), None)
    found = scores or next((path for path in places if _has_scores(path)), None)
    if found is None and estimates is None:
        raise InputError(f"{folder}: holds no estimates (test/<track>/<target>.wav) and no scores (museval's JSON files).")
    if found is None:
        raise InputError(f"{folder}: these estimates have no scores; make some with `madsep score` and pass --scores {name}=FOLDER.")
    return System(name, read_frames(found), estimates)


def read_frames(folder: Path) -> pd.DataFrame:
    """Return all scores in a folder as `read_scores` does. The single score of a clip of MIR-1K becomes one frame.

    Raises InputError as `read_scores` does.
    """
    files = score_files(folder)
    of_clips = isinstance(first := read_json(files[0]), dict) and "n_samples" in first
    return pd.concat([_clip(path) if of_clips else read_track(path) for path in files], ignore_index=True)


def _clip(path: Path) -> pd.DataFrame:
    document = read_json(path)
    try:
        duration_s, scores = document["n_samples"] / MIR1K.sample_rate_hz, document["vocals"]
        values = {metric: np.nan if scores.get(metric) is None else float(scores[metric]) for metric in METRICS}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is not the score of a clip; score it again.") from None
    rows = [(path.stem, "vocals", metric, 0.0, duration_s, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=COLUMNS)


def _named(argument: str) -> tuple[str, Path]:
    """Split NAME=FOLDER. The default name is that of the folder, or of its parent if the folder is called test or train."""
    name, _, folder = argument.partition("=") if not Path(argument).exists() else ("", "", argument)
    path = Path(folder or name)
    whole = path.resolve()
    return (name if folder and name else whole.parent.name if whole.name in SUBSETS else whole.name), path


def _check(systems: Sequence[System], left: Set[str]) -> None:
    names = [system.name for system in systems]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)}: several systems have this name; give each another one as NAME=FOLDER.")
    if left:
        raise InputError(f"--scores {', '.join(sorted(left))}: no estimates were given by this name; the systems are {', '.join(names)}.")


def _has_estimates(folder: Path) -> bool:
    subsets = [folder / subset for subset in SUBSETS if (folder / subset).is_dir()]
    return any(path.is_dir() and any(path.glob("*.wav")) for subset in subsets for path in visible(subset))


def _has_scores(folder: Path) -> bool:
    return any(path.suffix == ".json" for place in (folder, folder / "test") if place.is_dir() for path in visible(place))
