"""Statistics of the training set against NumPy on its frames."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_recipe
from trainings import Tracks, sequences_of, write_prepared

from madsep.systems.recipe import Recipe
from madsep.training import statistics
from madsep.training.statistics import SMALLEST, bin_statistics

RECIPE = tiny_recipe(training={"edge_frames_dropped": 0})


def frames_of(tracks: Tracks, track: int) -> np.ndarray:
    """Magnitudes (n_sequences, 12, 257) of all sequences of a track: every 8 frames one begins, until all but the edges are estimated."""
    mixture = tracks[track].array()[0, 0].astype(np.float64)
    n_frames = int(np.ceil((len(mixture) + 6 * 96 - 257) / 96)) + 1
    n_sequences = int(np.ceil((n_frames - 4) / 8))
    padded = np.pad(mixture, (3 * 96, 5000))
    frames = np.stack([padded[96 * frame : 96 * frame + 257] for frame in range(8 * n_sequences + 4)])
    magnitudes = np.abs(np.fft.rfft(frames * np.hamming(257) / np.sqrt(512), 512))
    return np.stack([magnitudes[8 * number : 8 * number + 12] for number in range(n_sequences)])


def with_input_clip(clip: float | None) -> Recipe:
    return RECIPE.model_copy(update={"target": RECIPE.target.model_copy(update={"input_clip": clip})})


@pytest.mark.parametrize("clip", [None, 0.3])
def test_mean_and_deviation_are_those_of_all_frames_that_the_network_reads(tracks: Tracks, clip: float | None) -> None:
    sequences = sequences_of(tracks, with_input_clip(clip))
    frames = np.concatenate([frames_of(tracks, track) for track in range(3)])
    assert len(frames) == len(sequences) and (frames > 0.3).any()
    frames = frames if clip is None else np.minimum(frames, clip)
    mean, deviation = bin_statistics(sequences)
    assert mean.dtype == deviation.dtype == torch.float32
    np.testing.assert_allclose(mean, frames.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(deviation, frames.std((0, 1)), rtol=1e-4, atol=1e-6)


def test_of_many_sequences_some_are_taken_evenly(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "N_SEQUENCES", 5)
    sequences = sequences_of(tracks, with_input_clip(None))
    frames = np.concatenate([frames_of(tracks, track) for track in range(3)])
    chosen = frames[[int(share * (len(frames) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]]
    mean, deviation = bin_statistics(sequences)
    np.testing.assert_allclose(mean, chosen.mean((0, 1)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(deviation, chosen.std((0, 1)), rtol=1e-4, atol=1e-6)


def test_the_batch_size_does_not_matter(tracks: Tracks) -> None:
    pairs = [bin_statistics(sequences_of(tracks, tiny_recipe(training={"batch_size": size}))) for size in (1, 7, 100)]
    for mean, deviation in pairs[1:]:
        torch.testing.assert_close(mean, pairs[0][0], rtol=1e-6, atol=0)
        torch.testing.assert_close(deviation, pairs[0][1], rtol=1e-6, atol=0)


def test_a_bin_that_does_not_vary_has_a_small_deviation_and_not_none(tmp_path: Path) -> None:
    """A constant and some noise: the clip makes the lowest bin one value in all frames, none of which reaches beyond the track."""
    n_samples = 96 * (3 * 8 + 9) - (6 * 96 - 257)  # three sequences between edges of three frames
    sound = 1 + 0.1 * np.random.default_rng(0).standard_normal(n_samples)
    recipe = with_input_clip(1.0)
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"edge_frames_dropped": 3})})
    sequences = sequences_of(write_prepared(tmp_path / "prepared", [(sound, sound)]), recipe)
    mean, deviation = bin_statistics(sequences)
    assert len(sequences) == 3 and mean[0] == 1 and deviation.max() > 0.01
    assert deviation[0].item() == pytest.approx(SMALLEST * float(deviation.max()), rel=1e-5, abs=0)


def test_silence_has_no_deviation(tmp_path: Path) -> None:
    silence = np.zeros(12_000)
    mean, deviation = bin_statistics(sequences_of(write_prepared(tmp_path / "prepared", [(silence, silence)]), RECIPE))
    assert not mean.any() and not deviation.any()
