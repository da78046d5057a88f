"""Separation block by block: with a network whose output is known, and against whole-signal transforms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Identity, tiny_checkpoint

from madsep.front_end.stft import Stft
from madsep.models.checkpoint import Checkpoint
from madsep.separation import network
from madsep.separation.network import Separator
from madsep.systems.recipe import load_recipe

CPU = torch.device("cpu")


def noise(n_channels: int, n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_channels, n_samples)).astype(np.float32) * 0.1


def voice(checkpoint, mixture: np.ndarray) -> np.ndarray:
    return np.concatenate(list(Separator(checkpoint, CPU).estimates(mixture)), axis=2)[0]


def assert_same(found, expected, tolerance: float) -> None:
    """Equal up to a share of the largest value: an untrained network estimates far less than the mixture."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert expected.any()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def identity(**separation: object):
    checkpoint = tiny_checkpoint(separation=separation)
    return replace(checkpoint, network=Identity(checkpoint.recipe.segments.n_context))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9000), st.integers(1, 3), st.integers(1, 7))
def test_identity_network_gives_back_the_mixture_at_every_length(n_samples: int, n_channels: int, batch_size: int) -> None:
    mixture = noise(n_channels, n_samples)
    estimate = voice(identity(batch_size=batch_size), mixture)
    assert estimate.shape == mixture.shape
    np.testing.assert_allclose(estimate, mixture, atol=2e-6)


@pytest.mark.parametrize("iterations", [0, 4])
def test_result_does_not_depend_on_the_batch_size(iterations: int) -> None:
    mixture = noise(2, 20_000)
    results = [
        voice(tiny_checkpoint(separation={"batch_size": size, "griffin_lim_iterations": iterations}), mixture) for size in (1, 3, 100)
    ]
    assert_same(results[0], results[2], 2e-5)
    assert_same(results[1], results[2], 2e-5)


def test_each_channel_is_estimated_alone() -> None:
    mixture, checkpoint = noise(3, 5000), tiny_checkpoint()
    alone = np.concatenate([voice(checkpoint, mixture[i : i + 1]) for i in range(3)])
    assert_same(voice(checkpoint, mixture), alone, 1e-5)


@pytest.mark.parametrize("hop_length", [96, 48])
def test_griffin_lim_is_the_published_loop_on_the_whole_signal(hop_length: int) -> None:
    """Inverse and forward transform alternate; the signal returned is the last pass's inverse, after iterations - 1 refreshes.

    A window of more than 4 hops, as MDL1's is, lets frames before the first and beyond the last reach into the signal.
    """
    mixture, front_end = noise(1, 6000), {"hop_length": hop_length}
    plain, checkpoint = (tiny_checkpoint(front_end=front_end, separation={"griffin_lim_iterations": iterations}) for iterations in (0, 5))
    recipe = checkpoint.recipe
    stft = Stft(recipe.front_end)
    bins = stft.transform(torch.from_numpy(mixture))
    n_frames = bins.shape[1]
    magnitudes = network_magnitudes(checkpoint, mixture)[:n_frames]
    assert_same(voice(plain, mixture)[0], stft.inverse(torch.polar(magnitudes, bins[0].angle()), 6000), 1e-5)
    phase = bins[0].angle()
    for _ in range(4):
        span = stft.overlap_add(torch.polar(magnitudes, phase))
        energy = stft.window_energy(-stft.padding, span.shape[-1], n_frames)
        phase = stft.analyse(span / energy).angle()
    expected = stft.inverse(torch.polar(magnitudes, phase), 6000)
    assert_same(voice(checkpoint, mixture)[0], expected, 1e-3)


