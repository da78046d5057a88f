import errno
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import butter, hilbert, sosfiltfilt

from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.synth import dataset, make_dataset
from madsep.synth.composition import Syllable, compose, write_melody
from madsep.synth.instruments import BASSES, KEYBOARDS_AND_GUITARS, tone
from madsep.synth.names import track_name
from madsep.synth.voice import Singer, draw_singer, sing

RATE_HZ = 44100
STEMS = ("vocals", "drums", "bass", "other")
SINGER = Singer(45, 60, 1.0, 800.0, 0.03, 5.7, 0.5, 35.0, 0.8)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("synth") / "musdb"
    make_dataset(folder, n_train=2, n_test=3, duration_s=6.5, seed=7)
    return folder


def tracks(root):
    return sorted(root.glob("*/*"))


def digests(root):
    return {str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*.wav"))}


def read(track, stem):
    return sf.read(track / f"{stem}.wav", dtype="int16")[0].astype(np.int64)


def test_layout_and_format(root):
    assert sorted(path.name for path in root.iterdir()) == [".madsep-synth", "test", "train"]
    assert len(list((root / "train").iterdir())) == 2
    assert len(list((root / "test").iterdir())) == 3
    for track in tracks(root):
        assert sorted(path.stem for path in track.iterdir()) == sorted(("mixture", *STEMS))
        for path in track.iterdir():
            info = sf.info(path)
            assert (info.samplerate, info.channels, info.frames) == (RATE_HZ, 2, round(6.5 * RATE_HZ))
            assert (info.format, info.subtype) == ("WAV", "PCM_16")


def test_mixture_is_the_exact_sum_and_does_not_clip(root):
    for track in tracks(root):
        mixture = read(track, "mixture")
        np.testing.assert_array_equal(mixture, sum(read(track, stem) for stem in STEMS))
        assert 0.5 < np.max(np.abs(mixture)) / 32768 < 0.95


def test_mixture_scores_between_minus_3_and_3_db(root):
    for track in tracks(root):
        mixture, vocals = read(track, "mixture"), read(track, "vocals")
        frames_db = []
        for start in range(0, len(mixture) - RATE_HZ + 1, RATE_HZ):
            m, v = mixture[start : start + RATE_HZ], vocals[start : start + RATE_HZ]
            frames_db.append(10 * np.log10(np.sum(v**2) / np.sum((m - v) ** 2)))
        assert len(frames_db) == 6
        assert -3 < np.median(frames_db) < 3


def test_museval_agrees_that_the_mixture_scores_between_minus_3_and_3_db(tmp_path):
    museval = pytest.importorskip("museval")
    make_dataset(tmp_path / "musdb", 1, 1, 3.0, seed=3)
    for track in tracks(tmp_path / "musdb"):
        mixture, vocals = read(track, "mixture") / 32768, read(track, "vocals") / 32768
        references = np.stack([vocals, mixture - vocals])
        sdr, *_ = museval.metrics.bss_eval(references, np.stack([mixture, mixture]), window=RATE_HZ, hop=RATE_HZ)
        assert sdr.shape == (2, 3)
        assert np.all(np.isfinite(sdr))
        assert -3 < np.median(sdr[0]) < 3


def test_no_stem_is_ever_digital_silence(root):
    for track, stem in itertools.product(tracks(root), STEMS):
        sounding = np.flatnonzero(np.any(read(track, stem), axis=1))
        assert np.max(np.diff(sounding, prepend=-1, append=round(6.5 * RATE_HZ))) < RATE_HZ // 100


def test_channels_differ(root):
    for track, stem in itertools.product(tracks(root), STEMS):
        left, right = read(track, stem).T
        assert np.sum((left - right) ** 2) > 1e-4 * np.sum(left**2)


def test_same_seed_same_bytes_in_another_process_and_whatever_the_number_of_tracks(root, tmp_path):
    code = "import sys; from madsep.synth import make_dataset; make_dataset(sys.argv[1], 1, 1, 6.5, 7)"
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "again")], check=True, env=environment)
    again, first = digests(tmp_path / "again"), digests(root)
    assert len(again) == 10
    assert again.items() <= first.items()
    assert len(set(first.values())) == len(first) == 25


def test_another_seed_gives_other_songs(tmp_path):
    make_dataset(tmp_path / "a", 1, 1, 0.5, seed=1)
    make_dataset(tmp_path / "b", 1, 1, 0.5, seed=2)
    assert not set(digests(tmp_path / "a").values()) & set(digests(tmp_path / "b").values())
    assert not {track.name for track in tracks(tmp_path / "a")} & {track.name for track in tracks(tmp_path / "b")}


