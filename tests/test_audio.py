"""Audio in and out against samples whose values are known."""

import resource
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from madsep.core.errors import InputError
from madsep.data import audio, wav_writer

RATE_HZ = 44_100


def write_pcm16(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Write int16 samples of shape (n_channels, n_samples)."""
    sf.write(path, samples.T, rate_hz, subtype="PCM_16", format="WAV")
    return path


def noise(n_channels: int, n_samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, (n_channels, n_samples)).astype(np.int16)


def tones(rate_hz: int, duration_s: float) -> np.ndarray:
    time_s = np.arange(int(rate_hz * duration_s)) / rate_hz
    left = 0.4 * np.sin(2 * np.pi * 1000 * time_s) + 0.3 * np.sin(2 * np.pi * 5000 * time_s)
    return np.stack([left, 0.5 * left[::-1]]).astype(np.float32)


def test_read_wav_gives_the_16_bit_values_exactly(tmp_path: Path) -> None:
    samples = noise(2, 1000)
    found, rate_hz = audio.read_wav(write_pcm16(tmp_path / "Al's (Band) & Co. - 1.wav", samples))
    assert rate_hz == RATE_HZ
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found * 32768, samples)


def test_read_wav_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.wav: no such file"):
        audio.read_wav(tmp_path / "gone.wav")
    with pytest.raises(InputError, match="is a folder"):
        audio.read_wav(tmp_path)


def test_read_wav_refuses_what_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio at all")
    with pytest.raises(InputError, match=r"text\.wav: cannot be read by ffprobe .*; expected an audio file such as wav"):
        audio.read_wav(tmp_path / "text.wav")


@pytest.mark.parametrize("n_missing", [1, 2000, 3990])
def test_read_wav_refuses_a_truncated_file(tmp_path: Path, n_missing: int) -> None:
    path = write_pcm16(tmp_path / "cut.wav", noise(2, 1000))
    path.write_bytes(path.read_bytes()[:-n_missing])
    with pytest.raises(InputError, match=f"promises 4000 bytes of audio and it holds {4000 - n_missing};"):
        audio.read_wav(path)


def test_read_wav_sees_past_other_chunks_to_the_truncation(tmp_path: Path) -> None:
    content = write_pcm16(tmp_path / "whole.wav", noise(1, 100)).read_bytes()
    extra = b"LIST" + (5).to_bytes(4, "little") + b"12345" + b"\0"  # an odd size is padded to an even one
    path = tmp_path / "extra.wav"
    path.write_bytes(content[:36] + extra + content[36:])
    assert audio.read_wav(path)[0].shape == (1, 100)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(InputError, match="promises 200 bytes of audio and it holds 190"):
        audio.read_wav(path)


def test_read_wav_accepts_the_unknown_size_of_a_pipe(tmp_path: Path) -> None:
    samples = noise(1, 500)
    content = bytearray(write_pcm16(tmp_path / "piped.wav", samples).read_bytes())
    content[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "piped.wav").write_bytes(content)
    np.testing.assert_array_equal(audio.read_wav(tmp_path / "piped.wav")[0] * 32768, samples)


def test_read_wav_refuses_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no samples"):
        audio.read_wav(write_pcm16(tmp_path / "empty.wav", np.zeros((2, 0), np.int16)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_read_wav_tells_where_the_first_bad_sample_is(tmp_path: Path, bad: float) -> None:
    samples = np.zeros((2, RATE_HZ), np.float32)
    samples[1, 22_050] = samples[0, 40_000] = bad
    sf.write(tmp_path / "bad.wav", samples.T, RATE_HZ, subtype="FLOAT")
    with pytest.raises(InputError, match=r"the first at 0\.500 s"):
        audio.read_wav(tmp_path / "bad.wav")


def test_quantise_gives_the_value_that_is_read_back(tmp_path: Path) -> None:
    values = np.array([[0.0, 1.4, 1.6, -1.6, 32767.2, -32768.4, 32768.0, 40000.0, -40000.0]]) / 32768
    hand = np.array([[0, 1, 2, -2, 32767, -32768, 32767, 32767, -32768]])
    np.testing.assert_array_equal(wav_writer.quantise(values) * 32768, hand)
    assert wav_writer.quantise(values).dtype == np.float32
    path = tmp_path / "a.wav"
    with wav_writer.WavWriter(path, 8000, (1, 999), "PCM_16") as writer:
        writer.write(values[:, :4])
        writer.write(values[:, 4:])
    assert writer.n_clipped == 3
    found, rate_hz = audio.read_wav(path)
    assert rate_hz == 8000
    np.testing.assert_array_equal(found, wav_writer.quantise(values))
    assert sf.info(path).subtype == "PCM_16"


def test_pcm16_writer_is_lossless_for_16_bit(tmp_path: Path) -> None:
    samples = noise(6, 999)
    with wav_writer.WavWriter(tmp_path / "a.wav", RATE_HZ, (6, 999), "PCM_16") as writer:
        for start in range(0, 999, 100):
            writer.write(samples[:, start : start + 100].astype(np.float32) / 32768)
    assert writer.n_clipped == 0
    np.testing.assert_array_equal(sf.read(tmp_path / "a.wav", dtype="int16")[0].T, samples)


def test_pcm16_writer_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", noise(1, 10))
    before = path.read_bytes()
    with pytest.raises(KeyError), wav_writer.WavWriter(path, RATE_HZ, (1, 999), "PCM_16") as writer:
        writer.write(np.zeros((1, 100)))
        raise KeyError
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("block", [np.zeros((1, 5)), np.zeros(5), np.full((2, 5), np.nan)])
def test_pcm16_writer_refuses_other_shapes_and_nan(tmp_path: Path, block: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a\.wav"), wav_writer.WavWriter(tmp_path / "a.wav", RATE_HZ, (2, 999), "PCM_16") as writer:
        writer.write(block)
    assert list(tmp_path.iterdir()) == []


def test_pcm16_writer_leaves_nothing_when_the_system_refuses_to_write_more(tmp_path: Path) -> None:
    # A limit on the size of files makes libsndfile fail as a full disk does: "System error"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        refused = pytest.raises(InputError, match=r"a\.wav: cannot be written")
        with refused, wav_writer.WavWriter(tmp_path / "a.wav", RATE_HZ, (2, 999), "PCM_16") as writer:
            for _ in range(10):
                writer.write(np.zeros((2, 10_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("n_channels", [1, 2, 6])
def test_load_song_keeps_the_samples_of_lossless_files(tmp_path: Path, suffix: str, n_channels: int) -> None:
    samples = noise(n_channels, 1000)
    path = tmp_path / f"My 'song' (live).{suffix}"
    sf.write(path, samples.T, RATE_HZ, subtype="PCM_16")
    song = audio.load_song(path, tmp_path, RATE_HZ)
    assert song.sample_rate_hz == RATE_HZ
    assert song.audio is song.original
    np.testing.assert_array_equal(song.original * 32768, samples)


def test_load_song_reads_more_than_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 64)
    samples = noise(2, 1000)
    wav = write_pcm16(tmp_path / "a.wav", samples)
    song = audio.load_song(wav, tmp_path / "whole", RATE_HZ)
    np.testing.assert_array_equal(song.audio * 32768, samples)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-c:a", "alac", tmp_path / "a.m4a"], check=True)
    song = audio.load_song(tmp_path / "a.m4a", tmp_path / "m4a", RATE_HZ)
    np.testing.assert_array_equal(song.audio * 32768, samples)


@pytest.mark.parametrize("codec", [("mp3", "libmp3lame"), ("ogg", "libvorbis"), ("m4a", "aac"), ("opus", "libopus")])
def test_load_song_reads_lossy_files(tmp_path: Path, codec: tuple[str, str]) -> None:
    suffix, encoder = codec
    wav, path = tmp_path / "a.wav", tmp_path / f"a.{suffix}"
    sf.write(wav, tones(48_000, 1.0).T, 48_000)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-c:a", encoder, "-b:a", "192k", path], check=True)
    song = audio.load_song(path, tmp_path / "work", RATE_HZ)
    assert song.sample_rate_hz == 48_000
    assert song.original.shape[0] == song.audio.shape[0] == 2
    assert abs(song.original.shape[1] / 48_000 - 1) < 0.1
    spectrum = np.abs(np.fft.rfft(song.audio[0, 8000:30_050]))  # bins of 2 Hz
    assert int(np.argmax(spectrum)) == 500


def test_load_song_cleans_up_when_neither_reader_can_read(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp3"
    path.write_text("not a song " * 100)
    with pytest.raises(InputError, match=r"notes\.mp3: cannot be read by ffprobe .*; expected an audio file"):
        audio.load_song(path, tmp_path / "work", RATE_HZ)
    assert list((tmp_path / "work").iterdir()) == []


def test_load_song_says_so_without_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.m4a"
    path.write_bytes(b"\0" * 100)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"ffmpeg and ffprobe not found"):
        audio.load_song(path, tmp_path / "work", RATE_HZ)


def test_load_song_refuses_a_file_without_audio(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    picture = ["-f", "lavfi", "-i", "color=size=16x16:rate=1:duration=1"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, path], check=True)
    with pytest.raises(InputError, match="finds no audio in it"):
        audio.load_song(path, tmp_path / "work", RATE_HZ)


def test_load_song_refuses_missing_truncated_damaged_empty_and_bad_files(tmp_path: Path) -> None:
    wav = write_pcm16(tmp_path / "cut.wav", noise(2, 1000))
    wav.write_bytes(wav.read_bytes()[:-100])
    flac = tmp_path / "cut.flac"
    sf.write(flac, noise(2, 100_000).T, RATE_HZ)
    flac.write_bytes(flac.read_bytes()[:100_000])
    bad = tmp_path / "bad.wav"
    samples = np.zeros(100_000, np.float32)
    samples[88_200] = np.nan
    sf.write(bad, samples, RATE_HZ, subtype="FLOAT")
    empty = write_pcm16(tmp_path / "empty.wav", np.zeros((1, 0), np.int16))
    expected = {
        tmp_path / "gone.wav": "no such file",
        wav: "truncated",
        flac: "is damaged",
        bad: r"the first at 2\.000 s",
        empty: "holds no samples",
    }
    for path, message in expected.items():
        with pytest.raises(InputError, match=rf"{path.name}: .*{message}"):
            audio.load_song(path, tmp_path / "work", RATE_HZ)


@pytest.mark.parametrize("rate_hz", [8000, 22_050, 48_000, 96_000])
def test_an_impulse_keeps_its_place_there_and_back(tmp_path: Path, rate_hz: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 1000)
    n_samples, place = rate_hz // 2 + 7, rate_hz // 4
    samples = np.zeros((1, n_samples), np.int16)
    samples[0, place] = 20_000
    song = audio.load_song(write_pcm16(tmp_path / "a.wav", samples, rate_hz), tmp_path, RATE_HZ)
    assert abs(int(np.argmax(song.audio[0])) - place / rate_hz * RATE_HZ) <= 0.5
    assert song.audio.shape[1] == -(-n_samples * RATE_HZ // rate_hz)
    back = audio.resample_to_length(song.audio, RATE_HZ, rate_hz, n_samples, tmp_path / "back.f32")
    assert back.shape == (1, n_samples)
    assert int(np.argmax(back[0])) == place


def test_tones_come_back_within_80_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 10_007)
    path = tmp_path / "tones.wav"
    original = tones(48_000, 1.0)
    sf.write(path, original.T, 48_000, subtype="FLOAT")
    song = audio.load_song(path, tmp_path, RATE_HZ)
    back = audio.resample_to_length(song.audio, RATE_HZ, 48_000, 48_000, tmp_path / "back.f32")
    inner = slice(2000, -2000)
    error = back[:, inner] - original[:, inner]
    assert 10 * np.log10(np.sum(original[:, inner] ** 2) / np.sum(error**2)) > 80


def test_noise_comes_back_without_a_shift(tmp_path: Path) -> None:
    song = audio.load_song(write_pcm16(tmp_path / "a.wav", noise(1, 20_000), 48_000), tmp_path, RATE_HZ)
    back = audio.resample_to_length(song.audio, RATE_HZ, 48_000, 20_000, tmp_path / "back.f32")
    lags = np.correlate(back[0, 1000:9000], song.original[0, 900:9100], mode="valid")
    assert int(np.argmax(lags)) == 100


@pytest.mark.parametrize("n_samples", [1, 90, 100, 111])
def test_resample_to_length_trims_and_pads_with_zeros(tmp_path: Path, n_samples: int) -> None:
    samples = np.arange(200, dtype=np.float32).reshape(2, 100)
    found = audio.resample_to_length(samples, 8000, 8000, n_samples, tmp_path / "a.f32")
    expected = np.pad(samples, ((0, 0), (0, 20)))[:, :n_samples]
    np.testing.assert_array_equal(found, expected)


def test_load_song_of_one_sample(tmp_path: Path) -> None:
    song = audio.load_song(write_pcm16(tmp_path / "a.wav", noise(1, 1), 96_000), tmp_path, RATE_HZ)
    assert song.original.shape == song.audio.shape == (1, 1)
