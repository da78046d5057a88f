"""What is held out of training, and what is measured on it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import Double, Identity, tiny_recipe
from trainings import HELD_OUT, Tracks, losses, run, sequences_of, sung, weights, write_prepared

from madsep.core.errors import InputError
from madsep.data.tracks import slug_of
from madsep.training.train import split
from madsep.training.validation import validation_sdr

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


def test_validation_tracks_are_held_out(tracks: Tracks) -> None:
    """Whatever order tracks come in, they are used in that of their names."""
    slugs = [slug_of(name) for name in ("Artist - 2", "Artist - 0", "of another dataset")]
    for given in (tracks, tracks[::-1]):
        parts = split(tiny_recipe(training=HELD_OUT), given, slugs)
        assert [track.name for track in parts.training] == ["Artist - 1"]
        assert [track.name for track in parts.held_out] == ["Artist - 0", "Artist - 2"]
    without = split(tiny_recipe(), tracks, [])
    assert list(without.training) == list(tracks) and not without.held_out


@pytest.mark.parametrize("names", [(), ("of another dataset",), ("Artist - 0", "Artist - 1", "Artist - 2")])
def test_validation_needs_tracks_on_both_sides(tracks: Tracks, tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"recipe MDL1: training.validation is true, but [03] of the 3 training tracks"):
        run(tiny_recipe(training=HELD_OUT), tracks, tmp_path, held_out=names)


def test_held_out_tracks_do_not_train(tracks: Tracks, tmp_path: Path) -> None:
    """The weights are those of a run that never had the track."""
    without = write_prepared(tmp_path / "without", [sung(0), sung(1)])
    alone = run(tiny_recipe(), without, tmp_path / "alone")
    held_out = run(tiny_recipe(training={"validation": True}), tracks, tmp_path / "held_out", held_out=("Artist - 2",))
    assert all(torch.equal(tensor, weights(held_out)[name]) for name, tensor in weights(alone).items())


def test_validation_sdr_is_musevals(tracks: Tracks) -> None:
    """Of a network that estimates the mixture itself: museval's SDR of the mixture as voice, and of silence-free frames only."""
    import museval

    recipe = tiny_recipe()
    held_out = sequences_of(tracks, recipe, 0, 1)
    medians = []
    for prepared in held_out.signals:
        mixture, voice = (part.T.astype(np.float64) for part in prepared[:2])
        references, estimates = [voice, mixture - voice], [mixture, 1e-4 * mixture]
        medians.append(np.nanmedian(museval.evaluate(references, estimates, win=44_100, hop=44_100)[0][0]))
    identity = Identity(recipe.segments.n_context)
    found = validation_sdr(recipe, AlmostIdentity(identity), held_out, torch.device("cpu"))
    assert found == pytest.approx(np.median(medians), abs=1e-3)


class AlmostIdentity(Double):
    """Estimates a little less than the mixture, so that the accompaniment is not silent."""

    def __init__(self, identity: Identity) -> None:
        super().__init__()
        self.identity = identity

    def forward(self, mixture: torch.Tensor, latent_threshold: float) -> Any:
        return self.identity((1 - 1e-5) * mixture, latent_threshold)


def test_best_keeps_the_best_epochs_weights(tmp_path: Path) -> None:
    """Training tracks are all voice, the validation track a tenth: the estimate rises far past the latter's target."""
    mixture = sung(0)[0]
    tracks = write_prepared(tmp_path / "prepared", [(mixture, mixture), (mixture, 0.1 * mixture)])

    def trained(name: str, **training: object) -> Path:
        recipe = tiny_recipe(training={"validation": True, "n_epochs": 8, "learning_rate": 3e-3, **training})
        return run(recipe, tracks, tmp_path / name, held_out=("Artist - 1",))

    best = trained("best", selection="best")
    validation = losses(best, "validation_loss")
    best_epoch = int(np.argmin(validation)) + 1
    assert 1 < best_epoch < 8
    expected, last = weights(trained("expected", n_epochs=best_epoch)), weights(trained("last"))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(best).items())
    assert not any(torch.equal(tensor, last[name]) for name, tensor in weights(best).items())


def test_a_validation_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    songs = [sung(seed) for seed in range(2)]
    songs[1][1][6000] = np.nan
    tracks = write_prepared(tmp_path / "prepared", songs)
    with pytest.raises(InputError, match=r"epoch 1: the validation loss is nan, not finite.*Validation tracks: Artist - 1"):
        run(tiny_recipe(training=HELD_OUT), tracks, tmp_path, held_out=("Artist - 1",))