@pytest.mark.parametrize("seed", range(12))
def test_half_a_second_is_enough_for_every_stem_to_sound(seed, tmp_path):
    make_dataset(tmp_path / "musdb", 1, 1, 0.5, seed)
    for track in tracks(tmp_path / "musdb"):
        energies = {stem: np.sum(read(track, stem) ** 2) for stem in STEMS}
        vocals_db = 10 * np.log10(energies["vocals"] / np.sum((read(track, "mixture") - read(track, "vocals")) ** 2))
        assert -3 < vocals_db < 3
        assert min(energies.values()) > 1e-3 * max(energies.values())


def test_names_are_unique_and_hold_what_real_names_hold():
    for seed in range(20):
        few = [track_name(subset, 0, seed) for subset in ("train", "test")]
        assert all(any(character in name for name in few) for character in " '&().")
        many = [track_name(subset, index, seed) for subset in ("train", "test") for index in range(150)]
        assert len(set(many)) == 300
        assert all(name.count(" - ") == 1 and name.isascii() and not set(name) & set('/\\:*?"<>|\n') for name in many)
        assert all(name == name.strip(" .") for name in many)


def test_names_are_not_those_of_real_tracks(shared):
    real = set(json.loads((shared / "data/sisec18/mus18_test_tracks.json").read_text()))
    assert len(real) == 50
    invented = {track_name(subset, index, seed) for subset in ("train", "test") for index in range(50) for seed in (0, 1)}
    assert not {name.casefold() for name in real} & {name.casefold() for name in invented}


