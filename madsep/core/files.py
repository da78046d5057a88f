"""Files written whole or not at all, JSON, and digests."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from madsep.core.errors import DiskFull, InputError


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends well and is removed when it does not.

    Raises DiskFull when the disk is full, InputError when the folder cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp and safetensors make files that only their owner may read
        temporary.replace(path)
    except BaseException as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise (write_error(path, error) or error) from None


def write_error(path: Path | str, error: BaseException) -> InputError | None:
    """Return the plain line for a write that the disk, the permissions or a file in the way forbid; None for any other error."""
    number = getattr(error, "errno", None)
    # libsndfile and safetensors report a full disk in words only
    if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
        return DiskFull(path)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path}: no permission to write there; choose another folder or change its permissions.")
    if number in (errno.ENOTDIR, errno.EEXIST):
        return InputError(f"{path}: lies below a file, or is one where a folder is needed; choose another folder.")
    return None


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any, allow_nan: bool = False) -> None:
    """Write `value` as indented JSON; `allow_nan` writes bare NaN as museval does."""
    write_text(path, json.dumps(value, indent=2, allow_nan=allow_nan, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON, bare NaN included. Raises InputError when the file is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise InputError(f"{path}: is not valid JSON ({error}); it is damaged, so make it anew.") from None


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON-able value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_unused(folder: Path) -> None:
    """Raise InputError where `folder` is a file, or holds anything."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder}: the folder is not empty; give a new one, or empty it first.")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder of the same name that replaces `folder` when the block ends well and vanishes when it does not.

    Raises InputError where the disk is full or the place cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as scratch:
            new = Path(scratch) / folder.name
            new.mkdir()
            yield new
            if folder.exists():
                shutil.rmtree(folder)
            new.rename(folder)
    except OSError as error:
        raise (write_error(folder, error) or error) from None
