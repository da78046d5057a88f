"""Temporary files and folders: how they are called, and how they go when their process ends, whichever way."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".madsep-tmp."  # then the machine's name, the process and random letters
DAY_S = 86_400
_folders: set[Path] = set()  # where this process has made temporary files
_made: list[Path] = []  # folders that this process has made for its results


def prefix(folder: Path) -> str:
    """Return what the name of a temporary file or folder in `folder` begins with."""
    _folders.add(folder)
    return f"{TEMPORARY}{socket.gethostname()}.{os.getpid()}."


def make_folder(folder: Path) -> list[Path]:
    """Make a folder with its parents if need be; return those that were missing, innermost first, for `remove_empty` if the work fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    _made.extend(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove those folders that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_own() -> None:
    """Remove what this process has left: its temporary files, and folders that it made and that are empty. For when it is interrupted."""
    for folder in tuple(_folders):
        own, paths = prefix(folder), []
        with contextlib.suppress(OSError):
            paths = [path for path in folder.iterdir() if path.name.startswith(own)]
        _remove(paths)
    remove_empty(sorted(set(_made), key=lambda path: -len(path.parts)))


def sweep(folder: Path | str) -> None:
    """Remove the temporary files and folders in and below `folder` whose process has ended; of other machines, those older than a day."""
    for parent, folders, files in os.walk(folder):  # which passes over what another process removes meanwhile
        remove_stale(Path(parent) / name for name in (*folders, *files))
        folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove those paths that are temporary and whose process has ended, as `sweep` does."""
    _remove(path for path in paths if path.name.startswith(TEMPORARY) and _is_stale(path))


def sweep_below(folder: Path) -> None:
    """Sweep a folder that may hold anything, and the folders in it, no deeper: where estimates of songs are written."""
    with contextlib.suppress(OSError):
        paths = list(folder.iterdir())
        remove_stale(paths)
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                with contextlib.suppress(OSError):
                    remove_stale(list(path.iterdir()))


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):  # it was a folder, or another process has removed it
            path.unlink()


def _is_stale(path: Path) -> bool:
    host, _, process = path.name.removeprefix(TEMPORARY).rpartition(".")[0].rpartition(".")
    if host == socket.gethostname():
        return not _is_running(process)
    try:
        return time.time() - path.stat().st_mtime > DAY_S
    except OSError:
        return False


def _is_running(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True
