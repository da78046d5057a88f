"""Layouts of songs in folders: those of musdb and museval, of the challenges MDX and SDX, and of MVSep."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from madsep.core.errors import InputError
from madsep.core.reading import is_there, visible
from madsep.data.choices import Layout
from madsep.data.datasets import ALL_TARGETS, SUBSETS

STEM_SUFFIX = ".stem.mp4"
SUFFIXES = (".wav", ".flac")
STEM_FILE = "stem file"  # stands for all stems in `SongFiles.files`
NAMES = ("mixture", *ALL_TARGETS)
OTHER_NAMES = {"instrum": "accompaniment", "instrumental": "accompaniment", "no_vocals": "accompaniment", "mix": "mixture"}
ENDINGS = sorted((f"_{name}" for name in (*NAMES, *OTHER_NAMES)), key=len, reverse=True)  # "_no_vocals" before "_vocals"
_PLACES: Mapping[Layout, Callable[[Path, str, str], Path]] = {
    "mdx": lambda folder, song, file: folder / song / file,
    "musdb": lambda folder, song, file: folder / "test" / song / file,
    "mvsep": lambda folder, song, file: folder / f"{song}_{file}",
}


Kind = Literal["wav folders", "stem files", "files <track>_<stem>"]  # in messages


@dataclass(frozen=True)
class SongFiles:
    """The files of one song, keyed by stem or `STEM_FILE`. The subset is None if the layout has none."""

    name: str
    subset: str | None
    place: Path  # the stem file, or the folder that contains the files
    kind: Kind
    files: dict[str, Path] = field(default_factory=dict)

    def add(self, name: str, path: Path) -> None:
        """Add a file. Raises InputError if another file has the same stem."""
        if name in self.files:
            raise InputError(f"{path}: holds the {name} of {self.name}, and so does {self.files[name]}; take one of them away.")
        self.files[name] = path


def song_file(layout: Layout, folder: Path, song: str, target: str, suffix: str) -> Path:
    """Return the path of a song's target in a layout: <song>/<target>, test/<song>/<target> or <song>_<target>, plus suffix."""
    return _PLACES[layout](folder, song, f"{target}{suffix}")


def find_songs(root: Path) -> list[SongFiles]:
    """Return the songs in `root` in any layout, sorted by subset and name.

    If `root` contains test/ or train/, these are the subsets. A song is a stem file of MUSDB18, a folder with a wav or flac per stem, or,
    outside of subsets, several files <song>_<stem>.wav. Raises InputError if there are none, or if two files have the same stem.
    """
    if not is_there(root):
        raise InputError(f"{root}: no such folder; it should hold test/ or train/ with tracks in them, or the tracks themselves.")
    subsets = [subset for subset in reversed(SUBSETS) if is_there(root / subset)]
    folders: list[tuple[Path, str | None]] = [(root / subset, subset) for subset in subsets]
    songs = [song for folder, subset in folders or [(root, None)] for song in songs_in(folder, subset)]
    if not songs:
        raise InputError(f"{root}: no tracks in it; expected test/<track>/<target>.wav, <track>/<target>.wav or <track>_<target>.wav.")
    return songs


def songs_in(folder: Path, subset: str | None, wanted: Collection[str] = NAMES) -> Iterator[SongFiles]:
    """Yield the songs in a folder with the files of the stems `wanted`: first folders and stem files, then flat files.

    Every folder counts as a song, even if it has no files. Raises InputError if two files have the same stem of a song.
    """
    flat: dict[str, SongFiles] = {}
    for path in visible(folder):
        if path.is_dir():
            yield add_folder(SongFiles(path.name, subset, path, "wav folders"), path, wanted)
        elif path.name.endswith(STEM_SUFFIX):
            yield SongFiles(path.name.removesuffix(STEM_SUFFIX), subset, path, "stem files", {STEM_FILE: path})
        elif path.suffix.lower() in SUFFIXES:
            ending = next((ending for ending in ENDINGS if path.stem.lower().endswith(ending)), None)
            if ending and (name := _held(ending[1:])) in wanted:
                song_name = path.stem[: -len(ending)]
                flat.setdefault(song_name, SongFiles(song_name, subset, folder, "files <track>_<stem>")).add(name, path)
    yield from (flat[name] for name in sorted(flat))


def add_folder(song: SongFiles, folder: Path, wanted: Collection[str] = NAMES) -> SongFiles:
    """Add a folder's files of the stems `wanted` to the song and return it. Raises InputError as `SongFiles.add` does."""
    for file in visible(folder):
        if file.suffix.lower() in SUFFIXES and (name := _held(file.stem)) in wanted:
            song.add(name, file)
    return song


def _held(name: str) -> str:
    """Return the stem that a file of this name contains, or the lower-case name if it is not that of a stem."""
    name = name.lower()
    return OTHER_NAMES.get(name, name)
