"""A data set on disk: find the tracks, tell the layouts apart, check the names, group tracks for jobs."""

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import soundfile as sf

from madsep.core.errors import InputError
from madsep.core.reading import reading, visible
from madsep.data.datasets import DATASETS, Dataset

SUBSETS = ("train", "test")
MAX_SLUG_WORDS = 48  # characters
STEM_SUFFIX = ".stem.mp4"

# Average of MUSDB18's full-length stem files (five AAC streams, nominally 256 kbit/s each). Dense music comes to
# 165 kB/s, so the length estimated from a file's size can be a third too long; it plans jobs and is never a length.
STEM_BYTES_PER_S = 122_000


@dataclass(frozen=True)
class Track:
    """One track on disk. `duration_s` is exact for wavs and an estimate from the size for stem files."""

    name: str
    subset: str  # train, test, or extra for further training tracks
    layout: str  # wav or stems
    path: str
    duration_s: float
    dataset: str
    sources: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each file that it is read from; see data.inventory

    @property
    def slug(self) -> str:
        """What files and jobs of the workflow are named by."""
        return slug_of(self.name)

    def source_files(self) -> dict[str, Path]:
        """Return the files that the track is read from, by what they hold: each stem, or "stems" for a stem file."""
        if self.layout == "stems":
            return {"stems": Path(self.path)}
        return {stem: Path(self.path) / f"{stem}.wav" for stem in DATASETS[self.dataset].stems}


def slug_of(name: str) -> str:
    """Return a name for files and jobs: the track's name in lower-case ASCII, and eight digits of the SHA-256 of its exact bytes.

    It depends on no other track, and no two names share one, not even those that differ only in case or in Unicode's composition.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG_WORDS].strip("-")
    return f"{words}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}".lstrip("-")


def find_tracks(root: Path | str, dataset: Dataset, allow_partial: bool) -> list[Track]:
    """Return the training tracks, then the test tracks, of the data set under `root`, each subset sorted by name.

    `root`, or the one folder in it that does, holds train/ and test/; these hold folders of wavs or, for MUSDB18, stem files.
    Without `allow_partial` they are all its tracks, 100 and 50 of MUSDB18. Only names, sizes and wav headers are read.
    Raises InputError when anything else is found, and always when a test track lies among the training tracks.
    """
    folder = _dataset_folder(Path(root).expanduser(), dataset)
    found = {subset: _track_paths(folder / subset, dataset) for subset in SUBSETS}
    _check_layout(folder, [path for paths in found.values() for path in paths])
    for subset, paths in found.items():
        if not paths:
            files = f"*{STEM_SUFFIX} files or " if dataset.has_stem_files else ""
            raise InputError(f"{folder / subset}: holds no tracks; expected {files}folders with {', '.join(dataset.stems)} as .wav.")
    names = {subset: {_name(path) for path in paths} for subset, paths in found.items()}
    _check_names(folder, dataset, names, allow_partial)
    _check_stems((path for paths in found.values() for path in paths), dataset)
    return [
        Track(_name(path), subset, _layout(path), str(path), _duration_s(path), dataset.name)
        for subset, paths in found.items()
        for path in sorted(paths, key=_name)
    ]


def find_extra_tracks(root: Path | str, dataset: Dataset, known: Iterable[str]) -> list[Track]:
    """Return further training tracks, sorted by name: those in `root`/train, in the layout of the data set.

    Raises InputError when there are none, one lacks a stem, or one is a test track of the data set or among the `known` tracks.
    """
    folder = Path(root).expanduser() / "train"
    paths = sorted(_track_paths(folder, dataset), key=_name) if folder.is_dir() else []
    if not paths:
        raise InputError(f"extra_root: {folder} holds no tracks; expected folders with {', '.join(dataset.stems)} as .wav.")
    _check_layout(folder, paths)
    twice = sorted({_name(path) for path in paths} & {*known, *dataset.test_names()})
    if twice:
        raise InputError(f"extra_root: {folder} holds tracks of {dataset.title} itself: {_listed(twice)}; remove them.")
    _check_stems(paths, dataset)
    return [Track(_name(path), "extra", _layout(path), str(path), _duration_s(path), dataset.name) for path in paths]


def validation_names(training_names: Sequence[str]) -> list[str]:
    """Return the training tracks that are held out for validation if the config names none.

    The 14 of MUSDB18 that musdb 0.4.3 sets aside (its configs/mus.yaml), as far as they are there; of tracks without any of these, such as
    synthetic songs, every seventh by name, which is the same share.
    """
    musdbs = json.loads((resources.files("madsep") / "data" / "musdb18_validation.json").read_text(encoding="utf-8"))
    return [name for name in musdbs if name in training_names] or sorted(training_names)[::7]


def batches(tracks: Sequence[Track], max_duration_s: float) -> list[list[Track]]:
    """Group consecutive tracks of one subset while they last `max_duration_s` together; at least one in each."""
    grouped: list[list[Track]] = []
    filled_s = 0.0
    for track in tracks:
        filled_s += track.duration_s
        if grouped and grouped[-1][0].subset == track.subset and filled_s <= max_duration_s:
            grouped[-1].append(track)
        else:
            grouped.append([track])
            filled_s = track.duration_s
    return grouped


def batch_name(batch: Sequence[Track]) -> str:
    """Return the name of the job that works on a batch: its track's slug, or those of its first and last track."""
    first, last = batch[0].slug, batch[-1].slug
    return first if len(batch) == 1 else f"{first}--{last}"


