"""Tracks of a data set on disk: find them, detect their layout, check their names, group them into jobs."""

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
from madsep.data import medleydb
from madsep.data.datasets import DATASETS, Dataset
from madsep.data.layouts import STEM_SUFFIX, SongFiles, add_folder, songs_in

MAX_SLUG_WORDS = 48  # characters

# Average of MUSDB18's full-length stem files (five AAC streams, nominally 256 kbit/s each). Dense music has 165 kB/s, so that a duration
# estimated from the size can be a third too long. It is used only to plan jobs.
STEM_BYTES_PER_S = 122_000


@dataclass(frozen=True)
class Track:
    """One track on disk. `duration_s` is exact, except for stem files, for which it is estimated from the size."""

    name: str
    subset: str  # train, test, or extra for additional training tracks
    layout: str  # wav (a wav or flac per stem), stems, or dsd100 or medleydb, which have other folders
    path: str  # of the stem file, or of the folder with the mixture or the song
    duration_s: float
    dataset: str
    sources: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each source file; see data.inventory
    files: Mapping[str, str] = field(default_factory=dict)  # files of the stems, if their places or names are unusual

    @property
    def slug(self) -> str:
        """Name of the track in files and jobs of the workflow."""
        return slug_of(self.name)

    def source_files(self) -> dict[str, Path]:
        """Return the files from which the track is read, keyed by stem, or by "stems" for a stem file."""
        if self.layout == "stems":
            return {"stems": Path(self.path)}
        if self.layout == medleydb.LAYOUT:
            return medleydb.source_files(Path(self.path))
        if self.files:
            return {stem: Path(path) for stem, path in self.files.items()}
        return DATASETS[self.dataset].wav_files(Path(self.path), self.layout)


def slug_of(name: str) -> str:
    """Return a name for files and jobs: the track's name in lower-case ASCII, and eight digits of the SHA-256 of its exact bytes.

    It does not depend on other tracks. Different names have different slugs, even if they differ only in case or Unicode composition.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG_WORDS].strip("-")
    return f"{words}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}".lstrip("-")


def find_tracks(root: Path | str, dataset: Dataset, allow_partial: bool) -> list[Track]:
    """Return the training tracks, then the test tracks, of the data set under `root`, each subset sorted by name.

    `root`, or the only folder in it that does, contains the subsets' folders. For each track these contain a folder with a wav or flac per
    stem, files <track>_<stem>.wav or .flac or, for MUSDB18, a stem file. Unless `allow_partial`, the data set must be complete, for example
    100 and 50 tracks of MUSDB18. Only names, sizes and headers are read. Raises InputError for anything else, and always if a test track is
    among the training tracks.
    """
    folder = _dataset_folder(Path(root).expanduser(), dataset)
    found = {subset: find_subset(folder / where, dataset) for subset, where in dataset.folders.items()}
    check_layout(folder, [song for songs in found.values() for song in songs])
    for subset, songs in found.items():
        if not songs:
            files = f"*{STEM_SUFFIX} files or " if dataset.has_stem_files else ""
            where = folder / dataset.folders[subset]
            raise InputError(f"{where}: holds no tracks; expected {files}folders with {', '.join(dataset.stems)} as .wav or .flac.")
        for song in songs:
            if dataset.sources and (stems := folder / dataset.sources[subset] / song.name).is_dir():
                add_folder(song, stems, dataset.stems)
    _check_names(folder, dataset, {subset: {song.name for song in songs} for subset, songs in found.items()}, allow_partial)
    check_stems((song for songs in found.values() for song in songs), dataset, dataset.layout)
    return [track_of(song, subset, dataset, dataset.layout) for subset, songs in found.items() for song in songs]


def validation_names(training_names: Sequence[str]) -> list[str]:
    """Return the training tracks that are held out for validation if the config names none.

    These are the 14 of MUSDB18 that musdb 0.4.3 sets aside (its configs/mus.yaml), as far as they are present. If none is, for example for
    synthetic songs, every seventh track by name is held out, which is the same share.
    """
    return [name for name in held_out() if name in training_names] or sorted(training_names)[::7]


def held_out() -> list[str]:
    """Return the names of the 14 training tracks of MUSDB18 that musdb sets aside."""
    names: list[str] = json.loads((resources.files("madsep") / "data" / "musdb18_validation.json").read_text(encoding="utf-8"))
    return names


def batches(tracks: Sequence[Track], max_duration_s: float) -> list[list[Track]]:
    """Group consecutive tracks of a subset into batches that last at most `max_duration_s`. Each batch has at least one track."""
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
    """Return the name of a batch's job: the slug of its track, or the slugs of its first and last track."""
    first, last = batch[0].slug, batch[-1].slug
    return first if len(batch) == 1 else f"{first}--{last}"


