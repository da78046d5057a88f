"""Checks of PyTorch files before they are loaded: a file must not declare more data than it holds."""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from madsep.core.errors import InputError

MAX_FILE_BYTES = 4 << 30
N_PICKLES = 5  # in a file written before PyTorch 1.6: a magic number, the protocol, the system, the object, the storages' names
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_NUMBER = 1001


def check_pickle(path: Path) -> None:
    """Raise InputError if a file declares sizes beyond its own, such as a zip bomb. Nothing in it is run or unpacked.

    A file of another kind passes, because `torch.load` reports it.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise InputError(f"{path}: has {n_bytes} bytes; expected weights of at most {MAX_FILE_BYTES}.")
        with path.open("rb") as stream:
            if zipfile.is_zipfile(stream):
                _check_zip(stream, n_bytes, path)
            else:
                stream.seek(0)
                for _ in range(N_PICKLES):
                    _check_numbers(stream, n_bytes, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def _check_zip(stream: IO[bytes], n_bytes: int, path: Path) -> None:
    try:
        with zipfile.ZipFile(stream) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
            if declared > n_bytes:  # PyTorch compresses nothing
                raise InputError(f"{path}: has {n_bytes} bytes and would unpack to {declared}. Do not trust it.")
            for entry in archive.infolist():
                if entry.filename.endswith(".pkl"):
                    with archive.open(entry) as pickled:
                        _check_numbers(pickled, n_bytes, path)
    except InputError:
        raise
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError):
        return  # damaged: torch.load reports it


def _check_numbers(stream: IO[bytes], n_bytes: int, path: Path) -> None:
    """Raise InputError if a pickle holds an integer (storage size, shape or stride) beyond the file's size."""
    for number in _numbers(stream):
        if abs(number) > max(n_bytes, PROTOCOL_NUMBER) and number != MAGIC_NUMBER:
            raise InputError(f"{path}: has {n_bytes} bytes and asks for {number} values. It is damaged or malicious.")


def _numbers(stream: IO[bytes]) -> Iterator[int]:
    try:
        for _, argument, _ in pickletools.genops(stream):
            if isinstance(argument, int) and not isinstance(argument, bool):
                yield argument
    except (ValueError, IndexError, EOFError, OverflowError, UnicodeError):
        return  # no pickle, or damaged: torch.load reports it