def _dataset_folder(root: Path, dataset: Dataset) -> Path:
    """Return `root`, or the one folder in it, that holds train/ or test/; both must be there."""
    wanted = f"give the folder that holds {dataset.title}'s train/ and test/ (musdb_root)"
    if not root.exists():
        raise InputError(f"{root}: no such folder; {wanted}.")
    if not root.is_dir():
        raise InputError(f"{root}: is a file; {wanted}.")
    inside = visible(root)
    if not inside:
        raise InputError(f"{root}: is empty; {wanted}.")
    candidates = [folder for folder in [root, *inside] if any((folder / subset).is_dir() for subset in SUBSETS)]
    if not candidates:
        found = _listed(path.name for path in inside)
        raise InputError(f"{root}: no train/ and test/ in it, only {found}; {wanted}; {dataset.how_to_get}.")
    if root not in candidates and len(candidates) > 1:
        raise InputError(f"{root}: holds several data sets ({_listed(p.name for p in candidates)}); name one of them.")
    for subset in SUBSETS:
        if not (candidates[0] / subset).is_dir():
            raise InputError(f"{candidates[0]}: the folder {subset}/ is missing; {wanted}.")
    return candidates[0]


def _track_paths(folder: Path, dataset: Dataset) -> list[Path]:
    """Return the stem files and the track folders of one subset."""
    return [path for path in visible(folder) if path.is_dir() or (dataset.has_stem_files and path.name.endswith(STEM_SUFFIX))]


def _name(path: Path) -> str:
    return path.name.removesuffix(STEM_SUFFIX)


def _layout(path: Path) -> str:
    return "stems" if path.name.endswith(STEM_SUFFIX) else "wav"


def _check_names(folder: Path, dataset: Dataset, names: dict[str, set[str]], allow_partial: bool) -> None:
    for name in sorted(names["train"] | names["test"]):
        if not name.isprintable() and any("\ud800" <= character <= "\udfff" for character in name):
            raise InputError(f"{folder}: the track {name!a} has a name that is not UTF-8, so no table can hold it; rename it.")
    train, test, campaign = names["train"], names["test"], set(dataset.test_names())
    leaked = train & (test | campaign)
    if leaked:
        raise InputError(f"{folder / 'train'}: test tracks lie among the training tracks: {_listed(leaked)}. Move them.")
    complete = len(train) == dataset.n_train and len(test) == dataset.n_test and (test == campaign or not campaign)
    if allow_partial or complete:
        return
    found = f"found {len(train)} training and {len(test)} test tracks, expected {dataset.n_train} and {dataset.n_test}"
    listed = (("missing", campaign - test), ("unexpected", test - campaign)) if campaign else ()
    details = [f"{kind} test tracks: {_listed(tracks)}" for kind, tracks in listed if tracks]
    remedy = "If this is meant, set allow_partial: true; otherwise complete the data set."
    raise InputError(f"{'; '.join([f'{folder}: {found}', *details])}.\n{remedy}")


def _check_layout(folder: Path, paths: Iterable[Path]) -> None:
    if len({_layout(path) for path in paths}) > 1:
        raise InputError(f"{folder}: stem files and wav folders are mixed; keep only one layout.")


def _check_stems(paths: Iterable[Path], dataset: Dataset) -> None:
    faults = []
    for folder in (path for path in paths if path.is_dir()):
        present = {path.name for path in visible(folder)}
        faults += [str(folder / f"{stem}.wav") for stem in dataset.stems if f"{stem}.wav" not in present]
    if faults:
        raise InputError(f"missing stems: {_listed(faults)}. Every track folder holds {', '.join(dataset.stems)} as .wav.")


def _duration_s(path: Path) -> float:
    if not path.is_dir():
        return path.stat().st_size / STEM_BYTES_PER_S
    mixture = path / "mixture.wav"
    with reading(mixture, "audio", "Copy it again.", (sf.LibsndfileError,)):
        return float(sf.info(mixture).duration)


def _listed(names: Iterable[str]) -> str:
    """Return the first five names in order, then how many more."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(f"'{name}'" for name in ordered[:5]) + more
