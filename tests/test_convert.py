"""`madsep convert`: songs in another layout and format, sample for sample, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from wavs import noise_stems, write_track

from madsep.core.errors import InputError
from madsep.data.choices import Layout
from madsep.data.convert import convert
from madsep.data.encodings import WAV, Encoding

FLAT = {f"{song}_{stem}" for song in ("A", "B - C") for stem in noise_stems(0, 0.01)}


@pytest.fixture
def estimates(tmp_path: Path) -> Path:
    """Two test songs as a run keeps them, next to records."""
    for number, name in enumerate(("A", "B - C")):
        write_track(tmp_path / "estimates/test" / name, noise_stems(number, 0.05))
    (tmp_path / "estimates/records").mkdir()
    (tmp_path / "estimates/records/a.json").write_text("{}")
    return tmp_path / "estimates"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("layout", "encoding", "expected"),
    [
        ("mvsep", Encoding("flac", "PCM_24"), {f"{name}.flac" for name in FLAT}),
        ("mdx", Encoding("wav", "FLOAT"), {f"{name.replace('_', '/')}.wav" for name in FLAT}),
        ("musdb", WAV, {f"test/{name.replace('_', '/')}.wav" for name in FLAT}),
    ],
)
def test_there_and_back_every_sample_is_the_same(
    tmp_path: Path, estimates: Path, layout: Layout, encoding: Encoding, expected: set[str]
) -> None:
    convert(estimates, tmp_path / "out", layout, encoding)
    assert names(tmp_path / "out") == expected
    assert {sf.info(path).subtype for path in (tmp_path / "out").rglob("*.*")} == {encoding.samples}
    convert(tmp_path / "out", tmp_path / "back", "musdb", WAV)
    assert names(tmp_path / "back") == {name for name in names(estimates) if name.startswith("test/")}
    for name in names(tmp_path / "back"):
        np.testing.assert_array_equal(*(sf.read(root / name, dtype="int16")[0] for root in (estimates, tmp_path / "back")))


def test_a_data_set_keeps_its_subsets(tmp_path: Path, estimates: Path) -> None:
    write_track(estimates / "train/A", noise_stems(3, 0.05))
    convert(estimates, tmp_path / "out", "mvsep", WAV)
    assert names(tmp_path / "out") == {f"test/{name}.wav" for name in FLAT} | {f"train/{name}.wav" for name in FLAT if name[0] == "A"}
    convert(tmp_path / "out", tmp_path / "back", "musdb", WAV)
    assert names(tmp_path / "back") == {name for name in names(estimates) if name.endswith(".wav")}


def test_a_stem_file_gives_its_five_stems(tmp_path: Path, shared: Path) -> None:
    convert(shared / "data/musdb_sample", tmp_path / "out", "mdx", Encoding("flac"))
    assert names(tmp_path / "out") == {
        f"train/Music Delta - 80s Rock/{stem}.flac" for stem in ("mixture", "drums", "bass", "other", "vocals")
    }


def test_nothing_is_replaced_unasked(tmp_path: Path, estimates: Path) -> None:
    convert(estimates, tmp_path / "out", "mdx", WAV)
    before = names(tmp_path / "out")
    with pytest.raises(InputError, match=r"out/A/.*wav: exists already \(and 9 more\); .* add --overwrite"):
        convert(estimates, tmp_path / "out", "mdx", WAV)
    convert(estimates, tmp_path / "out", "mdx", WAV, overwrite=True)
    assert names(tmp_path / "out") == before
    with pytest.raises(InputError, match=r"is the input .* itself"):
        convert(estimates, estimates, "musdb", WAV, overwrite=True)


def test_one_bad_song_does_not_stop_the_other(tmp_path: Path, estimates: Path) -> None:
    bad = estimates / "test/A/vocals.wav"
    bad.write_bytes(bad.read_bytes()[:1000])
    with pytest.raises(InputError, match="^" + re.escape(f"{bad}: the file is truncated")):
        convert(estimates, tmp_path / "out", "mvsep", WAV)
    assert {name for name in names(tmp_path / "out") if name.startswith("B")} == {f"{name}.wav" for name in FLAT if name[0] == "B"}


def test_two_songs_of_one_name_are_refused(tmp_path: Path, estimates: Path) -> None:
    convert(estimates, tmp_path / "both", "mdx", WAV)
    convert(estimates, tmp_path / "both", "mvsep", WAV)
    with pytest.raises(InputError, match=r"two songs in .*both have this name"):
        convert(tmp_path / "both", tmp_path / "out", "musdb", WAV)
