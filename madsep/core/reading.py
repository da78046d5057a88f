"""Reading of files that may be damaged, forbidden or of the wrong kind. Any failure becomes an InputError that names the file."""

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
MAX_TEXT_BYTES = 32_000_000  # of a text file that is read into memory; the scores of fourteen hours of audio take as much
# exceptions of parsers for files that are damaged or of another kind
DAMAGE = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, RecursionError, TypeError, ValueError, zlib.error)
# names, in lower case, of files that operating systems, file managers and network drives leave in folders
STRANGERS = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "__macosx", "icon\r", "lost+found"),
    *("@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "__pycache__"),
}


@contextlib.contextmanager
def reading(path: Path | str, kind: str = "", remedy: str = "", also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn exceptions from reading `path` in the block into InputError: the file is missing, forbidden or damaged.

    `kind` names the expected format, such as "CSV". `remedy` says what to do if the file has another. `also` lists exceptions of the
    library that parses it. Folders, and pipes, sockets and devices, which would block, are refused before the block starts. An InputError
    from the block is raised unchanged.
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
    """Raise InputError saying why `path` could not be read. It is the counterpart of `madsep.core.files.write_error`."""
    if isinstance(error, OSError) and error.errno is not None:
        raise InputError(f"{path}: {_os_words(Path(path), error)}.") from None
    if isinstance(error, MemoryError):
        words = f"cannot be read{kind and f' as {kind}'} (it holds more than fits into memory)"
    elif isinstance(error, RecursionError):
        words = f"cannot be read{kind and f' as {kind}'} (its nesting is too deep)"
    else:
        words = f"cannot be read{kind and f' as {kind}'} ({one_line(error)})"
    raise InputError(f"{path}: {words}. {remedy}".rstrip()) from None


def read_text(path: Path | str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a file. A .gz is decompressed. Raises InputError as `read_bytes` does, and if the text is not UTF-8."""
    content = read_bytes(path, max_bytes)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: is not UTF-8 text (line {line}: byte {error.start} is 0x{content[error.start]:02x}).") from None


def read_bytes(path: Path | str, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Return a file's bytes. A .gz is decompressed. Raises InputError if it cannot be read or has more than `max_bytes`.

    At most `max_bytes` + 1 bytes are decompressed, whatever size the file claims.
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
    """Whether a file or folder exists. Raises InputError for a broken link, and if permissions prevent the check."""
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
    """Whether the name is that of a hidden file, or of one that an operating system or network drive leaves among other files."""
    return name.startswith(".") or name.lower() in STRANGERS


def visible(folder: Path) -> list[Path]:
    """Return the content of a folder, sorted, without strangers such as hidden files, Thumbs.db or @eaDir.

    Raises InputError if the folder is missing or may not be read, or if it contains a broken link.
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
    """Return everything in and below a folder except folders: files, strangers, links and pipes, sorted.

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
    """Raise an error unless `path` is a readable regular file. Libraries would give a less clear reason or block."""
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
