"""ffmpeg and ffprobe: found or not, what they read and what they refuse."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from madsep.core import ffmpeg
from madsep.core.errors import InputError
from madsep.core.ffmpeg import AudioStream


def make_aac(path: Path) -> Path:
    wav = path.with_suffix(".wav")
    sf.write(wav, np.random.default_rng(0).uniform(-0.5, 0.5, (22_050, 2)), 44_100)
    subprocess.run(["ffmpeg", "-v", "error", "-i", wav, "-c:a", "aac", path], check=True)
    return path


def test_ffmpeg_version_is_what_ffmpeg_prints() -> None:
    text = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout
    assert text.startswith(f"ffmpeg version {ffmpeg.ffmpeg_version()} ")


@pytest.mark.parametrize("present", [[], ["ffmpeg"], ["ffprobe"]])
def test_missing_ffmpeg_is_named_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: list[str]) -> None:
    for name in present:
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = " and ".join(name for name in ("ffmpeg", "ffprobe") if name not in present)
    with pytest.raises(InputError, match=f"^{missing} not found .*apt-get install ffmpeg.*brew install ffmpeg"):
        ffmpeg.ffmpeg_version()


def test_decode_blocks_reports_a_failing_ffmpeg(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.m4a: ffmpeg cannot decode it \(.*No such file"):
        list(ffmpeg.decode_blocks(tmp_path / "gone.m4a", AudioStream(44_100, 2, None), 100))


def test_probe_reads_every_audio_stream_and_no_other(shared: Path) -> None:
    (path,) = (shared / "data/musdb_sample/train").iterdir()  # five AAC streams and a cover picture
    assert ffmpeg.probe(path) == [AudioStream(44_100, 2, 6.8)] * 5


def test_probe_refuses_what_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("text")
    with pytest.raises(InputError, match=r"^\S*/text\.mp4: cannot be read by ffprobe \(Invalid data"):
        ffmpeg.probe(tmp_path / "text.mp4")


def test_names_that_look_like_options_or_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-i.wav", "http:song.wav", "it's 50% [x].wav"):
        sf.write(name, np.full((100, 1), 0.25), 8000)
        assert ffmpeg.probe(name) == [AudioStream(8000, 1, 0.0125)]
        blocks = list(ffmpeg.decode_blocks(name, AudioStream(8000, 1, None), 64))
        assert [block.shape for block in blocks] == [(64, 1), (36, 1)]
        assert np.concatenate(blocks).tolist() == [[0.25]] * 100


def test_check_mp4_size_sees_a_missing_byte(tmp_path: Path) -> None:
    path = make_aac(tmp_path / "a.mp4")
    ffmpeg.check_mp4_size(path)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"a\.mp4: .*promises {size} bytes and it has {size - 1};"):
        ffmpeg.check_mp4_size(path)
    ffmpeg.check_mp4_size(tmp_path / "a.wav")  # of another kind: not its matter
    with pytest.raises(InputError, match="no such file"):
        ffmpeg.check_mp4_size(tmp_path / "gone.mp4")


def test_check_mp4_size_knows_long_and_open_ended_boxes(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    start = (8).to_bytes(4, "big") + b"ftyp"
    long = (1).to_bytes(4, "big") + b"mdat" + (20).to_bytes(8, "big") + b"data"
    path.write_bytes(start + long)
    ffmpeg.check_mp4_size(path)
    path.write_bytes((start + long)[:-1])
    with pytest.raises(InputError, match="promises 28 bytes and it has 27"):
        ffmpeg.check_mp4_size(path)
    path.write_bytes(start + bytes(4) + b"mdat" + b"to the end")
    ffmpeg.check_mp4_size(path)


def test_a_complaint_of_ffmpeg_is_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = make_aac(tmp_path / "a.m4a")
    content = bytearray(path.read_bytes())
    middle = content.index(b"mdat") + 2000
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    with caplog.at_level("WARNING", "madsep"):
        n_samples = sum(len(block) for block in ffmpeg.decode_blocks(path, AudioStream(44_100, 2, None), 1000))
    assert n_samples > 10_000
    assert "a.m4a: ffmpeg decoded it with a complaint: " in caplog.text
