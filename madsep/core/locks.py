"""Locks that hold for all processes on a machine, whichever user started them.

Each user has a folder of locks in the machine's temporary folder. Others may read it but not change it. To find out whether another user
holds a lock, a process tries to lock that user's file, which requires only read permission. Links are never followed, and only regular
files that belong to the folder's owner count, so that nobody can make another user wait for a pipe or write to a file.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.files import write_error
from madsep.core.logs import log

PREFIX = "madsep-locks-"  # followed by the user id
SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def hold(name: str) -> Iterator[bool]:
    """Hold the lock `name` during the block and yield True. Yield False if another process of any user holds it.

    If another user occupies its place, so that the lock cannot be created, it counts as held, and a warning is logged.
    """
    with contextlib.ExitStack() as stack:
        yield _take(name, stack)


@contextlib.contextmanager
def hold_file(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` during the block and yield True. Yield False if another process holds it.

    A missing file is created. If the file system cannot lock files, as on some network drives, the lock counts as free, and a warning is
    logged. Raises InputError if the file cannot be opened, is a link, or is not a regular file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o644)
    except OSError as error:
        raise (write_error(path, error) or InputError(f"{path}: cannot serve as a lock ({error.strerror}); remove it.")) from None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{path}: is not a regular file, so it cannot serve as a lock; remove it.")
        yield _locked_or_unable(path, handle) and _is_at(path, handle)
    finally:
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Whether `path` still names the open file. A previous holder of the lock may have removed it, and another may hold its successor."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _locked_or_unable(path: Path, handle: int) -> bool:
    try:
        return _locked(handle, fcntl.LOCK_EX)
    except OSError as error:
        log.warning("%s: cannot be locked (%s); make sure that no other process works there.", path, error.strerror)
        return True


def _take(name: str, stack: contextlib.ExitStack) -> bool:
    root = Path(tempfile.gettempdir())
    try:
        folder = _own_folder(root)
        lock = _opened(folder, name, os.O_RDWR | os.O_CREAT, os.getuid())
    except OSError as error:
        log.warning("%s: no lock can be made there (%s); it counts as held by another user", root / PREFIX, error.strerror)
        return False
    stack.callback(os.close, lock)
    return _locked(lock, fcntl.LOCK_EX) and not any(_is_held(other, name) for other in root.glob(f"{PREFIX}*") if other != folder)


def _own_folder(root: Path) -> Path:
    folder = root / f"{PREFIX}{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o755)  # regardless of the umask
    _check_owner(folder, os.getuid())
    return folder


def _check_owner(folder: Path, owner: int) -> None:
    """Raise PermissionError unless `folder` is a real folder, not a link, that only its owner may change."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(1, f"{folder.name} is not a folder that user {owner} alone may change")


def _opened(folder: Path, name: str, flags: int, owner: int) -> int:
    """Open a lock with `flags`. Raises OSError for a link, a pipe, a folder or another user's file."""
    handle = os.open(folder / name, flags | SAFELY, 0o644)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != owner:
        os.close(handle)
        raise PermissionError(1, f"{name} is not a file of user {owner}")
    if flags & os.O_CREAT:
        os.fchmod(handle, 0o644)  # regardless of the umask
    return handle


def _locked(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_held(folder: Path, name: str) -> bool:
    """Whether another user holds the lock of this name in their folder."""
    owner = folder.name.removeprefix(PREFIX)
    if not owner.isdecimal():
        return False
    try:
        _check_owner(folder, int(owner))
        lock = _opened(folder, name, os.O_RDONLY, int(owner))
    except OSError:  # there is no such lock, or the file is not a lock
        return False
    try:
        return not _locked(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)
