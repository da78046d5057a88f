"""Files of audio that stand one after the other in one file, each read by libsndfile as if it were alone."""

import contextlib
import io
import os
from pathlib import Path

import soundfile as sf

from madsep.core.errors import InputError


class Window(io.RawIOBase):
    """The bytes from `start` to before `end` of a file, as a file."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        super().__init__()
        self._file = path.open("rb")
        self._start, self._end = start, end
        self._file.seek(start)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Return the place within the window."""
        return self._file.tell() - self._start

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the window; return the new place."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(max(self._start, base + offset)) - self._start

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill `buffer` up to the window's end; return how many bytes were read."""
        n_bytes = max(0, min(len(buffer), self._end - self._file.tell()))
        return self._file.readinto(memoryview(buffer)[:n_bytes])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def sndfile_parts(path: Path, starts: tuple[int, ...]) -> list[sf.SoundFile]:
    """Open the files in a file that begin at `starts`, or the whole file if that is one.

    Raises InputError if they are of several formats, or promise more than can be; LibsndfileError if libsndfile cannot read one.
    """
    if len(starts) < 2:
        return [_open(path, os.fsencode(path))]
    ends = (*starts[1:], path.stat().st_size)
    with contextlib.ExitStack() as opened:
        parts = [opened.enter_context(_open(path, Window(path, *span))) for span in zip(starts, ends, strict=True)]
        formats = sorted({(part.samplerate, part.channels) for part in parts})
        if formats[1:]:
            raise InputError(f"{path}: joins files of several rates or channel counts (Hz, channels): {formats}; give them one by one.")
        opened.pop_all()
    return parts


def _open(path: Path, file: bytes | Window) -> sf.SoundFile:
    try:
        return sf.SoundFile(file)
    except OverflowError:
        raise InputError(f"{path}: is damaged: its header gives an impossible number of samples; copy or export it again.") from None
