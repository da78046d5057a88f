"""The tracks of a run with the digests of their files. Data are identified by content, not by location."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from madsep.core.errors import InputError
from madsep.core.files import read_json, sha256, write_json
from madsep.core.reading import reading
from madsep.data.datasets import DATASETS
from madsep.data.tracks import Track

N_STAMPS = 3  # size and two times
N_THREADS = 4  # four threads hash faster than most disks read


class Digests:
    """SHA-256 of files, cached in the file `cache`. A file is hashed again if its path, size or times change."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.known: dict[str, list[Any]] = _read_cache(cache)

    def of(self, files: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of each file. Raises InputError if one cannot be read."""
        stamps = [_stamp(file) for file in files]
        new = [index for index, (file, stamp) in enumerate(zip(files, stamps, strict=True)) if self._entry(file)[:-1] != stamp]
        with ThreadPoolExecutor(N_THREADS) as pool:
            for index, found in zip(new, pool.map(sha256, [files[index] for index in new]), strict=True):
                self.known[str(files[index].resolve())] = [*stamps[index], found]
        if new:
            write_json(self.cache, self.known)
        return [self._entry(file)[-1] for file in files]

    def _entry(self, file: Path) -> list[Any]:
        return self.known.get(str(file.resolve()), [None])


def with_digests(tracks: Iterable[Track], digests: Digests) -> list[Track]:
    """Return the tracks with the SHA-256 of their source files."""
    listed = list(tracks)
    files = [file for track in listed for file in track.source_files().values()]
    found = dict(zip(files, digests.of(files), strict=True))
    return [dataclasses.replace(track, sources={name: found[file] for name, file in track.source_files().items()}) for track in listed]


def write_inventory(tracks: Sequence[Track], path: Path) -> None:
    """Write the tracks as JSON unless the file already has the same content."""
    values = {"tracks": [asdict(track) for track in tracks]}
    try:
        is_new = read_json(path) != values
    except InputError:  # it is missing or damaged
        is_new = True
    if is_new:
        write_json(path, values)


def read_inventory(path: Path) -> dict[str, Track]:
    """Return the tracks that `write_inventory` wrote, by slug. Raises InputError if the file is missing or damaged."""
    document = read_json(path)
    try:
        tracks = [_track(values) for values in document["tracks"]]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"{path}: is not an inventory of tracks; run the same command again to write it.") from None
    return {track.slug: track for track in tracks}


def _read_cache(path: Path) -> dict[str, list[Any]]:
    try:
        known = read_json(path)
    except InputError:
        return {}
    return {file: entry for file, entry in known.items() if _is_entry(entry)} if isinstance(known, dict) else {}


def _is_entry(entry: object) -> bool:
    """Whether an entry of the cache has a size, times and a digest."""
    return isinstance(entry, list) and len(entry) == N_STAMPS + 1 and isinstance(entry[-1], str)


def _track(values: Mapping[str, Any]) -> Track:
    """Return one track of an inventory. Raises TypeError for values of other types, ValueError for another data set."""
    track = Track(**values)
    texts = (track.name, track.subset, track.layout, track.path, track.dataset, *track.sources.values(), *track.files.values())
    if not all(isinstance(text, str) for text in texts) or not isinstance(track.duration_s, float | int):
        raise TypeError("expected text, and the duration as a number")
    if track.dataset not in DATASETS:
        raise ValueError("expected a data set that madsep knows")
    return track


def _stamp(file: Path) -> list[int]:
    with reading(file):
        status = file.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
