"""What a user can get wrong ends the workflow with a plain line, a non-zero status and nothing half-written."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from flow import Run, final_faults, left_behind, own_lines, run, side_by_side, tiny_config

from madsep.data.datasets import MUSDB18

TEST_BATCH = "test001-test002"


@pytest.fixture(scope="module")
def refused(musdb: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Name of a mistake in config or data -> the lines that end the run."""
    root = tmp_path_factory.mktemp("mistakes")
    config = tiny_config(musdb)
    (root / "empty").mkdir()
    leaking = root / "leaking"
    shutil.copytree(musdb, leaking)
    shutil.copytree(next((musdb / "train").iterdir()), leaking / "train" / MUSDB18.test_names()[7])
    runs: dict[str, dict[str, Any]] = {
        "no root": {key: value for key, value in config.items() if key != "musdb_root"},
        "wrong root": config | {"musdb_root": str(root / "gone")},
        "empty root": config | {"musdb_root": str(root / "empty")},
        "misspelt key": config | {"alow_partial": True},
        "unknown recipe": config | {"systems": ["MDL2"]},
        "leaked test track": config | {"musdb_root": str(leaking)},
    }
    folders = [root / "runs" / name.replace(" ", "-") for name in runs]
    outcomes = side_by_side(run, folders, list(runs.values()))
    for folder, outcome in zip(folders, outcomes, strict=True):
        assert outcome.status != 0, folder
        assert [path.name for path in folder.iterdir()] == [".snakemake"]
    return {name: own_lines(outcome) for name, outcome in zip(runs, outcomes, strict=True)}


@pytest.mark.parametrize(
    ("mistake", "parts"),
    [
        ("no root", ["musdb_root is not set", "--config musdb_root=/path/to/musdb18", "make demo"]),
        ("wrong root", ["/gone: no such folder", "train/ and test/"]),
        ("empty root", ["/empty: is empty", "train/ and test/"]),
        ("misspelt key", ["unknown key 'alow_partial'; did you mean 'allow_partial'?"]),
        ("unknown recipe", ["there is no system 'MDL2'; did you mean 'MDLT'?", "known: CHA, DAE"]),
        ("leaked test track", ["test tracks lie among the training tracks: ", MUSDB18.test_names()[7]]),
    ],
)
def test_mistakes_end_before_anything_runs(refused: dict[str, list[str]], mistake: str, parts: list[str]) -> None:
    assert 1 <= len(refused[mistake]) <= 2
    for part in parts:
        assert part in "\n".join(refused[mistake])


def test_every_faulty_track_is_named_at_the_end(musdb: Path, tmp_path: Path) -> None:
    root = tmp_path / "musdb"
    shutil.copytree(musdb / "test", root / "test")
    source = next((musdb / "train").iterdir())
    cut, mono, nan, rate, short = (root / "train" / f"{name} & Co. - It's (Bad)" for name in ("Cut", "Mono", "NaN", "Rate", "Short"))
    for folder in (cut, mono, nan, rate, short):
        shutil.copytree(source, folder)
    samples, rate_hz = sf.read(source / "vocals.wav")
    n_bytes = (cut / "bass.wav").stat().st_size
    (cut / "bass.wav").write_bytes((cut / "bass.wav").read_bytes()[:-1000])
    sf.write(mono / "mixture.wav", samples[:, 0], rate_hz)
    sf.write(rate / "other.wav", samples, 48_000)
    sf.write(short / "drums.wav", samples[:-7], rate_hz)
    samples[4410, 1] = np.nan
    sf.write(nan / "vocals.wav", samples, rate_hz, subtype="FLOAT")
    outcome = run(tmp_path / "run", tiny_config(root), "results/MDL1/training/weights.safetensors")
    assert final_faults(outcome) == [
        f"ERROR: {cut}/bass.wav: the file is truncated: its header promises {n_bytes - 44} bytes of audio and it holds {n_bytes - 1044}; "
        "copy or download it again.",
        f"{mono}/mixture.wav: expected stereo (2 channels), found 1.",
        f"{nan}/vocals.wav: holds NaN or infinite samples, the first at 0.100 s; export it again.",
        f"{rate}/other.wav: expected a sample rate of 44100 Hz, found 48000 Hz.",
        f"{short}/drums.wav: the stem 'drums' has {len(samples) - 7} samples, expected {len(samples)} as in the mixture; "
        "all stems of a track must be equally long.",
    ]
    assert [path.name for path in (tmp_path / "run/results").rglob("*") if path.is_file()] == ["train001-train005.log"]


def test_a_silent_reference_is_refused(musdb: Path, tmp_path: Path) -> None:
    root = tmp_path / "musdb"
    shutil.copytree(musdb, root)
    silent = min((root / "test").iterdir())
    samples, rate_hz = sf.read(silent / "vocals.wav", dtype="int16")
    mixture = sf.read(silent / "mixture.wav", dtype="int16")[0]
    sf.write(silent / "vocals.wav", np.zeros_like(samples), rate_hz, subtype="PCM_16")
    sf.write(silent / "mixture.wav", mixture - samples, rate_hz, subtype="PCM_16")
    table = f"results/MIX/scores/{TEST_BATCH}.csv"
    outcome = run(tmp_path / "run", tiny_config(root), table)
    (line,) = final_faults(outcome)
    assert line == f"ERROR: {silent.name}: the vocals reference is silent throughout; BSSEval is not defined for it."
    assert "are silent throughout, so this track cannot be scored" in outcome.text  # said as early as the data are prepared
    assert not (tmp_path / "run" / table).exists()
    assert left_behind(tmp_path / "run") == []


def test_a_missing_estimate_is_refused(first: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(first.folder, folder)
    (missing,) = (folder / "results/MDL1/estimates/test").glob("P*/vocals.wav")
    missing.unlink()
    table = f"results/MDL1/scores/{TEST_BATCH}.csv"
    (line,) = final_faults(run(folder, first.config, table, "--forcerun", "score"))
    assert line.startswith(f"ERROR: {missing.relative_to(folder)}: this estimate is missing; separate the track again")
    assert not (folder / table).exists()
    assert left_behind(folder) == []
