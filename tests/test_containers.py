"""Files of audio that are cut, joined, endless, disguised or absurd, against the samples that they were made from."""

import logging
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from madsep.core import ffmpeg
from madsep.core.errors import InputError
from madsep.data.audio import load_song, read_wav
from madsep.data.containers import MAX_CHUNKS, examine_audio

RATE_HZ = 44_100
N_SAMPLES = 2 * RATE_HZ
LOSSLESS = ("wav", "rf64", "w64", "aiff", "caf", "au", "flac")
# what ffmpeg is told to write each file with
OPTIONS = {
    "rf64": ["-rf64", "always", "-f", "wav"],
    "au": ["-f", "au"],
    "w64": ["-f", "w64"],
    "caf": ["-f", "caf"],
    "bare.mp3": ["-write_xing", "0", "-id3v2_version", "0", "-q:a", "2"],
    "vbr.mp3": ["-q:a", "5"],
    "m4a": ["-movflags", "faststart"],
    "aac": ["-f", "adts"],
    "oga": ["-c:a", "flac"],
    "mka": ["-f", "matroska"],
}
CUT_WORDS = r"truncated|damaged"
CUT = (*LOSSLESS, "bare.mp3", "vbr.mp3", "mp3", "mp2", "ogg", "opus", "oga", "m4a", "aac", "wma", "mka", "wv")


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    """Two seconds of 16-bit noise, (n_samples, 2)."""
    return np.random.default_rng(0).integers(-9000, 9000, (N_SAMPLES, 2), np.int16)


