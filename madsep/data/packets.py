"""Checks that files of packets (mp3, aac, wma, ogg, flac) are complete."""

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from madsep.core.errors import InputError
from madsep.core.logs import log

MAX_TAGS = 8  # ID3 tags before the audio
RESYNC_BYTES = 1 << 24  # range in which the next frame of an mp3 is searched
# kbit/s by the header's index: MPEG-1 layers I, II, III; MPEG-2 and 2.5 layer I, layers II and III (ISO/IEC 11172-3, 13818-3)
KBITS = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES_HZ = (44_100, 48_000, 32_000)
VERSIONS = {3: (1, 1), 2: (2, 2), 0: (2, 4)}  # header bits: (table of bit rates, divisor of RATES_HZ)
OGG_AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_HEAD_BYTES = 1 << 16
MAX_PARTS = 1000
DAMAGED = "copy or download it again."


@dataclass(frozen=True)
class Mp3Frame:
    """A frame's length in bytes, its number of samples, and the position in it of a possible Xing or Info header."""

    n_bytes: int
    n_samples: int
    xing: int


def skip_id3(stream: BinaryIO) -> int:
    """Return the position after the ID3v2 tags at the start of the file."""
    start = 0
    for _ in range(MAX_TAGS):
        stream.seek(start)
        head = stream.read(10)
        if len(head) < 10 or head[:3] != b"ID3" or any(byte & 0x80 for byte in head[6:]):
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        start += 10 + size + (10 if head[5] & 0x10 else 0)
    return start