def network_magnitudes(checkpoint, mixture: np.ndarray) -> torch.Tensor:
    """Frame by frame estimates of the first channel, one sequence at a time, from one transform of the silence-padded signal."""
    recipe = checkpoint.recipe
    stft, context, step = Stft(recipe.front_end), recipe.segments.n_context, recipe.segments.step
    n_silent = 50 * stft.hop
    frames = stft.transform(torch.from_numpy(np.pad(mixture[0], (n_silent, n_silent)))).abs()
    first = 50 - context
    estimates = []
    with torch.no_grad():
        for start in range(first, first + stft.n_frames(mixture.shape[1]), step):
            estimates.append(checkpoint.network(frames[None, start : start + recipe.segments.n_frames]).denoised[0])
    return torch.cat(estimates)


def published_inverse(bins: np.ndarray, window: np.ndarray, hop: int) -> np.ndarray:
    """iSTFT of the published code (mss_pytorch, helpers/tf_methods.py) with its synthesis window, for bins (frames, N) from sample 0 on."""
    length, n_around = len(window), len(window) // hop
    energy = sum(np.pad(window**2, n_around * hop)[(n_around + k) * hop :][:length] for k in range(-n_around, n_around + 1))
    signal = np.zeros(len(bins) * hop + (length + 1) // 2 + length // 2)
    for number, frame in enumerate(np.fft.irfft(bins)[:, :length]):
        signal[number * hop : number * hop + length] += frame * window / energy
    return signal[3 * hop : len(signal) - 3 * hop - 1]


def test_legacy_framing_gives_what_the_published_code_gives_up_to_its_last_sample() -> None:
    """It estimates whole batches of sequences, inverts these frames alone, and puts the first sample at the first context's end."""
    mixture, recipe = noise(1, 30_000), tiny_checkpoint().recipe
    hop, step, context = recipe.front_end.hop_length, recipe.segments.step, recipe.segments.n_context
    stft = Stft(recipe.front_end)
    n_estimated = (30_000 // hop + 6) // step // recipe.training.batch_size * recipe.training.batch_size * step
    bins = stft.transform(torch.from_numpy(mixture[0])).numpy()[context : context + n_estimated]
    published = published_inverse(bins, stft.window.numpy(), hop)
    expected = np.zeros(30_000)
    expected[context * hop : context * hop + len(published)] = published
    np.testing.assert_allclose(voice(identity(framing="legacy"), mixture)[0], expected, atol=2e-6)


@pytest.mark.parametrize("n_samples", [1_000_000, 1_234_567])
def test_legacy_framing_ends_where_the_published_estimates_of_mdl1_end(n_samples: int) -> None:
    """n rows of n * 384 - 256 samples, from sample 10 * 384 on."""
    recipe = load_recipe("MDL1", {"MDL1": {"separation": {"framing": "legacy"}}})
    blocks = network._Blocks(Checkpoint(recipe, Identity(10), {}), torch.device("cpu"), np.zeros((1, n_samples), np.float32))
    n_rows = (n_samples // 384 + 6) // 40 // 16 * 16 * 40
    assert blocks.audible == range(10 * 384, (10 + n_rows) * 384 - 256)


def test_legacy_framing_is_silent_where_the_published_code_estimates_nothing() -> None:
    mixture = noise(1, 30_000)
    recipe = tiny_checkpoint().recipe
    hop, step, context = recipe.front_end.hop_length, recipe.segments.step, recipe.segments.n_context
    n_segments = (30_000 // hop + 6) // step // recipe.training.batch_size * recipe.training.batch_size
    estimate = voice(identity(framing="legacy"), mixture)[0]
    start = context * hop
    end = start + n_segments * step * hop + 257 - 6 * hop - 1
    assert n_segments == 36 and 0 < start < end < 30_000
    assert not estimate[:start].any() and not estimate[end:].any()
    np.testing.assert_allclose(estimate[start + 257 : end - 257], mixture[0, start + 257 : end - 257], atol=2e-6)


def test_legacy_framing_of_a_short_signal_is_silence() -> None:
    assert not voice(identity(framing="legacy"), noise(2, 500)).any()


def test_an_impulse_stays_where_it_is() -> None:
    mixture = np.zeros((1, 4000), np.float32)
    mixture[0, 1234] = 1
    assert np.argmax(np.abs(voice(tiny_checkpoint(), mixture))) == 1234