@pytest.mark.parametrize("seed", range(20))
def test_melody_stays_in_range_and_key_and_rests(seed):
    rng = np.random.default_rng(seed)
    song, singer = compose(30.0, rng), draw_singer(rng)
    melody = write_melody(song, singer.lowest, singer.highest, rng)
    assert all(singer.lowest <= note.pitch <= singer.highest and note.pitch % 12 in song.scale for note in melody)
    starts = np.array([note.start_s for note in melody])
    ends = starts + [note.duration_s for note in melody]
    rests_s = starts[1:] - ends[:-1]
    assert np.min(rests_s) > -1e-9
    assert np.max(rests_s) < 1.5
    phrase_starts = starts[1:][rests_s > 0.3]
    assert np.max(np.diff(phrase_starts, prepend=0.0)) < 8.0
    for note in melody:
        beat = (note.start_s - song.time_s(0)) / song.beat_s
        if round(beat, 6) % 2 == 0:  # on the first and third beat of a bar
            assert note.pitch % 12 in song.chords[min(int(round(beat) // 4), song.n_bars - 1)]


@pytest.mark.parametrize("timbre", [*BASSES, *KEYBOARDS_AND_GUITARS])
def test_instruments_are_in_tune_without_offset_or_clicks(timbre):
    sound = tone(57, 1.0, timbre)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(RATE_HZ)))  # 1 Hz a bin
    assert abs(np.argmax(spectrum) - 220) <= 2
    assert abs(np.mean(sound)) < 0.02 * np.std(sound)
    assert np.max(np.abs(sound[[0, -1]])) < 1e-6
    assert np.max(np.abs(sound[-40:])) < 0.01 * np.max(np.abs(sound))


def voice_of(*syllables, seconds):
    return sing(syllables, SINGER, round(seconds * RATE_HZ), np.random.default_rng(0))


def sung_frequency_hz(voice, low_hz, high_hz):
    """Instantaneous frequency of the only partial between two frequencies."""
    sos = butter(4, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos")
    return np.diff(np.unwrap(np.angle(hilbert(sosfiltfilt(sos, voice))))) * RATE_HZ / (2 * np.pi)


def test_long_note_has_vibrato_after_a_straight_onset():
    voice = voice_of(Syllable(0.1, 3.8, 57, "", "uh", "uh"), seconds=4.0)
    frequency_hz = sung_frequency_hz(voice, 140, 310)  # A3 is 220 Hz, its second harmonic 440
    held = frequency_hz[RATE_HZ : 3 * RATE_HZ]
    assert abs(np.mean(held) - 220) < 2
    spectrum = np.abs(np.fft.rfft((held - np.mean(held)) * np.hanning(len(held)), 20 * RATE_HZ))
    rates_hz = np.fft.rfftfreq(20 * RATE_HZ, 1 / RATE_HZ)
    assert abs(rates_hz[np.argmax(spectrum * (rates_hz < 20))] - SINGER.vibrato_hz) < 0.4
    swing = np.std(held) * np.sqrt(2) / 220
    assert 0.7 < swing / (2 ** (SINGER.vibrato_depth / 12) - 1) < 1.4
    assert np.std(frequency_hz[RATE_HZ // 8 : RATE_HZ // 5]) < np.std(held) / 3


def test_pitch_slides_between_notes():
    voice = voice_of(Syllable(0.1, 0.3, 52, "", "uh", "uh"), Syllable(0.4, 0.3, 57, "", "uh", "uh"), seconds=0.8)
    frequency_hz = sung_frequency_hz(voice, 120, 260)[round(0.3 * RATE_HZ) : round(0.55 * RATE_HZ)]
    left = np.flatnonzero(frequency_hz < 164.8 + 0.15 * (220.0 - 164.8))[-1]
    arrived = np.flatnonzero(frequency_hz > 164.8 + 0.85 * (220.0 - 164.8))[0]
    assert 0.1 < left / RATE_HZ < 0.15
    assert 0.015 < (arrived - left) / RATE_HZ < 0.1


def envelope_peak_hz(sound, low_hz, high_hz):
    """Frequency of the strongest part of a spectrum smoothed over 200 Hz."""
    power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
    smooth = np.convolve(power, np.hanning(round(200 * len(sound) / RATE_HZ)), "same")
    frequencies_hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    inside = (frequencies_hz > low_hz) & (frequencies_hz < high_hz)
    return frequencies_hz[inside][np.argmax(smooth[inside])]


def test_formants_move_from_vowel_to_vowel():
    voice = voice_of(Syllable(0.1, 1.8, 45, "", "ah", "ee"), seconds=2.0)
    first, second = voice[RATE_HZ // 4 : RATE_HZ * 3 // 4], voice[RATE_HZ * 5 // 4 : RATE_HZ * 7 // 4]
    assert abs(envelope_peak_hz(first, 550, 3500) - 730) < 130 or abs(envelope_peak_hz(first, 550, 3500) - 1090) < 130
    assert abs(envelope_peak_hz(second, 120, 1000) - 270) < 130
    assert abs(envelope_peak_hz(second, 1200, 2700) - 2290) < 150


def test_consonant_hisses_before_its_vowel_and_vowels_join_without_clicks():
    voice = voice_of(
        Syllable(0.3, 0.4, 50, "s", "ah", "ah"),
        Syllable(0.7, 0.4, 53, "", "ee", "ee"),
        seconds=1.2,
    )
    high = sosfiltfilt(butter(4, 5000, "highpass", fs=RATE_HZ, output="sos"), voice)

    def level(start_s, stop_s):
        return np.sqrt(np.mean(high[round(start_s * RATE_HZ) : round(stop_s * RATE_HZ)] ** 2))

    assert level(0.22, 0.28) > 10 * level(0.45, 0.6)
    assert level(0.66, 0.74) < 3 * max(level(0.45, 0.6), level(0.85, 1.0))


@pytest.mark.parametrize(
    ("n_train", "n_test", "duration_s", "seed", "message"),
    [
        (0, 1, 1.0, 0, "at least one"),
        (1, -1, 1.0, 0, "at least one"),
        (1, 1, 0.49, 0, "at least 0.5 s"),
        (1, 1, float("nan"), 0, "at least 0.5 s"),
        (1, 1, 1.0, -1, "seed"),
    ],
)
def test_impossible_requests_leave_nothing_behind(n_train, n_test, duration_s, seed, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make_dataset(tmp_path / "new/musdb", n_train, n_test, duration_s, seed)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        make_dataset(tmp_path, 1, 1, 0.5, 0)
    for below in ("notes.txt", "notes.txt/musdb", "notes.txt/new/musdb"):
        with pytest.raises(InputError, match="is a file"):
            make_dataset(tmp_path / below, 1, 1, 0.5, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk_leaves_nothing_behind(existed, tmp_path, monkeypatch):
    target = tmp_path / "musdb"
    if existed:
        target.mkdir()
    calls = itertools.count()
    real_write = sf.SoundFile.write

    def write(*arguments):
        if next(calls) == 7:
            raise OSError(errno.ENOSPC, "No space left on device")
        real_write(*arguments)

    monkeypatch.setattr(sf.SoundFile, "write", write)
    with pytest.raises(InputError, match="disk is full"):
        make_dataset(target, 2, 1, 0.5, 0)
    assert next(calls) == 8
    assert target.exists() == existed
    assert list(tmp_path.rglob("*")) == ([target] if existed else [])


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "render_song", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_dataset(tmp_path / "musdb", 1, 1, 0.5, 0)
    assert list(tmp_path.iterdir()) == []
