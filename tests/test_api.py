"""The package in Python: the examples of its docstrings, what they return against the command line's results, and what it costs."""

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from submissions import scores
from tiny import tiny_checkpoint
from wavs import RATE_HZ, save_checkpoint

import madsep
from madsep import api
from madsep.bsseval import score_track
from madsep.core.errors import InputError
from madsep.core.files import write_json
from madsep.models.checkpoint import build_network, write_tensors
from madsep.systems.recipe import load_recipe

EXAMPLES = {example.name: example for example in doctest.DocTestFinder().find(api, "madsep.api") if example.examples}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the examples find where they run: a checkpoint, a song, and scores."""
    save_checkpoint(tiny_checkpoint(), tmp_path / "checkpoint.safetensors")
    sf.write(tmp_path / "song.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (9000, 2)), RATE_HZ)
    for number in range(5):
        write_json(tmp_path / f"scores/test/{number}.json", scores(4), allow_nan=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * name.endswith("compare")) for name in EXAMPLES])
def test_the_examples_run(folder: Path, name: str) -> None:
    assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(EXAMPLES[name]).failed == 0


def test_every_public_name_but_the_result_has_an_example() -> None:
    shown = {name.rpartition(".")[2] for name in EXAMPLES}
    assert set(madsep.__all__) - {"__version__", "Scores", "load"} == shown  # load's is the Separator's


@pytest.mark.parametrize(("rate_hz", "n_channels"), [(RATE_HZ, 2), (22_050, 1), (48_000, 3)])
def test_arrays_and_files_give_the_same(folder: Path, rate_hz: int, n_channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (n_channels, 7001)).astype(np.float32)
    sf.write("other.wav", samples.T, rate_hz, subtype="FLOAT")
    separator = madsep.load(Path("checkpoint.safetensors"), device="cpu")
    estimates = separator.separate(samples, rate_hz)
    files = separator.separate_file("other.wav", folder / "out", subtype="FLOAT")
    assert tuple(estimates) == tuple(files) == separator.targets
    for target, path in files.items():
        np.testing.assert_array_equal(sf.read(path, dtype="float32", always_2d=True)[0].T, estimates[target])
    with pytest.raises(InputError, match="exists already"):
        separator.separate_file("other.wav", "out", stems=["vocals"])
    separator.separate_file("other.wav", "out", stems=["vocals"], overwrite=True)


def test_all_stems_come_with_their_accompaniment(tmp_path: Path) -> None:
    recipe = load_recipe("HEL1", {"HEL1": {"network": {"n_layers": 2, "n_hidden": 32}}})
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(0))
    metadata = {"recipe": recipe.system_values(), "provenance": {}}
    write_tensors(tmp_path / "checkpoint.safetensors", network.state_dict(), metadata)
    estimates = madsep.load(tmp_path / "checkpoint.safetensors", device="cpu").separate(np.full((1, 5000), 0.1), RATE_HZ)
    assert tuple(estimates) == ("vocals", "drums", "bass", "other", "accompaniment")
    np.testing.assert_array_equal(estimates["accompaniment"], estimates["drums"] + estimates["bass"] + estimates["other"])


def test_scores_are_those_of_the_engine() -> None:
    rng = np.random.default_rng(0)
    references = {target: rng.uniform(-0.5, 0.5, (2, 24_000)) for target in ("vocals", "drums", "bass")}
    estimates = {target: reference + 0.1 * rng.uniform(-0.5, 0.5, reference.shape) for target, reference in references.items()}
    frames = madsep.score(references, estimates, 8000).frames.set_index(["target", "metric", "time"])["score"]
    engine = score_track(*({name: np.float32(x).T for name, x in given.items()} for given in (references, estimates)), 8000)
    assert len(frames) == 3 * 4 * 3
    for target in engine["targets"]:
        for frame in target["frames"]:
            for metric, value in frame["metrics"].items():
                assert frames[target["name"], metric, frame["time"]] == value


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros(100), r"audio: has shape \(100,\); expected \(n_channels, n_samples\)"),
        (np.zeros((9000, 2)), r"audio: has shape \(9000, 2\); .* transpose it"),
        (np.zeros((2, 0)), r"audio: has shape \(2, 0\)"),
        (np.full((1, 100), np.nan), "audio: holds NaN or infinite samples"),
    ],
)
def test_what_is_no_audio_is_refused(folder: Path, audio: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        madsep.load("checkpoint.safetensors", device="cpu").separate(audio, RATE_HZ)


def test_single_targets_unknown_ones_and_unknown_oracles_are_refused() -> None:
    signal = np.ones((1, 100))
    with pytest.raises(InputError, match="two targets or more, found 1"):
        madsep.score({"vocals": signal}, {"vocals": signal}, 100)
    with pytest.raises(InputError, match="drums: has no reference; expected one of vocals"):
        madsep.score({"vocals": signal}, {"vocals": signal, "drums": signal}, 100)
    with pytest.raises(InputError, match="IRM9: not an oracle; did you mean 'IRM"):
        madsep.oracles(signal, {"vocals": signal}, ["IRM9"])
    with pytest.raises(AttributeError, match="has no attribute 'separat'"):
        _ = madsep.separat


@pytest.mark.parametrize(
    ("statement", "free"),
    [
        ("import madsep", ("numpy", "torch", "pandas", "scipy", "madsep.api", "madsep.core")),
        ("from madsep import Separator, load, score", ("torch", "pandas", "scipy")),
        ("import madsep.cli", ("numpy", "soundfile", "torch", "pandas", "scipy")),
        ("import madsep.bsseval", ("torch", "pandas", "soundfile", "matplotlib")),
    ],
)
def test_importing_is_light(statement: str, free: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print([name for name in {free!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
