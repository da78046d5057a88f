"""DSD100 on disk: mixtures and stems in two trees, Dev trains, Test has the numbers 001 to 050."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from prepared_tracks import with_sources

from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.data.datasets import DSD100, MUSDB18
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, read_prepared
from madsep.data.stems import read_stems
from madsep.data.tracks import find_tracks
from madsep.doctor import examine
from madsep.synth import make_dataset
from madsep.synth.names import track_name

STEMS = ("vocals", "drums", "bass", "other")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic DSD100 of 2 + 1 songs of a second; not to be changed."""
    root = tmp_path_factory.mktemp("dsd100") / "DSD100"
    make_dataset(root, 2, 1, 1.0, seed=3, layout="dsd100")
    return root


@pytest.fixture
def tree(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(made, tmp_path / "DSD100")


def refuse(root: Path, message: str, allow_partial: bool = True) -> None:
    with pytest.raises(InputError, match=message):
        find_tracks(root, DSD100, allow_partial)


def test_the_synthetic_tree_has_the_campaigns_folders(made: Path, tmp_path: Path) -> None:
    names = {"Dev": [f"05{1 + n} - {track_name('train', n, 3)}" for n in range(2)], "Test": [f"001 - {track_name('test', 0, 3)}"]}
    expected = {f"Mixtures/{subset}/{name}/mixture.wav" for subset, found in names.items() for name in found}
    expected |= {f"Sources/{subset}/{name}/{stem}.wav" for subset, found in names.items() for name in found for stem in STEMS}
    assert {path.relative_to(made).as_posix() for path in made.rglob("*.wav")} == expected
    make_dataset(tmp_path / "musdb", 2, 1, 1.0, seed=3)  # the same songs
    for folder, subset in (("train", "Dev"), ("test", "Test")):
        for name in names[subset]:
            plain = tmp_path / "musdb" / folder / name.partition(" - ")[2]
            assert sha256(plain / "mixture.wav") == sha256(made / "Mixtures" / subset / name / "mixture.wav")
            assert all(sha256(plain / f"{stem}.wav") == sha256(made / "Sources" / subset / name / f"{stem}.wav") for stem in STEMS)


def test_numbers_are_limited(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 training and 51 test tracks: DSD100 has numbers for 50 test tracks\."):
        make_dataset(tmp_path / "x", 1, 51, 1.0, seed=0, layout="dsd100")
    assert not (tmp_path / "x").exists()


def test_dev_trains_and_each_stem_is_found(made: Path) -> None:
    found = find_tracks(made.parent, DSD100, allow_partial=True)
    assert [(track.name[:3], track.subset, track.layout) for track in found] == [
        ("051", "train", "dsd100"),
        ("052", "train", "dsd100"),
        ("001", "test", "dsd100"),
    ]
    for track in found:
        files, subset = track.source_files(), "Test" if track.subset == "test" else "Dev"
        assert files == {"mixture": made / "Mixtures" / subset / track.name / "mixture.wav"} | {
            stem: made / "Sources" / subset / track.name / f"{stem}.wav" for stem in STEMS
        }
        assert track.duration_s == 1.0


def test_a_prepared_track_holds_its_own_stems(made: Path, tmp_path: Path) -> None:
    track = with_sources(find_tracks(made, DSD100, allow_partial=True)[2])
    prepare([track], Form(("mixture", "vocals", "accompaniment"), False, 44_100), tmp_path / "prepared", "job")
    (prepared,) = read_prepared(tmp_path / "prepared", [track.slug], ["test"])
    for stem, folder in (("mixture", "Mixtures"), ("vocals", "Sources")):
        audio, _ = sf.read(made / folder / "Test" / track.name / f"{stem}.wav", dtype="float32")
        np.testing.assert_array_equal(prepared.signal(stem), audio.T)
    assert prepared.notes == ()


def test_a_mono_stem_is_the_same_in_both_channels(tree: Path) -> None:
    track = find_tracks(tree, DSD100, allow_partial=True)[2]
    path = track.source_files()["bass"]
    audio, rate_hz = sf.read(path)
    sf.write(path, audio[:, 0], rate_hz)
    np.testing.assert_array_equal(read_stems(track)["bass"], np.stack([audio[:, 0]] * 2).astype(np.float32))
    assert all(finding.ok for finding in examine(tree, DSD100, True) if finding.name == "audio")


def test_exchanged_subsets_are_refused(tree: Path) -> None:
    for kind in ("Mixtures", "Sources"):
        for old, new in (("Dev", "aside"), ("Test", "Dev"), ("aside", "Test")):
            (tree / kind / old).rename(tree / kind / new)
    refuse(tree, r"Mixtures/Dev: holds '001 - .*'; DSD100 has 051 to 100 there, named 'NNN - Artist - Title'\. Move or rename them\.")


@pytest.mark.parametrize("name", ["Artist - Title", "51 - Artist - Title", "051 Artist"])
def test_names_without_a_number_are_refused(tree: Path, name: str) -> None:
    for kind in ("Mixtures", "Sources"):
        next((tree / kind / "Test").iterdir()).rename(tree / kind / "Test" / name)
    refuse(tree, r"Mixtures/Test: holds '.*'; DSD100 has 001 to 050 there")


def test_what_is_missing_is_named(tree: Path) -> None:
    refuse(tree, r"found 2 training and 1 test tracks, expected 50 and 50\.\nIf this is meant, set allow_partial", allow_partial=False)
    folder = next((tree / "Sources/Test").iterdir())
    (folder / "drums.wav").unlink()
    refuse(tree, r"missing stems: '.*Sources/Test/001 - .*/drums\.wav'")
    shutil.rmtree(folder)
    refuse(tree, r"missing stems: '.*Sources/Test/001 - .*/bass\.wav', ")
    shutil.rmtree(tree / "Mixtures/Test")
    refuse(tree, r"the folder Mixtures/Test/ is missing; give the folder that holds DSD100's Mixtures/Dev/ and Mixtures/Test/")
    refuse(tree / "Sources", r"no Mixtures/Dev/ and Mixtures/Test/ in it, only 'Dev', 'Test'; .*'madsep synth FOLDER --layout dsd100'")


def test_another_data_set_is_recognised(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train/ and test/ in it, only 'Mixtures', 'Sources'; .*; set dataset: dsd100 for DSD100\."):
        find_tracks(tree, MUSDB18, allow_partial=True)
    make_dataset(tmp_path / "musdb", 1, 1, 0.5, seed=0)
    refuse(tmp_path / "musdb", r"only 'test', 'train'; .*; set dataset: musdb18 for MUSDB18\.")
