"""Scoring whole folders: both engines, restarts, and what is missing."""

from pathlib import Path

import museval
import numpy as np
import pytest
import soundfile as sf
from wavs import RATE_HZ, noise_stems, write_track

from madsep.core.errors import InputError
from madsep.scoring.engines import Engine
from madsep.scoring.folders import score_folders

ENGINES = {"museval": Engine("museval"), "fast": Engine("fast"), "torch": Engine("fast", device="cpu")}
NAMES = ("Artist & Co. - It's (Mine)", "M.E. - Other")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """References, estimates of all five targets of two tracks, and the folder to write to."""
    for number, name in enumerate(NAMES):
        stems = noise_stems(number, 2.0)
        write_track(tmp_path / "musdb/test" / name, stems)
        rng = np.random.default_rng(number)
        estimates = {stem: samples // 2 + rng.integers(-500, 500, samples.shape) for stem, samples in stems.items() if stem != "mixture"}
        estimates["accompaniment"] = stems["mixture"] - estimates["vocals"]
        write_track(tmp_path / "estimates/test" / name, {target: samples.astype(np.int16) for target, samples in estimates.items()})
    return tmp_path / "musdb", tmp_path / "estimates", tmp_path / "scores"


def test_both_engines_write_what_museval_writes(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    musdb = pytest.importorskip("musdb")
    references, estimates, out = folders
    museval.eval_mus_dir(musdb.DB(root=str(references), is_wav=True, subsets=["test"]), str(estimates), str(tmp_path / "truth"))
    for label, engine in ENGINES.items():
        score_folders(references, estimates, out / label, engine, 2)
        for name in NAMES:
            assert (out / label / "test" / f"{name}.json").read_text() == (tmp_path / "truth/test" / f"{name}.json").read_text()


def test_valid_score_files_stay_and_others_are_scored_again(folders: tuple[Path, Path, Path]) -> None:
    references, estimates, out = folders
    score_folders(references, estimates, out, Engine("fast"), 1)
    kept, damaged = (out / "test" / f"{name}.json" for name in NAMES)
    written, marked = damaged.read_text(), kept.read_text().replace('"museval_version"', '"untouched": true, "museval_version"')
    kept.write_text(marked)
    damaged.write_text(written[:-100])
    score_folders(references, estimates, out, Engine("fast"), 1)
    assert kept.read_text() == marked
    assert damaged.read_text() == written


def test_a_faulty_track_is_named_and_the_others_are_scored(folders: tuple[Path, Path, Path]) -> None:
    references, estimates, out = folders
    wav = estimates / "test" / NAMES[0] / "bass.wav"
    sf.write(wav, np.zeros((100, 1)), RATE_HZ)
    with pytest.raises(InputError, match=r"It's \(Mine\)/bass\.wav: has 44100 Hz and 1 channels; expected 44100 Hz and 2\."):
        score_folders(references, estimates, out, Engine("fast"), 1)
    assert [path.stem for path in (out / "test").iterdir()] == [NAMES[1]]


def test_missing_references_estimates_and_targets_are_told(folders: tuple[Path, Path, Path], tmp_path: Path) -> None:
    references, estimates, out = folders
    with pytest.raises(InputError, match="no estimates in it"):
        score_folders(references, tmp_path / "nothing", out, Engine("fast"), 1)
    with pytest.raises(InputError, match="has no track test/"):
        score_folders(tmp_path / "nothing", estimates, out, Engine("fast"), 1)
    for target in ("drums", "bass", "other", "accompaniment"):
        (estimates / "test" / NAMES[0] / f"{target}.wav").unlink()
    with pytest.raises(InputError, match="two targets or more"):
        score_folders(references, estimates, out, Engine("fast"), 1)


def test_a_stem_file_is_a_reference_too(shared: Path, tmp_path: Path) -> None:
    (stem_file,) = (shared / "data/musdb_sample/train").glob("*.stem.mp4")
    name = stem_file.name.removesuffix(".stem.mp4")
    (tmp_path / "musdb/train").mkdir(parents=True)
    (tmp_path / "musdb/train" / stem_file.name).write_bytes(stem_file.read_bytes())
    rng = np.random.default_rng(0)
    noise = {target: rng.integers(-3000, 3000, (299_008, 2), dtype=np.int16) for target in ("vocals", "accompaniment")}
    write_track(tmp_path / "estimates/train" / name, noise)
    score_folders(tmp_path / "musdb", tmp_path / "estimates", tmp_path / "scores", Engine("fast"), 1)
    assert (tmp_path / "scores/train" / f"{name}.json").is_file()
