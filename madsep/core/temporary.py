"""Temporary files and folders: their names, and their removal when their process has ended, even if it was killed."""

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".madsep-tmp."  # followed by the machine's name, the process id and random letters
DAY_S = 86_400
_folders: set[Path] = set()  # folders in which this process has made temporary files
_made: list[Path] = []  # folders that this process has made for its results


def prefix(folder: Path) -> str:
    """Return the first part of the name of a temporary file or folder in `folder`."""
    _folders.add(folder)
    return f"{TEMPORARY}{socket.gethostname()}.{os.getpid()}."


def make_folder(folder: Path) -> list[Path]:
    """Create a folder and its missing parents. Return the created folders, innermost first, for `remove_empty` if the work fails."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    _made.extend(missing)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def remove_empty(folders: Iterable[Path]) -> None:
    """Remove the folders that are empty."""
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_own() -> None:
    """Remove this process's temporary files and the empty folders that it created. Called when it is interrupted."""
    for folder in tuple(_folders):
        own, paths = prefix(folder), []
        with contextlib.suppress(OSError):
            paths = [path for path in folder.iterdir() if path.name.startswith(own)]
        _remove(paths)
    remove_empty(sorted(set(_made), key=lambda path: -len(path.parts)))


def sweep(folder: Path | str) -> None:
    """Remove temporary files and folders in and below `folder` if their process has ended.

    Those of other machines are removed when they are older than a day.
    """
    for parent, folders, files in os.walk(folder):  # tolerates files that another process removes meanwhile
        remove_stale(Path(parent) / name for name in (*folders, *files))
        folders[:] = [name for name in folders if not name.startswith(TEMPORARY)]


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove the paths that are temporary and whose process has ended, as `sweep` does."""
    _remove(path for path in paths if path.name.startswith(TEMPORARY) and _is_stale(path))


def sweep_below(folder: Path) -> None:
    """Remove stale temporary files from a folder and its direct subfolders only. Used for folders that may hold anything."""
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