@pytest.fixture(scope="module")
def song(noise: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The noise as a file of any kind; not to be changed."""
    folder = tmp_path_factory.mktemp("songs")
    sf.write(folder / "song.wav", noise, RATE_HZ, subtype="PCM_16")

    def made(kind: str) -> Path:
        path = folder / f"song.{kind}"
        if not path.exists():
            subprocess.run(["ffmpeg", "-v", "error", "-i", folder / "song.wav", *OPTIONS.get(kind, []), path], check=True)
        return path

    return made


def piped(source: Path, *options: str) -> bytes:
    """What ffmpeg writes to a pipe, where it cannot go back to the header."""
    command = ["ffmpeg", "-v", "error", "-i", source, *options, "pipe:1"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def length(path: Path, tmp_path: Path) -> float:
    loaded = load_song(path, tmp_path / "work", RATE_HZ)
    return loaded.original.shape[1] / loaded.sample_rate_hz


@pytest.mark.parametrize("kind", [*CUT, "webm", "spx", "tta"])
def test_whole_files_are_read_whole(song: Callable[[str], Path], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    if kind == "spx":
        OPTIONS[kind] = ["-ar", "32000"]
    assert length(song(kind), tmp_path) == pytest.approx(2, abs=0.06)
    assert caplog.messages == []


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.93])
def test_cut_files_are_refused(song: Callable[[str], Path], tmp_path: Path, kind: str, share: float) -> None:
    content = song(kind).read_bytes()
    path = tmp_path / "cut.mp3"  # the name says nothing
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"cut\.mp3: (the file is truncated|is damaged)[^\n]*$"):
        length(path, tmp_path)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_a_lossless_file_that_lacks_its_last_bytes_is_refused_whole_too(song: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(song(kind).read_bytes()[:-3])
    with pytest.raises(InputError, match=CUT_WORDS):
        read_wav(path)


# --- headers without a length


@pytest.mark.parametrize("size", [0, 0x7FFF_F000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFD8, 0xFFFF_FFFF])
def test_a_wav_of_no_size_is_read_to_its_end(
    song: Callable[[str], Path], noise: np.ndarray, tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(song("wav").read_bytes())
    place = content.find(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    path = tmp_path / "piped.wav"
    path.write_bytes(content)
    with caplog.at_level(logging.INFO):
        found, rate_hz = read_wav(path)
    np.testing.assert_array_equal(found.T * 32768, noise)
    assert rate_hz == RATE_HZ and caplog.messages == [f"{path}: its header does not give a length; the file is read to its end"]


@pytest.mark.parametrize("kind", ["flac", "w64", "caf", "aiff", "au", "wav", "rf64"])
def test_a_file_from_a_pipe_is_read_to_its_end(song: Callable[[str], Path], noise: np.ndarray, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "piped"
    path.write_bytes(piped(song("wav"), *(OPTIONS["rf64"] if kind == "rf64" else ("-f", kind))))
    np.testing.assert_array_equal(read_wav(path)[0].T * 32768, noise)


def test_lossy_files_from_pipes(song: Callable[[str], Path], tmp_path: Path) -> None:
    for kind in ("mp3", "ogg", "adts", "matroska"):
        (tmp_path / kind).write_bytes(piped(song("wav"), "-f", kind))
        assert length(tmp_path / kind, tmp_path) == pytest.approx(2, abs=0.06)


def test_an_empty_wav_with_more_chunks_holds_no_samples(tmp_path: Path) -> None:
    sf.write(tmp_path / "empty.wav", np.zeros(0), RATE_HZ, subtype="PCM_16")
    with (tmp_path / "empty.wav").open("ab") as stream:
        stream.write(b"LIST" + struct.pack("<I", 8) + b"INFO\0\0\0\0")
    with pytest.raises(InputError, match="holds no samples"):
        read_wav(tmp_path / "empty.wav")


def test_bytes_that_the_header_does_not_know_are_said(
    song: Callable[[str], Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(song("wav").read_bytes())
    place = content.find(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 4000)
    for name, data in (("short", bytes(content)), ("joined", song("wav").read_bytes() * 2), ("tagged", song("wav").read_bytes())):
        path = tmp_path / name
        path.write_bytes(data + (b"id3 " + struct.pack("<I", 20) + bytes(20) if name == "tagged" else b""))
        read_wav(path)
        assert any("after its audio are not read" in line for line in caplog.messages) == (name != "tagged")
        caplog.clear()


# --- counts that are no promise


@pytest.mark.parametrize("kind", ["bare.mp3", "vbr.mp3", "ogg", "opus", "oga", "flac", "mp2"])
def test_joined_files_are_read_past_the_first(song: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    path = tmp_path / "joined"
    path.write_bytes(song(kind).read_bytes() * 3)
    assert length(path, tmp_path) == pytest.approx(6, abs=0.15)


def test_joined_flacs_keep_every_sample(song: Callable[[str], Path], noise: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "joined.flac").write_bytes(song("flac").read_bytes() * 2)
    np.testing.assert_array_equal(read_wav(tmp_path / "joined.flac")[0].T * 32768, np.concatenate([noise, noise]))
    sf.write(tmp_path / "mono.flac", noise[:, 0], RATE_HZ)
    (tmp_path / "mixed.flac").write_bytes(song("flac").read_bytes() + (tmp_path / "mono.flac").read_bytes())
    with pytest.raises(InputError, match="different rates or channel counts"):
        read_wav(tmp_path / "mixed.flac")


def test_a_chain_of_different_oggs_keeps_the_form_of_the_first(song: Callable[[str], Path], tmp_path: Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-i", song("wav"), "-ar", "22050", "-ac", "1", tmp_path / "mono.ogg"], check=True)
    path = tmp_path / "chain.ogg"
    path.write_bytes(song("ogg").read_bytes() + (tmp_path / "mono.ogg").read_bytes())
    loaded = load_song(path, tmp_path / "work", RATE_HZ)
    assert loaded.original.shape[0] == 2 and loaded.original.shape[1] / RATE_HZ == pytest.approx(4, abs=0.06)


def test_the_last_of_joined_files_may_be_cut_as_little_as_the_first(song: Callable[[str], Path], tmp_path: Path) -> None:
    for kind in ("vbr.mp3", "ogg", "flac"):
        content = song(kind).read_bytes()
        (tmp_path / kind).write_bytes(content + content[: len(content) // 2])
        with pytest.raises(InputError, match=CUT_WORDS):
            length(tmp_path / kind, tmp_path)


# --- playlists


def playlists(secret: Path) -> dict[str, str]:
    hls = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n"
    return {
        "concat": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "hls": hls + "#EXT-X-ENDLIST\n",
        "endless": hls,
        "spaces": f"\n\n  ffconcat version 1.0\nfile {secret.name}\n",
        "dash": f'<?xml version="1.0"?><MPD><BaseURL>{secret}</BaseURL></MPD>',
        "pls": f"[playlist]\nFile1={secret}\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "marked": "\ufeff#EXTM3U\nhttp://127.0.0.1:9/a.mp3\n",
        "imf": '<?xml version="1.0"?><CompositionPlaylist></CompositionPlaylist>',
    }


@pytest.mark.parametrize("name", playlists(Path("x")))
@pytest.mark.parametrize("suffix", ["mp3", "wav", "m3u8", "m4a"])
def test_a_playlist_is_no_song(song: Callable[[str], Path], tmp_path: Path, name: str, suffix: str) -> None:
    secret = tmp_path / "private.wav"
    secret.write_bytes(song("wav").read_bytes())
    path = tmp_path / f"song.{suffix}"
    path.write_text(playlists(secret)[name])
    with pytest.raises(InputError, match=rf"song\.{suffix}: (is a playlist|cannot be read by ffprobe)"):
        length(path, tmp_path)
    assert list((tmp_path / "work").iterdir()) == []
    for demuxer in (None, "mp3", "mov"):  # ffprobe alone refuses it as well
        with pytest.raises(InputError):
            ffmpeg.probe(path, demuxer)


def test_a_song_is_known_by_its_content_whatever_its_name(song: Callable[[str], Path], noise: np.ndarray, tmp_path: Path) -> None:
    for name in ("song.m3u8", "song.ffconcat", "song.txt", "song"):
        (tmp_path / name).write_bytes(song("wav").read_bytes())
        np.testing.assert_array_equal(read_wav(tmp_path / name)[0].T * 32768, noise)


# --- absurd headers


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (24, struct.pack("<I", 1), "says 1 Hz; expected 1000 to 768000 Hz"),
        (24, struct.pack("<I", 999), "says 999 Hz"),
        (24, struct.pack("<I", 2_000_000_000), "says 2000000000 Hz"),
        (24, struct.pack("<I", 0), "expected an audio file"),
        (24, struct.pack("<I", 1 << 31), "expected an audio file"),
        (22, struct.pack("<H", 1000), "says 1000 channels; expected 1 to 32"),
        (22, struct.pack("<H", 0), "expected an audio file"),
    ],
)
def test_absurd_rates_and_channels_are_refused(song: Callable[[str], Path], tmp_path: Path, place: int, value: bytes, message: str) -> None:
    content = bytearray(song("wav").read_bytes())
    content[place : place + len(value)] = value
    (tmp_path / "odd.wav").write_bytes(content)
    with pytest.raises(InputError, match=message):
        length(tmp_path / "odd.wav", tmp_path)


@pytest.mark.parametrize("n_samples", [1, (1 << 36) - 1])
def test_a_flac_that_promises_other_lengths(song: Callable[[str], Path], tmp_path: Path, n_samples: int) -> None:
    content = bytearray(song("flac").read_bytes())
    packed = int.from_bytes(content[18:26], "big") >> 36 << 36 | n_samples
    content[18:26] = packed.to_bytes(8, "big")
    (tmp_path / "odd.flac").write_bytes(content)
    if n_samples > 1:
        with pytest.raises(InputError, match=CUT_WORDS):
            length(tmp_path / "odd.flac", tmp_path)
    else:
        length(tmp_path / "odd.flac", tmp_path)


def test_what_is_too_long_is_refused(song: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("madsep.data.audio.MAX_WHOLE_SAMPLES", N_SAMPLES)
    with pytest.raises(InputError, match="the limit for files read whole"):
        read_wav(song("flac"))
    monkeypatch.setattr("madsep.data.audio.MAX_SONG_HOURS", 1 / 3600)
    with pytest.raises(InputError, match=r"is longer than .* hours"):
        length(song("flac"), tmp_path)


def test_a_file_of_countless_chunks_is_refused(tmp_path: Path) -> None:
    content = b"RIFF" + struct.pack("<I", 0) + b"WAVE" + (b"junk" + bytes(4)) * (MAX_CHUNKS + 1)
    (tmp_path / "chunks.wav").write_bytes(content)
    with pytest.raises(InputError, match=f"more than {MAX_CHUNKS} chunks"):
        read_wav(tmp_path / "chunks.wav")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for path, message in (("/dev/zero", "not a regular file"), (tmp_path / "loop", "no such file|cannot be read"), (tmp_path, "a folder")):
        with pytest.raises(InputError, match=message):
            examine_audio(Path(path))
    with pytest.raises(InputError, match="cannot be read"):
        examine_audio(tmp_path / ("x" * 300))


def test_damaged_headers_end_as_plain_lines(song: Callable[[str], Path], tmp_path: Path) -> None:
    """Bytes of the first hundred changed at random, with a fixed seed: right numbers or one line."""
    rng = np.random.default_rng(1)
    for kind in ("wav", "flac", "aiff", "w64"):
        content = song(kind).read_bytes()[:40_000]
        for number in range(12):
            damaged = bytearray(content)
            for place in rng.integers(0, 100, 3):
                damaged[place] = rng.integers(256)
            path = tmp_path / f"{kind}{number}"
            path.write_bytes(damaged)
            try:
                found = load_song(path, tmp_path / "work", RATE_HZ)
            except InputError as error:
                assert path.name in str(error)
            else:
                assert np.isfinite(found.original).all()
