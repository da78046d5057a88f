"""Decoded stem files are told from uncompressed wavs by the samples, wherever they lie."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from prepared_tracks import with_sources
from wavs import noise_stems, write_track

from madsep.data.coding import BLOCK, is_decoded
from madsep.data.datasets import MUSDB18
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, read_prepared
from madsep.data.stems import read_stems
from madsep.data.tracks import Track

RATE_HZ = 44_100


def low_passed(noise: np.ndarray, limit_hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(noise, axis=-1)
    spectrum[..., np.fft.rfftfreq(noise.shape[-1], 1 / RATE_HZ) > limit_hz] = 0
    return np.fft.irfft(spectrum, noise.shape[-1])


@pytest.mark.parametrize(
    ("limit_hz", "residual_db", "decoded"),
    [
        (17_000, -31.6, True),
        (22_050, -31.6, False),
        (17_000, -90.0, False),
        (17_000, None, False),
        (15_000, -59.0, True),
        (19_000, -31.6, False),
    ],
)
def test_both_the_band_and_the_sum_decide(limit_hz: float, residual_db: float | None, decoded: bool) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 4 * BLOCK))
    assert is_decoded(low_passed(noise, limit_hz), residual_db, RATE_HZ) == decoded


def test_too_short_to_tell() -> None:
    assert not is_decoded(np.zeros((2, BLOCK - 1)), -31.6, RATE_HZ)


def layout_of(folder: Path, work: Path) -> tuple[str, tuple[str, ...]]:
    """The layout that preparing a folder of wavs records, and the notes."""
    track = with_sources(Track(folder.name, "test", "wav", str(folder), 1.0, MUSDB18.name))
    prepare([track], Form(("mixture", "vocals"), False, RATE_HZ), work, "job")
    (prepared,) = read_prepared(work, [track.slug], ["test"])
    return prepared.layout, prepared.notes


def test_wavs_made_from_a_real_stem_file(shared: Path, tmp_path: Path) -> None:
    (path,) = (shared / "data/musdb_sample/train").glob("*.stem.mp4")
    stems = read_stems(Track("x", "test", "stems", str(path), 6.8, MUSDB18.name))
    (tmp_path / "A").mkdir()
    (tmp_path / "B").mkdir()
    for name, audio in stems.items():
        sf.write(tmp_path / f"A/{name}.wav", audio.T, RATE_HZ, subtype="PCM_16")
        exact = np.sum([stem for other, stem in stems.items() if other != "mixture"], axis=0) if name == "mixture" else audio
        sf.write(tmp_path / f"B/{name}.wav", exact.T, RATE_HZ, subtype="FLOAT")  # as if nothing had been coded
    assert layout_of(tmp_path / "A", tmp_path / "work") == ("decoded stems", ())
    assert layout_of(tmp_path / "B", tmp_path / "work") == ("wav", ())


def test_uncompressed_wavs(tmp_path: Path) -> None:
    write_track(tmp_path / "A", noise_stems(0, 0.5))
    assert layout_of(tmp_path / "A", tmp_path / "work") == ("wav", ())