def mp3_frame(head: bytes) -> Mp3Frame | None:
    """Parse a frame header of 4 bytes. Return None if it is not one or has a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = VERSIONS.get(head[1] >> 3 & 3), 4 - (head[1] >> 1 & 3)
    rate, kbits = head[2] >> 2 & 3, head[2] >> 4
    if version is None or layer == 4 or rate == 3 or kbits in (0, 15):
        return None
    table, divisor = version
    rate_hz, bits, padding = RATES_HZ[rate] // divisor, 1000 * KBITS[table, layer][kbits], head[2] >> 1 & 1
    if layer == 1:
        return Mp3Frame((12 * bits // rate_hz + padding) * 4, 384, 36)
    n_samples = 576 if layer == 3 and table == 2 else 1152
    is_mono = head[3] >> 6 == 3
    side_bytes = (17 if is_mono else 32) if table == 1 else (9 if is_mono else 17)
    return Mp3Frame(n_samples // 8 * bits // rate_hz + padding, n_samples, 4 + side_bytes)


def check_mp3(stream: BinaryIO, path: Path) -> None:
    """Compare the number of frames of an mp3, which may consist of joined files, with the Xing headers. Log a warning if it is joined.

    Raises InputError if there are fewer frames than promised, or if the last frame is truncated.
    """
    promised, n_frames, n_pieces = 0, 0, 0
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = _next_frame(data, skip_id3(stream))
        while place is not None:
            frame = mp3_frame(data[place : place + 4])
            if frame is None:
                place = _next_frame(data, place)
                continue
            if place + frame.n_bytes > len(data):
                missing = place + frame.n_bytes - len(data)
                raise InputError(f"{path}: the file is truncated: its last frame lacks {missing} bytes; {DAMAGED}")
            if (n_promised := _promised_frames(data, place, frame)) is not None:
                promised, n_pieces = promised + n_promised, n_pieces + 1
            n_frames, place = n_frames + 1, place + frame.n_bytes
    if n_frames < promised - n_pieces:
        raise InputError(f"{path}: the file is truncated: its header promises {promised} frames and it holds {n_frames}; {DAMAGED}")
    if n_pieces > 1 or (promised and n_frames > promised + 2):
        log.warning("%s: has %d frames, more than its first header states, like joined files; all are read", path, n_frames)


def check_adts(stream: BinaryIO, path: Path) -> None:
    """Raise InputError if the last frame of a raw AAC stream is truncated. Source: ISO/IEC 13818-7, 6.2."""
    place = skip_id3(stream)
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while len(head := data[place : place + 7]) == 7 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
            place += max(7, (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5)
        if place > len(data) or (0 < len(head) < 7 and head[0] == 0xFF):
            raise InputError(f"{path}: the file is truncated: its last frame is cut; {DAMAGED}")


def check_asf(stream: BinaryIO, path: Path) -> None:
    """Raise InputError if a wma file is shorter than its header says. Source: Advanced Systems Format, 3.2."""
    stream.seek(0)
    head = stream.read(ASF_HEAD_BYTES)
    start = head.find(ASF_PROPERTIES)
    fields = head[start + 40 : start + 92]
    if start < 0 or len(fields) < 52 or fields[48] & 1:  # a broadcast states no size
        return
    promised, found = int.from_bytes(fields[:8], "little"), path.stat().st_size
    if found < promised:
        raise InputError(f"{path}: the file is truncated: its header promises {promised} bytes and it has {found}; {DAMAGED}")


def _next_frame(data: mmap.mmap, start: int) -> int | None:
    """Return the start of the next frame that is followed by another frame or the end of the file."""
    end = min(len(data), start + RESYNC_BYTES)
    while (start := data.find(b"\xff", start, end)) >= 0:
        frame = mp3_frame(data[start : start + 4])
        after = start + frame.n_bytes if frame else 0
        if after == len(data) or (after and mp3_frame(data[after : after + 4])):
            return start
        start += 1
    return None


def _promised_frames(data: mmap.mmap, place: int, frame: Mp3Frame) -> int | None:
    """Return the number of frames stated by a Xing, Info or VBRI header in this frame, or None without such a header."""
    start = place + frame.xing
    if data[start : start + 4] in (b"Xing", b"Info"):
        return int.from_bytes(data[start + 8 : start + 12], "big") if data[start + 7] & 1 else None
    if data[place + 36 : place + 40] == b"VBRI":
        return int.from_bytes(data[place + 50 : place + 54], "big")
    return None


def check_ogg(stream: BinaryIO, path: Path) -> None:
    """Check the pages of an ogg file, which may be chained. Log the number of pieces if there are several.

    Raises InputError if a page is truncated, or if an audio stream lacks its last page. Source: RFC 3533.
    """
    place, n_bytes, n_streams = 0, path.stat().st_size, 0
    unfinished: set[int] = set()
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while place >= 0 and n_bytes - place >= 27:
            if data[place : place + 4] != b"OggS":
                place = data.find(b"OggS", place)
                continue
            flags, serial, n_segments = data[place + 5], int.from_bytes(data[place + 14 : place + 18], "little"), data[place + 26]
            body = place + 27 + n_segments
            end = body + sum(data[place + 27 : body])
            if end > n_bytes or body > n_bytes:
                raise InputError(f"{path}: the file is truncated: its last page is cut; {DAMAGED}")
            if flags & 2 and data[body : body + 8].startswith(OGG_AUDIO):
                n_streams += 1
                unfinished.add(serial)
            if flags & 4:
                unfinished.discard(serial)
            place = end
    if unfinished or 0 < n_bytes - place < 27:
        raise InputError(f"{path}: the file is truncated: the last page of its audio is missing; {DAMAGED}")
    if n_streams > 1:
        log.info("%s: is a chain of %d pieces; all are read", path, n_streams)


def flac_parts(stream: BinaryIO, path: Path) -> tuple[int, ...]:
    """Return the positions at which the flac files in a file start, or () if the first does not state its length. Source: RFC 9639."""
    start = skip_id3(stream)
    stream.seek(start)
    head = stream.read(26)
    if len(head) < 26 or head[4] & 0x7F != 0:
        return (0,)  # broken; the reader will report it
    if struct.unpack(">Q", head[18:26])[0] & (1 << 36) - 1 == 0:
        return ()
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        later = [match.start() for match in re.finditer(rb"fLaC[\0\x80]\0\0\x22", data)][:MAX_PARTS]
    if later[1:]:
        log.warning("%s: holds %d flac files, one after the other; all are read", path, len(later))
    return tuple(later) if later[1:] else (0,)
