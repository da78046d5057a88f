"""MUSDB18's public sample: excerpts of 7 s in stem files, which are downloaded once."""

import contextlib
import sys
import zipfile
import zlib
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.ffmpeg import require_ffmpeg
from madsep.core.files import new_folder, write_error
from madsep.core.locks import hold_file
from madsep.data.datasets import MUSDB18
from madsep.data.tracks import find_tracks


def sample_is_there(folder: Path | str) -> bool:
    """Return whether `folder` exists and is not empty. If so, `fetch_sample` does not change it."""
    folder = Path(folder).expanduser()
    return folder.is_dir() and any(folder.iterdir())


def fetch_sample(folder: Path | str) -> Path:
    """Download MUSDB18's public sample (excerpts of 7 s in stem files) to `folder` unless it is not empty. Return `folder`.

    Raises InputError if the download fails, if another download is in progress, or if `folder` contains something else. `folder` is
    complete or absent.
    """
    folder = Path(folder).expanduser()
    if not sample_is_there(folder):
        require_ffmpeg()
        try:
            with _alone(folder):
                _download_sample(folder)
        except (OSError, HTTPException, zipfile.BadZipFile, zlib.error) as error:
            by_hand = f"Download it by hand (see {MUSDB18.page}), unpack it and set musdb_root to its folder."
            failed = InputError(f"{folder}: the sample of MUSDB18 could not be downloaded ({error}). {by_hand}")
            raise (write_error(folder, error) or failed) from None
    find_tracks(folder, MUSDB18, allow_partial=True)
    return folder


def _download_sample(folder: Path) -> None:
    import musdb

    if sample_is_there(folder):
        return
    with new_folder(folder) as new:
        with contextlib.redirect_stdout(sys.stderr):
            musdb.DB(root=str(new), download=True)
        find_tracks(new, MUSDB18, allow_partial=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold a lock next to `folder`. Raises InputError if another process holds it."""
    path = folder.with_name(f".{folder.name}.lock")
    with hold_file(path) as is_ours:
        if not is_ours:
            raise InputError(f"{folder}: another run is downloading the sample of MUSDB18; run the same command again when that has ended.")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
