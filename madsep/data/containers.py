"""Detection of audio formats from the content of files, and checks that files are complete."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from madsep.core.errors import InputError
from madsep.core.ffmpeg import check_mp4_size
from madsep.core.logs import log
from madsep.data.packets import check_adts, check_asf, check_mp3, check_ogg, flac_parts, skip_id3

MIN_RATE_HZ, MAX_RATE_HZ = 1000, 768_000
MAX_CHANNELS = 32
MAX_CHUNKS = 100_000
# Placeholders for unknown 32-bit sizes by programs that write to a pipe: 0, about 2^31 (sox, arecord, lame) or about 2^32 (ffmpeg)
UNKNOWN_SIZES = (range(0x7F00_0000, 0x7F00_1000), range(0x7FFF_0000, 0x8000_0001), range(0xFFFF_0000, 1 << 32))
UNKNOWN_LONG_SIZE = 1 << 62  # of 64-bit sizes; larger than any disk
W64_RIFF = bytes.fromhex("726966662e91cf11a5d628db04c10000")

# (position, bytes there, ffmpeg's name of the format)
MAGIC = (
    *((0, b"RIFF", "wav"), (0, b"RF64", "wav"), (0, b"BW64", "wav"), (0, W64_RIFF, "w64"), (0, b"FORM", "aiff"), (0, b"caff", "caf")),
    *((0, b".snd", "au"), (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (4, b"ftyp", "mov"), (0, b"\x1a\x45\xdf\xa3", "matroska")),
    *((0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"), (0, b"wvpk", "wv"), (0, b"MAC ", "ape"), (0, b"TTA1", "tta")),
)
SNDFILE_READS = ("wav", "w64", "aiff", "caf", "au", "flac")
SNDFILE_ENDLESS = ("w64", "aiff")  # also read if their length is unknown
CHUNKED = ("wav", "w64", "aiff", "caf", "au")
CHECKS = {"ogg": check_ogg, "mp3": check_mp3, "aac": check_adts, "asf": check_asf}
LISTS = (b"#EXTM3U", b"ffconcat", b"[playlist]", b"<?xml", b"<MPD", b"<asx", b"<smil")


@dataclass(frozen=True)
class Container:
    """ffmpeg's name of a file's format, None if it is not listed here, and the positions at which the files in it start.

    `parts` is usually (0,). It is empty if the header does not state the length of the audio.
    """

    kind: str | None
    parts: tuple[int, ...]

    @property
    def by_sndfile(self) -> bool:
        """Whether libsndfile may read the file. Otherwise ffmpeg reads it, because libsndfile stops at a length that may be an estimate."""
        return self.kind in SNDFILE_ENDLESS or (self.kind in SNDFILE_READS and bool(self.parts))


def examine_audio(path: Path) -> Container:
    """Detect the format of a file from its content, and compare its header with its size.

    Logs a warning if bytes after the audio are not described by the header.
    Raises InputError if the file is missing, not a regular file, a playlist, or shorter than its header says.
    """
    _require_file(path)
    try:
        with path.open("rb") as stream:
            kind = _kind(stream)
            if kind is None:
                _refuse_lists(stream, path)
            return Container(kind, _parts(kind, stream, path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None


def check_stream(path: Path, sample_rate_hz: int, n_channels: int) -> None:
    """Raise InputError for implausible rates and channel counts, before memory is allocated for them."""
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        expected = f"expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise InputError(f"{path}: its header says {sample_rate_hz} Hz; {expected}. Export it again.")
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise InputError(f"{path}: its header says {n_channels} channels; expected 1 to {MAX_CHANNELS}. Export it again.")


def _require_file(path: Path) -> None:
    try:
        if path.is_file():
            return
        found = "is a folder, not an audio file" if path.is_dir() else "is not a regular file" if path.exists() else "no such file"
    except (OSError, ValueError) as error:  # a name that is too long, a loop of links, a null byte
        raise InputError(f"{path}: cannot be read ({error.strerror if isinstance(error, OSError) else error}).") from None
    raise InputError(f"{path}: {found}.")


def _kind(stream: BinaryIO) -> str | None:
    start = skip_id3(stream)
    stream.seek(start)
    head = stream.read(16)
    for place, magic, kind in MAGIC:
        if head[place : place + len(magic)] == magic:
            return kind
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "aac" if head[1] & 0xF6 == 0xF0 else "mp3"
    return "mp3" if start else None


def _refuse_lists(stream: BinaryIO, path: Path) -> None:
    stream.seek(0)
    head = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.lower().startswith(tuple(word.lower() for word in LISTS)):
        raise InputError(f"{path}: is a playlist, not an audio file; give the files that it lists.")


def _parts(kind: str | None, stream: BinaryIO, path: Path) -> tuple[int, ...]:
    """Return the positions at which the files in a file start, or () if its length is unknown. Raises InputError if it is truncated."""
    if kind in CHECKS:
        CHECKS[kind](stream, path)
    if kind == "mov":
        check_mp4_size(path)
    parts: tuple[int, ...] = flac_parts(stream, path) if kind == "flac" else (0,)
    if kind in CHUNKED and not _check_audio_size(kind, stream, path):
        parts = ()
    if not parts:
        log.info("%s: its header does not give a length; the file is read to its end", path)
    return parts


def _check_audio_size(kind: str, stream: BinaryIO, path: Path) -> bool:
    """Whether the size of the audio chunk is known. Raises InputError if it exceeds the rest of the file."""
    for name, promised, start, is_long in _chunks(kind, stream, path):
        if name not in (b"data", b"SSND"):
            continue
        found = path.stat().st_size - start
        is_none = promised == 0 and found > 0 and not _is_chunks(stream, start, found)
        if is_none or _is_unknown(promised, found, is_long):
            return False
        if found < promised:
            reason = f"its header promises {promised} bytes of audio and it holds {found}"
            raise InputError(f"{path}: the file is truncated: {reason}; copy or download it again.")
        end = start + promised + promised % 2
        if kind == "wav" and found - promised > 8 and not _is_chunks(stream, end, found - promised - promised % 2):
            log.warning("%s: %d bytes after its audio are not read, because its header does not mention them", path, found - promised)
        break
    return True


def _is_unknown(promised: int, found: int, is_long: bool) -> bool:
    """Whether a size is a placeholder, as in headers written before the audio was complete."""
    if is_long:
        return promised >= UNKNOWN_LONG_SIZE - 24
    wrapped = found >= 1 << 32 and promised == found % (1 << 32)  # the lower 32 bits of a size beyond 4 GiB
    return wrapped or (promised > found and any(promised in sizes for sizes in UNKNOWN_SIZES))


def _is_chunks(stream: BinaryIO, start: int, n_bytes: int) -> bool:
    """Whether the bytes from `start` are RIFF chunks, up to the end of the file or a tag that a player appended."""
    end, n_left = start + n_bytes, MAX_CHUNKS
    while end - start >= 8 and n_left:
        stream.seek(start)
        name, size = struct.unpack("<4sI", stream.read(8))
        if name.startswith((b"TAG", b"ID3", b"APE")):
            return True
        if name in (b"RIFF", b"RF64"):  # another file
            return False
        if not all(32 <= letter < 127 for letter in name) or size > end - start - 8:
            return False
        start, n_left = start + 8 + size + size % 2, n_left - 1
    return True


def _chunks(kind: str, stream: BinaryIO, path: Path) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield (name, size in bytes, first byte, whether the size has 64 bits) of each chunk until the end or a broken chunk."""
    stream.seek(0)
    head = stream.read(24)
    if kind == "au":
        start, size = struct.unpack(">II", head[4:12].ljust(8, b"\0"))
        yield b"data", (0xFFFF_FFFF if size == 0 else size), start, False
        return
    place, long_size, n_chunks = {"wav": 12, "aiff": 12, "caf": 8, "w64": 40}[kind], None, 0
    while True:
        stream.seek(place)
        entry = _chunk(kind, stream)
        n_chunks += 1
        if entry is None:
            return
        if n_chunks > MAX_CHUNKS:
            raise InputError(f"{path}: holds more than {MAX_CHUNKS} chunks, which is not audio; export it again.")
        name, size, is_long, start = *entry, stream.tell()
        if kind == "wav" and name == b"ds64":
            long_size = struct.unpack("<8xQ", stream.read(16).ljust(16, b"\0"))[0]
        if name == b"data" and size == 0xFFFF_FFFF and long_size is not None and head[:4] != b"RIFF":
            size, is_long = long_size, True
        yield name, size, start, is_long
        if size >= UNKNOWN_LONG_SIZE:
            return
        place = start + size + (-size % 8 if kind == "w64" else size % 2 if kind != "caf" else 0)


def _chunk(kind: str, stream: BinaryIO) -> tuple[bytes, int, bool] | None:
    """Return (name, size, whether the size has 64 bits) of the chunk at the stream's position, or None at the end."""
    n_bytes = {"wav": 8, "aiff": 8, "caf": 12, "w64": 24}[kind]
    head = stream.read(n_bytes)
    if len(head) < n_bytes:
        return None
    if kind == "w64":
        size = struct.unpack("<Q", head[16:])[0]
        if size < 24 and head[:4] != b"data":
            return None
        return head[:4], size - 24 if size >= 24 else UNKNOWN_LONG_SIZE, True
    if kind == "caf":
        size = struct.unpack(">q", head[4:])[0]
        return head[:4], size if size >= 0 else UNKNOWN_LONG_SIZE, True
    return head[:4], struct.unpack("<I" if kind == "wav" else ">I", head[4:])[0], False
