"""Reading what others wrote, damaged or forbade: whatever a file does, a person meets one plain line with its name."""

import contextlib
import errno
import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from madsep.core.errors import InputError, one_line, os_error_words

GZIP = ".gz"
MAX_TEXT_BYTES = 32_000_000  # of a file that is read into memory as text: the scores of fourteen hours take as much
# what a parser meets in a file of another kind, or in a damaged one
DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError, TypeError, ValueError, zlib.error)
# what operating systems, file managers and network drives leave in folders, in lower case
STRANGERS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "__macosx", "icon\r", "lost+found"),
    *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "__pycache__"),
}


@contextlib.contextmanager
def reading(path: Path | str, kind: str = "", remedy: str = "", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn whatever reading `path` in the block raises into InputError with its name: a file that is missing, forbidden or damaged.

    `kind` says what was expected, such as "CSV", `remedy` what to do if it is something else; `also` are the errors of the library that
    parses it. A pipe, a socket or a device, which would keep the block waiting, is refused before it, and so is a folder. An InputError
    of the block stays as it is.
    """
    foreseen: tuple[type[Exception], ...] = (OSError, *DAMAGE, *also)
    try:
        _check_kind(path)
        yield
    except InputError:
        raise
    except foreseen as error:
        raise_read_error(path, error, kind, remedy)


def raise_read_error(path: Path | str, error: BaseException, kind: str = "", remedy: str = "") -> NoReturn:
    """Raise InputError that says why `path` could not be read. It is the reader's counterpart of `madsep.core.files.write_error`."""
    if isinstance(error, OSError) and error.errno is not None:
        raise InputError(f"{path}: {_os_words(Path(path), error)}.") from None
    if isinstance(error, MemoryError):
        words = f"cannot be read{kind and f' as {kind}'} (it holds more than fits into memory)"
    elif isinstance(error, RecursionError):
        words = f"cannot be read{kind and f' as {kind}'} (it nests too deep)"
    else:
        words = f"cannot be read{kind and f' as {kind}'} ({one_line(error)})"
    raise InputError(f"{path}: {words}. {remedy}".rstrip()) from None


def read_text(path: Path | str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file, or of one in a .gz, as `read_bytes` does. Raises InputError as it does, and if it is not UTF-8."""
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: is not UTF-8 text (line {line}: byte {error.start} is 0x{content[error.start]:02x}).") from None


def read_bytes(path: Path | str, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return a file's bytes, those of a .gz decompressed. Raises InputError if it cannot be read or has more than `max_bytes`.

    No more than that is decompressed, whatever the size that the file claims.
    """
    is_packed = Path(path).suffix == GZIP
    opened = gzip.open if is_packed else open
    with reading(path), opened(path, "rb") as stream:
        content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        size = f"{max_bytes / 1e6:g} MB{' when decompressed' * is_packed}"
        raise InputError(f"{path}: has more than {size}, more than such a file can need; check that it is the right file.")
    return content


def is_there(path: Path) -> bool:
    """Whether there is a file or folder. Raises InputError for a link that leads nowhere, and if it may not even be looked for."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise_read_error(path, error)
    try:
        path.stat()
    except OSError as error:
        raise_read_error(path, error)
    return True


def is_stranger(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that an operating system or a network drive leaves among other files."""
    return name.startswith(".") or name.lower() in STRANGERS


def visible(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without strangers such as hidden files, Thumbs.db or @eaDir.

    Raises InputError if the folder is missing or may not be read, or if a link in it leads nowhere.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if not is_stranger(path.name))
        for path in paths:
            if path.is_symlink():
                path.stat()
    except OSError as error:
        raise_read_error(Path(error.filename or folder), error)
    return paths


def files_below(folder: Path) -> list[Path]:
    """Return all that lies in and below a folder except folders: files, strangers, links and pipes, sorted.

    Links to folders are not followed. Raises InputError if a folder may not be read.
    """
    found: list[Path] = []

    def refuse(error: OSError) -> NoReturn:
        raise_read_error(error.filename, error)

    for parent, folders, files in os.walk(folder, onerror=refuse):
        linked = [name for name in folders if (Path(parent) / name).is_symlink()]
        found.extend(Path(parent) / name for name in (*files, *linked))
    return sorted(found)


def _check_kind(path: Path | str) -> None:
    """Raise an error unless `path` is a file that may be read; libraries would say less of why, or wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(handle).st_mode
    finally:
        os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a pipe or a device; expected a file.")


def _os_words(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        with contextlib.suppress(OSError):
            return f"is a link to {path.readlink()}, which does not exist"
    return os_error_words(error) or f"cannot be read ({error.strerror or one_line(error)})"
