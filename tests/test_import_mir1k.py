"""The tree made from MIR-1K: the channels sample for sample, their sum, who trains, and what is refused."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from clips import RATE_HZ, make_clips

from madsep.core.errors import InputError
from madsep.data.import_mir1k import import_mir1k

NAMES = {"train": ["Abjones_2_01", "amy_1_01"], "test": ["Ani_1_01", "annar_3_02", "amyx_1_01", "titon_1_01"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Clips of both subsets; those of one name are louder than full scale together."""
    return make_clips(tmp_path / "MIR-1K", [*NAMES["train"], *NAMES["test"]], peak=32767)


def refuse(source: Path, destination: Path, *messages: str) -> None:
    before = sorted(destination.parent.iterdir())
    with pytest.raises(InputError) as refused:
        import_mir1k(source, destination)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(messages)
    for line, message in zip(lines, messages, strict=True):
        assert message in line
    assert sorted(destination.parent.iterdir()) == before


def check_tree(source: Path, tree: Path) -> None:
    """Every clip below `source` is in the tree, bit for bit, and nothing else is."""
    clips = {path.stem: path for path in source.iterdir()}
    folders = {folder.name: folder for subset in ("train", "test") for folder in (tree / subset).iterdir()}
    assert folders.keys() == clips.keys()
    for name, folder in folders.items():
        left, right = sf.read(clips[name], dtype="int16", always_2d=True)[0].T
        assert {path.name for path in folder.iterdir()} == {"mixture.wav", "accompaniment.wav", "vocals.wav"}
        for stem, expected in (("accompaniment", left), ("vocals", right)):
            info = sf.info(folder / f"{stem}.wav")
            assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 1, "PCM_16")
            np.testing.assert_array_equal(sf.read(folder / f"{stem}.wav", dtype="int16")[0], expected)
        mixture, rate_hz = sf.read(folder / "mixture.wav")
        assert rate_hz == RATE_HZ and sf.info(folder / "mixture.wav").subtype == "FLOAT"
        np.testing.assert_array_equal(mixture * 32768, left.astype(int) + right)


@pytest.mark.parametrize("inside", [".", "Wavfile"])
def test_channels_are_kept_and_two_singers_train(source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, inside: str) -> None:
    tree = tmp_path / "new" / "tree"
    with caplog.at_level(logging.INFO, "madsep"):
        import_mir1k(source / inside, tree)
    check_tree(source / "Wavfile", tree)
    assert {subset: sorted(path.name for path in (tree / subset).iterdir()) for subset in NAMES} == {k: sorted(v) for k, v in NAMES.items()}
    assert [record.getMessage() for record in caplog.records] == [f"{tree}: 2 training and 4 test clips; all of MIR-1K has 175 and 825"]
    assert np.abs(sf.read(tree / "test/Ani_1_01/mixture.wav")[0]).max() > 1
    assert [path.name for path in tree.parent.iterdir()] == ["tree"]


def test_a_second_import_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        import_mir1k(source, tmp_path / name)
    for path in (tmp_path / "one").rglob("*.wav"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_an_empty_folder_is_filled(source: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    import_mir1k(source, tmp_path / "tree")
    check_tree(source / "Wavfile", tmp_path / "tree")


def test_a_folder_in_use_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "mine").touch()
    refuse(source, tmp_path / "tree", f"{tmp_path}/tree: the folder is not empty")
    refuse(source, tmp_path / "tree" / "mine", "mine: is a file")


def test_sources_without_clips(tmp_path: Path) -> None:
    refuse(tmp_path / "gone", tmp_path / "tree", "gone: no such folder; give MIR-1K's folder or its Wavfile folder")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    refuse(tmp_path / "empty", tmp_path / "tree", "empty: no .wav or .flac clips in it")


def test_every_faulty_clip_is_named(source: Path, tmp_path: Path) -> None:
    clips = source / "Wavfile"
    samples = np.random.default_rng(0).integers(-99, 99, (800, 2), dtype=np.int16)
    sf.write(clips / "a_1.wav", samples, 44_100)
    sf.write(clips / "b_1.wav", samples[:, 0], RATE_HZ)
    sf.write(clips / "c_1.flac", samples * np.int16([1, 0]), RATE_HZ, subtype="PCM_16")
    sf.write(clips / "d_1.flac", samples * np.int16([0, 1]), RATE_HZ, subtype="PCM_16")
    (clips / "e_1.wav").write_text("text")
    sf.write(clips / "f_1.wav", samples, RATE_HZ)
    (clips / "f_1.wav").write_bytes((clips / "f_1.wav").read_bytes()[:-40])
    sf.write(clips / "g_1.wav", samples / 32768, RATE_HZ, subtype="FLOAT")
    refuse(
        source,
        tmp_path / "tree",
        f"{clips}/a_1.wav: expected 16000 Hz, 2 channels, PCM_16, found 44100 Hz, 2 channels, PCM_16.",
        f"{clips}/b_1.wav: expected 16000 Hz, 2 channels, PCM_16, found 16000 Hz, 1 channels, PCM_16.",
        f"{clips}/c_1.flac: the channel of the vocals is silent",
        f"{clips}/d_1.flac: the channel of the accompaniment is silent",
        f"{clips}/e_1.wav: cannot be read as audio",
        f"{clips}/f_1.wav: the file is truncated",
        f"{clips}/g_1.wav: expected 16000 Hz, 2 channels, PCM_16, found 16000 Hz, 2 channels, FLOAT.",
    )


def test_a_truncated_flac_is_named(source: Path, tmp_path: Path) -> None:
    clip = source / "Wavfile" / "Ani_1_01.flac"
    clip.write_bytes(clip.read_bytes()[:-400])
    refuse(source, tmp_path / "tree", f"{clip}: ")


def test_many_faults_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "clips"
    source.mkdir()
    for number in range(13):
        (source / f"x_{number:02d}.wav").write_text("text")
    refuse(source, tmp_path / "tree", *[f"x_{number:02d}.wav: cannot be read" for number in range(10)], "... and 3 more faulty clips.")


def test_a_clip_in_both_formats_is_refused(source: Path, tmp_path: Path) -> None:
    sf.write(source / "Wavfile" / "Ani_1_01.wav", np.ones((10, 2), np.int16), RATE_HZ)
    refuse(source, tmp_path / "tree", "the clip Ani_1_01 exists twice, as .wav and as .flac")


def test_real_clips(shared: Path, tmp_path: Path) -> None:
    source = tmp_path / "Wavfile"
    source.mkdir()
    for name in ("abjones_1_01", "amy_10_01", "Ani_1_01", "titon_1_01"):
        shutil.copy(shared / "data/mir1k/Wavfile" / f"{name}.flac", source)
    import_mir1k(tmp_path, tmp_path / "tree")
    check_tree(source, tmp_path / "tree")
    assert sorted(path.name for path in (tmp_path / "tree/train").iterdir()) == ["abjones_1_01", "amy_10_01"]
