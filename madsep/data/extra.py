"""Additional training tracks from outside the data set."""

from collections.abc import Sequence
from pathlib import Path

import soundfile as sf

from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.core.reading import reading
from madsep.data import medleydb
from madsep.data.datasets import DSD100, MUSDB18, Dataset
from madsep.data.layouts import SongFiles
from madsep.data.songs import IN_MUSDB18, same_songs
from madsep.data.tracks import Track, check_layout, check_stems, find_subset, held_out, listed, track_of


def find_extra_tracks(root: Path | str, dataset: Dataset, known: Sequence[str]) -> list[Track]:
    """Return additional training tracks, sorted by name: those in `root`/train, with the stems of the data set, or MedleyDB's songs.

    `known` are the names of the data set's tracks. Songs are identified by name, ignoring numbers and punctuation. MedleyDB's songs are
    left out if they are in the data set, have no voice, or have bleed. The log counts them. Raises InputError if there are no tracks, if
    one lacks a stem or is in the data set, or if `root` is MUSDB18 or DSD100, which share their songs.
    """
    root = Path(root).expanduser()
    if dataset == MUSDB18 and all((root / where).is_dir() for where in DSD100.folders.values()):
        raise InputError(f"extra_root: {root} is DSD100, which cannot train for MUSDB18: {IN_MUSDB18}.")
    if root.is_dir() and (folders := medleydb.medley_folders(root)):
        return _find_medley(root, folders, dataset, known)
    folder = root / "train"
    kind = MUSDB18 if dataset == DSD100 else dataset  # MUSDB18's stem files must be recognised to be refused
    songs = find_subset(folder, kind) if folder.is_dir() else []
    if not songs:
        expected = f"expected folders with {', '.join(dataset.stems)} as .wav or .flac, or MedleyDB's folders of songs in {root}"
        raise InputError(f"extra_root: {folder} holds no tracks; {expected}.")
    names = [song.name for song in songs]
    if dataset == DSD100 and _are_of_musdb18(songs):
        raise InputError(f"extra_root: {root} is MUSDB18, which cannot train for DSD100: {IN_MUSDB18}.")
    check_layout(folder, songs)
    if twice := same_songs(names, [*known, *dataset.test_names()]):
        raise InputError(f"extra_root: {folder} holds tracks of {dataset.title} itself: {listed(twice)}; take them away.")
    check_stems(songs, dataset, "wav")
    return [track_of(song, "extra", dataset, "wav") for song in songs]


def _are_of_musdb18(songs: Sequence[SongFiles]) -> bool:
    """Whether tracks are MUSDB18's: stem files, or names of its test tracks or of the training tracks that musdb holds out."""
    known = {*MUSDB18.test_names(), *held_out()}
    return any(song.kind == "stem files" for song in songs) or bool(same_songs([song.name for song in songs], known))


def _find_medley(root: Path, folders: Sequence[Path], dataset: Dataset, known: Sequence[str]) -> list[Track]:
    twice = set(same_songs([folder.name for folder in folders], [*known, *dataset.test_names()]))
    others = [folder for folder in folders if folder.name not in twice]
    usable = [folder for folder in others if medleydb.read_song(folder).is_usable]
    counts = f"{len(usable)} of {len(folders)} songs of MedleyDB train; {len(twice)} are in {dataset.title}"
    log.info("extra_root: %s, %d have no voice or bleed", counts, len(others) - len(usable))
    if not usable:
        raise InputError(f"extra_root: {root}: {counts}, {len(others)} have no voice or bleed; expected songs with a voice and no bleed.")
    return [Track(folder.name, "extra", medleydb.LAYOUT, str(folder), _song_s(folder), dataset.name) for folder in usable]


def _song_s(folder: Path) -> float:
    stem = medleydb.read_song(folder).voices[0]
    with reading(stem, "audio", "Copy it again.", (sf.LibsndfileError,)):
        return float(sf.info(stem).duration)
