"""Atomic writing of files, JSON, and digests."""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from madsep.core.errors import DiskFull, InputError, one_line, os_error_words
from madsep.core.reading import read_text, reading
from madsep.core.temporary import make_folder, prefix, remove_empty, remove_stale

MAX_DIGITS = 300  # of an integer in JSON; more would not fit into a float

Hash = Callable[[Sequence[Path]], Sequence[str]]  # SHA-256 of files: `sha256_each`, or data.inventory.Digests.of, which caches them


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path next to `path`. It replaces `path` if the block succeeds and is removed if the block fails.

    The content is synced to the disk before the file is renamed. The temporary name has no suffix, so that no reader's pattern matches it.
    `temporary.sweep` removes temporary files left by killed processes.
    Raises DiskFull if the disk is full, InputError if the folder cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    made: list[Path] = []
    try:
        made = make_folder(path.parent)
        handle, name = tempfile.mkstemp(prefix=prefix(path.parent), dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp and safetensors create files that only their owner may read
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        remove_empty(made)
        raise (write_error(path, error) or error) from None


def write_error(path: Path | str, error: BaseException) -> InputError | None:
    """Return the InputError for a write that the file system refused, or None for any other error."""
    number = getattr(error, "errno", None)
    # libsndfile and safetensors report a full disk in words only
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return DiskFull(path)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path}: no permission to write there; choose another folder or change its permissions.")
    if number in (errno.ENOTDIR, errno.EEXIST):
        return InputError(f"{path}: lies below a file, or is a file itself; choose another folder.")
    if isinstance(error, UnicodeEncodeError):
        around = error.object[max(error.start - 20, 0) : error.end + 20]
        return InputError(f"{path}: cannot hold a name that is not valid text ({around!a}); rename that file or folder.")
    if isinstance(error, OSError) and (words := os_error_words(error)):
        return InputError(f"{path}: {words}.")
    return None


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any, allow_nan: bool = False) -> None:
    """Write `value` as indented JSON. `allow_nan` permits bare NaN, as in museval's files."""
    write_text(path, json.dumps(value, indent=2, allow_nan=allow_nan, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON, including bare NaN. Raises InputError if the file is missing, not JSON, or far larger than any that madsep reads."""
    text = read_text(path)
    try:
        return json.loads(text, parse_int=_parse_int)
    except (ValueError, RecursionError, MemoryError) as error:
        problem = f"is not valid JSON ({one_line(error)}); it is damaged"
        raise InputError(f"{path}: {problem}. Remove it and run the same command again.") from None


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits. Raises InputError if it cannot be read."""
    with reading(path), Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_each(paths: Sequence[Path]) -> list[str]:
    """Return the SHA-256 of each file. Raises InputError if one cannot be read."""
    return [sha256(path) for path in paths]


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value. It does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file's content or a folder's entries are on the disk. Some file systems cannot sync folders."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def refuse_inputs(outputs: Sequence[Path], inputs: Sequence[Path]) -> None:
    """Raise InputError if writing one of `outputs` would replace one of `inputs`, even through symbolic or hard links."""
    known = {number: path for path in inputs if (number := _file_number(path)) is not None}
    for path in outputs:
        number = _file_number(path)
        if number in known:
            raise InputError(f"{path}: is the input {known[number]} itself, which writing it would replace; choose another output.")


def _file_number(path: Path) -> tuple[int, int] | None:
    """Return the device and inode that identify a file, or None if it cannot be examined. Its reader will then report why."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def check_new(path: Path, overwrite: bool) -> None:
    """Raise InputError if a file exists and `overwrite` is false."""
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already; choose another name, or add --overwrite to replace it.")


def check_new_files(paths: Sequence[Path], overwrite: bool) -> None:
    """Raise InputError if any of the files exists and `overwrite` is false."""
    existing = [path for path in paths if path.exists()]
    if existing and not overwrite:
        others = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise InputError(f"{existing[0]}: exists already{others}; choose another folder, or add --overwrite to replace what is there.")


def check_unused(folder: Path, parts: Collection[str] = (), overwrite: bool = False) -> None:
    """Raise InputError if `folder` is a file, or contains anything except an earlier result that may be replaced.

    `parts` are the names of everything in such a result. The first one distinguishes it from other folders that contain some of these
    names.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a new folder.")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    is_result = found <= {*parts} and not found.isdisjoint([*parts][:1])
    if found and not (is_result and overwrite):
        remedy = "add --overwrite to replace the earlier result" if is_result else "empty it first"
        raise InputError(f"{folder}: the folder is not empty; give a new one, or {remedy}.")


@contextlib.contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a temporary folder in `parent`, which is created if it is missing. It is removed with its content when the block ends.

    Temporary files left in `parent` by killed processes are removed first. Raises InputError if the disk is full or `parent` cannot be
    written.
    """
    try:
        with _scratch(parent) as scratch:
            yield scratch
    except OSError as error:
        raise (write_error(parent, error) or error) from None


@contextlib.contextmanager
def scratch_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file in a scratch folder for writing. The folder is created if it is missing.

    The file is not synced. It is removed if the block fails. Raises DiskFull if the disk is full, InputError if the folder cannot be
    written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            yield stream
    except BaseException as error:
        path.unlink(missing_ok=True)
        raise (write_error(path, error) or error) from None


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder of the same name. It replaces `folder` if the block succeeds and is removed if the block fails.

    Its files are synced to the disk before the replacement. A symbolic link is kept, and its target is replaced. Raises InputError if the
    disk is full or the place cannot be written.
    """
    folder = Path(os.path.realpath(folder))
    try:
        with _scratch(folder.parent) as scratch:
            new = scratch / "new" / folder.name
            new.mkdir(parents=True)
            yield new
            for path in (*new.rglob("*"), new):
                _sync(path)
            _exchange(folder, new, scratch / "old")
            _sync(folder.parent)
    except OSError as error:
        raise (write_error(folder, error) or error) from None


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    made: list[Path] = []
    try:
        made = make_folder(parent)
        remove_stale(list(parent.iterdir()))
        with tempfile.TemporaryDirectory(prefix=prefix(parent), dir=parent) as scratch:
            yield Path(scratch)
    except BaseException:
        remove_empty(made)
        raise


def _exchange(folder: Path, new: Path, old: Path) -> None:
    """Move `folder` to `old` and `new` to `folder`. If `new` cannot be moved, move `folder` back."""
    if not folder.exists():
        new.rename(folder)
        return
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