def _dataset_folder(root: Path, dataset: Dataset) -> Path:
    """Return `root`, or the only folder in it that contains a subset's folder. Raises InputError unless both subsets are there."""
    both = " and ".join(f"{where}/" for where in dataset.folders.values())
    wanted = f"give the folder that holds {dataset.title}'s {both} (musdb_root)"
    if not root.exists():
        raise InputError(f"{root}: no such folder; {wanted}.")
    if not root.is_dir():
        raise InputError(f"{root}: is a file; {wanted}.")
    inside = visible(root)
    if not inside:
        raise InputError(f"{root}: is empty; {wanted}.")
    candidates = [folder for folder in [root, *inside] if any((folder / where).is_dir() for where in dataset.folders.values())]
    if not candidates:
        found = listed(path.name for path in inside)
        others = (other for other in DATASETS.values() if all((root / where).is_dir() for where in other.folders.values()))
        hint = next((f"set dataset: {other.name} for {other.title}" for other in others), dataset.how_to_get)
        raise InputError(f"{root}: no {both} in it, only {found}; {wanted}; {hint}.")
    if root not in candidates and len(candidates) > 1:
        raise InputError(f"{root}: holds several data sets ({listed(p.name for p in candidates)}); name one of them.")
    for where in dataset.folders.values():
        if not (candidates[0] / where).is_dir():
            raise InputError(f"{candidates[0]}: the folder {where}/ is missing; {wanted}.")
    return candidates[0]


def find_subset(folder: Path, dataset: Dataset) -> list[SongFiles]:
    """Return the songs in the folder of one subset, sorted by name. Raises InputError if two files hold the same stem."""
    songs = sorted(songs_in(folder, None, dataset.stems), key=lambda song: song.name)
    return songs if dataset.has_stem_files else [song for song in songs if song.kind != "stem files"]


def track_of(song: SongFiles, subset: str, dataset: Dataset, layout: str) -> Track:
    """Return the track of a song that has all its stems. `layout` is the layout of tracks with a folder."""
    if song.kind == "stem files":
        return Track(song.name, subset, "stems", str(song.place), song.place.stat().st_size / STEM_BYTES_PER_S, dataset.name)
    mixture = song.files["mixture"]
    with reading(mixture, "audio", "Copy it again.", (sf.LibsndfileError,)):
        duration_s = float(sf.info(mixture).duration)
    has_folder = song.kind == "wav folders"
    is_usual = has_folder and song.files == _wavs(song, dataset, layout)
    files = {} if is_usual else {stem: str(song.files[stem]) for stem in dataset.stems}
    place = song.place if has_folder else song.place / song.name  # the common start of its files' names
    return Track(song.name, subset, layout, str(place), duration_s, dataset.name, files=files)


def _wavs(song: SongFiles, dataset: Dataset, layout: str) -> dict[str, Path]:
    """Return the files of a song's stems as wavs at their usual places."""
    if song.kind == "wav folders":
        return dataset.wav_files(song.place, layout)
    return {stem: song.place / f"{song.name}_{stem}.wav" for stem in dataset.stems}


def _check_names(folder: Path, dataset: Dataset, names: dict[str, set[str]], allow_partial: bool) -> None:
    for name in sorted(names["train"] | names["test"]):
        if not name.isprintable() and any("\ud800" <= character <= "\udfff" for character in name):
            raise InputError(f"{folder}: the track {name!a} has a name that is not UTF-8, so no table can hold it; rename it.")
    train, test, campaign = names["train"], names["test"], set(dataset.test_names())
    leaked = train & (test | campaign)
    if leaked:
        raise InputError(f"{folder / dataset.folders['train']}: test tracks lie among the training tracks: {listed(leaked)}. Move them.")
    for subset, numbers in (dataset.numbers or {}).items():
        _check_numbers(folder / dataset.folders[subset], names[subset], numbers, dataset)
    complete = len(train) == dataset.n_train and len(test) == dataset.n_test and (test == campaign or not campaign)
    if allow_partial or complete:
        return
    found = f"found {len(train)} training and {len(test)} test tracks, expected {dataset.n_train} and {dataset.n_test}"
    others = (("missing", campaign - test), ("unexpected", test - campaign)) if campaign else ()
    details = [f"{kind} test tracks: {listed(tracks)}" for kind, tracks in others if tracks]
    remedy = "If this is meant, set allow_partial: true; otherwise complete the data set."
    raise InputError(f"{'; '.join([f'{folder}: {found}', *details])}.\n{remedy}")


def _check_numbers(folder: Path, names: Iterable[str], numbers: range, dataset: Dataset) -> None:
    """Raise InputError if a name does not start with a number of its subset, as in copies with train and test exchanged."""
    wrong = [name for name in names if not (found := re.match(r"(\d{3}) - ", name)) or int(found[1]) not in numbers]
    if wrong:
        expected = f"{dataset.title} has {numbers[0]:03d} to {numbers[-1]:03d} there, named 'NNN - Artist - Title'"
        raise InputError(f"{folder}: holds {listed(wrong)}; {expected}. Move or rename them.")


def check_layout(folder: Path, songs: Iterable[SongFiles]) -> None:
    """Raise InputError if stem files, folders and files <track>_<stem> are mixed."""
    kinds = sorted({song.kind for song in songs})
    if len(kinds) > 1:
        raise InputError(f"{folder}: {' and '.join(kinds)} are mixed; keep only one layout.")


def check_stems(songs: Iterable[SongFiles], dataset: Dataset, layout: str) -> None:
    """Raise InputError if a song lacks the file of a stem."""
    faults = []
    for song in songs:
        if song.kind != "stem files":
            faults += [str(path) for stem, path in _wavs(song, dataset, layout).items() if stem not in song.files]
    if faults:
        raise InputError(f"missing stems: {listed(faults)}. Every track has {', '.join(dataset.stems)} as .wav or .flac.")


def listed(names: Iterable[str]) -> str:
    """Return the first five names in order, and the number of the others."""
    ordered = sorted(names)
    more = f" and {len(ordered) - 5} more" if len(ordered) > 5 else ""
    return ", ".join(f"'{name}'" for name in ordered[:5]) + more
