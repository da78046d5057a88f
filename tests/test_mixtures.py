"""Mixtures on disk: wavs, stem files, folders of them, and prepared tracks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from prepared_tracks import AWKWARD_NAMES, write_prepared_track

from madsep.core.errors import InputError
from madsep.data import mixtures
from madsep.data.mixtures import find_mixtures, prepared_mixtures
from madsep.data.tracks import Track


def write_wav(path: Path, value: float = 0.5, rate_hz: int = 44_100) -> Path:
    """Ten stereo samples: `value` on the left, silence on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.array([[value, 0.0]] * 10), rate_hz)
    return path


def test_a_wav_a_track_and_a_folder_of_both_are_found_in_order(tmp_path: Path) -> None:
    song = write_wav(tmp_path / "song.WAV", 0.25)
    write_wav(tmp_path / "album/B/mixture.wav")
    write_wav(tmp_path / "album/A.wav")
    (tmp_path / "album/notes.txt").touch()
    (tmp_path / "album/empty").mkdir()
    found = find_mixtures([song, tmp_path / "album"])
    assert [mixture.name for mixture in found] == ["song", "A", "B"]
    audio, rate_hz = found[0].load()
    assert (audio.shape, rate_hz) == ((2, 10), 44_100)
    np.testing.assert_array_equal(found[0].mono(44_100), np.full(10, 0.125, np.float32))
    assert [mixture.name for mixture in find_mixtures([tmp_path / "album/B"])] == ["B"]


def test_flacs_are_mixtures_like_wavs(tmp_path: Path) -> None:
    for name in ("A/mixture.flac", "B/mix.wav", "C.flac", "D/vocals.flac"):
        write_wav(tmp_path / name, 0.25)
    assert [mixture.name for mixture in find_mixtures([tmp_path])] == ["A", "B", "C"]
    for mixture in find_mixtures([tmp_path]):
        np.testing.assert_array_equal(mixture.load()[0][0], np.full(10, 0.25, np.float32))


def test_a_stem_file_is_read_through_its_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "A - B.stem.mp4"
    path.touch()
    asked: list[Track] = []

    def read_stems(track: Track) -> dict[str, np.ndarray]:
        asked.append(track)
        return {"mixture": np.ones((2, 3), np.float32)}

    monkeypatch.setattr(mixtures, "read_stems", read_stems)
    (mixture,) = find_mixtures([path])
    assert mixture.name == "A - B" and asked == []
    audio, rate_hz = mixture.load()
    assert (audio.shape, rate_hz) == ((2, 3), 44_100)
    assert asked[0].source_files() == {"stems": path}


def test_prepared_tracks_of_any_name_are_mixtures(tmp_path: Path) -> None:
    tracks = [
        write_prepared_track(tmp_path, name, {"vocals": np.zeros((2, 4)), "mixture": np.full((2, 4), number)}, 16_000)
        for number, name in enumerate(AWKWARD_NAMES, start=1)
    ]
    found = prepared_mixtures(tracks)
    assert [mixture.name for mixture in found] == list(AWKWARD_NAMES)
    assert [mixture.mono(16_000)[0] for mixture in found] == list(range(1, len(tracks) + 1))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["none"], r"none: no such file or folder\.$"),
        (["notes.txt"], r"notes\.txt: is not a wav, a flac or a stem file\.$"),
        (["prepared.json"], r"prepared\.json: is not a wav, a flac or a stem file\.$"),
        (["empty"], r"empty: holds no tracks; expected folders with mixture\.wav or \.flac, such files, or \*\.stem\.mp4\.$"),
        (["song.wav", "again/song.wav"], r"^song: is given 2 times; expected each track once\.$"),
    ],
)
def test_what_is_no_mixture_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in ("song.wav", "again/song.wav"):
        write_wav(tmp_path / name)
    for name in ("notes.txt", "prepared.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "empty/empty").mkdir(parents=True)
    with pytest.raises(InputError, match=message):
        find_mixtures([tmp_path / name for name in names])


def test_another_rate_and_silence_are_refused(tmp_path: Path) -> None:
    (song,) = find_mixtures([write_wav(tmp_path / "song.wav", rate_hz=16_000)])
    with pytest.raises(InputError, match=r"^song: has a sample rate of 16000 Hz, the checkpoint's is 44100 Hz; resample it first\.$"):
        song.mono(44_100)
    (silence,) = find_mixtures([write_wav(tmp_path / "silence.wav", 0.0)])
    with pytest.raises(InputError, match=r"^silence: is silent throughout"):
        silence.mono(44_100)
