"""Reading of audio files that are concatenated in one file, each as a separate file of libsndfile."""

import contextlib
import io
import os
from pathlib import Path

import soundfile as sf

from madsep.core.errors import InputError


class Window(io.RawIOBase):
    """File object for the bytes of a file from `start` to before `end`."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._end = start, end
        self._file.seek(start)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position within the window."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the window and return the new position."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill `buffer` up to the end of the window and return the number of bytes read."""
        n_bytes = max(0, min(len(buffer), self._end - self._file.tell()))
        return self._file.readinto(memoryview(buffer)[:n_bytes])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def sndfile_parts(path: Path, starts: tuple[int, ...]) -> list[sf.SoundFile]:
    """Open the audio files in a file that start at `starts`. If there are fewer than two, open the whole file.

    Raises InputError if they have different formats or state an impossible length, LibsndfileError if libsndfile cannot read one.
    """
    if len(starts) < 2:
        return [_open(path, os.fsencode(path))]
    ends = (*starts[1:], path.stat().st_size)
    with contextlib.ExitStack() as opened:
        parts = [opened.enter_context(_open(path, Window(path, *span))) for span in zip(starts, ends, strict=True)]
        formats = sorted({(part.samplerate, part.channels) for part in parts})
        if formats[1:]:
            raise InputError(f"{path}: joins files of different rates or channel counts (Hz, channels): {formats}; give them separately.")
        opened.pop_all()
    return parts


def _open(path: Path, file: bytes | Window) -> sf.SoundFile:
    try:
        return sf.SoundFile(file)
    except OverflowError:
        raise InputError(f"{path}: is damaged: its header gives an impossible number of samples; copy or export it again.") from None
