"""Every model family from prepared tracks to estimates: it learns, its checkpoint separates, and estimates add up to the mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from prepared_tracks import with_sources
from trainings import EACH_STEP, HELD_OUT, NEVER, Killed, history, killed_at, losses, same_bytes, weights

from madsep.data.datasets import MUSDB18, STEMS
from madsep.data.prepare import prepare
from madsep.data.prepared import Form, PreparedTrack, read_prepared
from madsep.data.tracks import Track, find_tracks
from madsep.models.checkpoint import load_checkpoint, write_checkpoint
from madsep.separation.tracks import separate
from madsep.systems.families import FAMILIES
from madsep.systems.recipe import Recipe, load_recipe
from madsep.training.step import Step
from madsep.training.train import Options, train

pytestmark = pytest.mark.usefixtures("torch_settings_restored")

FRONT_END = {"window_length": 256, "fft_length": 256, "hop_length": 128}
TRAINING = {"n_epochs": 3, "batch_size": 32, "learning_rate": 1e-3, "precision": "fp32", **HELD_OUT}
CASES: dict[str, Mapping[str, Any]] = {
    "MDL1": {"segments": {"n_frames": 20, "n_context": 2}, "network": {"n_encoder_bins": 20, "n_denoiser_hidden": 16}},
    "MIM-DWF": {},
    "MIM-HW": {"segments": {"n_frames": 10}, "network": {"n_layers": 2}},
    "GRA": {"segments": {"n_frames": 10}, "network": {"n_hidden": 32, "n_hidden_layers": 1}},
    "CHA": {
        "segments": {"n_frames": 12, "overlap": 8},
        "network": {"n_vertical_filters": 8, "n_horizontal_filters": 8, "n_horizontal_frames": 6, "n_hidden": 16},
        "training": {"learning_rate": 1.0},  # Adadelta's
    },
    "HEL1": {"network": {"n_layers": 2, "n_hidden": 32}},
    "DAE": {},
    "SF": {},
}


def tiny(name: str) -> Recipe:
    given = CASES[name]
    separation = {"batch_size": 64, "precision": "fp32"}
    sections = {"front_end": FRONT_END, "training": TRAINING | given.get("training", {}), "separation": separation}
    return load_recipe(name, {name: {**given, **sections}})


@dataclass(frozen=True)
class Trained:
    """A recipe, its training's folder, and the folder of the estimates of a test track."""

    recipe: Recipe
    folder: Path
    track: Track
    song: PreparedTrack
    held_out: PreparedTrack

    @property
    def estimates(self) -> Path:
        return self.folder / "estimates/test" / self.track.name

    def train(self, folder: Path, save_every_s: float = NEVER) -> None:
        """Train on one song, with another held out."""
        train(self.recipe, [self.song, self.held_out], [self.held_out.slug], folder, Options("cpu", 1, save_every_s))


@pytest.fixture(scope="module", params=CASES)
def trained(request: pytest.FixtureRequest, musdb: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trained on one synthetic song with another held out, then used to separate a third."""
    recipe, folder = tiny(request.param), tmp_path_factory.mktemp("family")
    tracks = [with_sources(track) for track in find_tracks(musdb, MUSDB18, allow_partial=True)]
    songs, test = [track for track in tracks if track.subset == "train"], tracks[-1]
    signals = ["mixture", *(source for source in recipe.sources if source != "background")]
    prepare(songs, Form(tuple(signals), True, 44100), folder / "train", "all")
    prepare([test], Form(("mixture",), False, 44100), folder / "heard", "all")
    of_recipe = Trained(recipe, folder, test, *read_prepared(folder / "train", [song.slug for song in songs], ("train",)))
    of_recipe.train(folder)
    write_checkpoint(folder, recipe, folder / "checkpoint.safetensors")
    heard = read_prepared(folder / "heard", [test.slug], ("test",))
    separate(folder / "checkpoint.safetensors", heard, folder / "estimates", "all", "cpu", 1)
    return of_recipe


def read(path: Path) -> np.ndarray:
    """16-bit samples (n_samples, n_channels) as integers."""
    assert sf.info(path).subtype == "PCM_16"
    samples: np.ndarray = sf.read(path, dtype="int16", always_2d=True)[0].astype(int)
    return samples


def test_every_family_has_a_case() -> None:
    assert {tiny(name).family for name in CASES} == set(FAMILIES)


def test_training_lowers_the_loss(trained: Trained) -> None:
    rows = history(trained.folder)
    assert set(rows[0]) >= set(trained.recipe.trained_family.losses)
    for column in ("loss", "validation_loss"):
        found = losses(trained.folder, column)
        assert len(found) == 3 and np.isfinite(found).all() and found[-1] < 0.97 * found[0], (column, found)
    assert all(np.isfinite(float(row["validation_sdr"])) for row in rows)


def test_the_checkpoint_holds_the_trained_weights(trained: Trained) -> None:
    checkpoint = load_checkpoint(trained.folder / "checkpoint.safetensors", torch.device("cpu"))
    assert checkpoint.recipe.system_values() == trained.recipe.system_values()
    found, expected = checkpoint.network.state_dict(), weights(trained.folder)
    assert found.keys() == expected.keys() and all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_a_killed_run_goes_on_as_if_it_never_had_been(trained: Trained, tmp_path: Path) -> None:
    n_steps = int(history(trained.folder)[0]["step"]) + 2  # in the second epoch
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        killed_at(patch, Step, "__call__", n_steps)
        trained.train(tmp_path, EACH_STEP)
    trained.train(tmp_path)
    assert same_bytes(tmp_path, trained.folder)


def test_the_statistics_of_the_training_set_are_in_the_weights(trained: Trained) -> None:
    """If a family standardises what it reads: of the song that trains, not of the one that is held out."""
    found = weights(trained.folder)
    assert ("input_mean" in found) == trained.recipe.trained_family.standardises
    if "input_mean" not in found:
        return
    mixture = trained.song.signal("mixture")[0].astype(np.float64)
    window = np.hanning(257)[:256] / 16  # periodic, over the root of the transform's length
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(mixture, 3 * 128), 256)[::128] * window
    mean = np.abs(np.fft.rfft(frames)).mean(axis=0)
    np.testing.assert_allclose(found["input_mean"], mean, rtol=0.02)


def test_estimates_add_up_to_the_mixture(trained: Trained) -> None:
    """Vocals and what they leave exactly; of four sources each is rounded to 16 bits by itself."""
    mixture = read(Path(trained.track.path) / "mixture.wav")
    found = {path.stem: read(path) for path in trained.estimates.iterdir()}
    four = trained.recipe.family in ("cha", "hel")
    assert found.keys() == {*(STEMS if four else ["vocals"]), "accompaniment"}
    assert all(samples.shape == mixture.shape and samples.any() for samples in found.values())
    assert np.abs(found["vocals"] + found["accompaniment"] - mixture).max() <= (2 if four else 0)
    if four:
        np.testing.assert_array_equal(found["accompaniment"], found["drums"] + found["bass"] + found["other"])
        assert np.abs(sum(found[stem] for stem in STEMS) - mixture).max() <= 2
    energy = np.square(found["vocals"]).sum() / np.square(mixture).sum()
    assert 1e-6 < energy < 0.95  # neither nothing nor the mixture
