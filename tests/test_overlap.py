"""Segments that overlap, and masks of the channels' mean, against loops over whole signals."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_segments import estimated
from tiny import Double, Estimate, Identity, tiny_checkpoint

from madsep.core.settings import Segments
from madsep.front_end.segments import cross_fade, full_plan, training_plan
from madsep.front_end.stft import Stft
from madsep.models.checkpoint import Checkpoint
from madsep.separation.network import Separator

N_CONTEXT = 2  # of the tiny recipe, whose sequences estimate 8 frames
OVERLAPS = [0, 1, 3, 4, 5, 6, 7]


@st.composite
def overlapping(draw: st.DrawFn) -> Segments:
    n_estimated, n_context = draw(st.integers(1, 14)), draw(st.integers(0, 4))
    overlap = draw(st.integers(0, n_estimated - 1))
    return Segments(n_frames=n_estimated + 2 * n_context, n_context=n_context, overlap=overlap)


def faded(estimates: list[np.ndarray], segments: Segments) -> np.ndarray:
    """Join segments' estimates one after the other, as DeepConvSep's `overlapadd` does; the first axis is that of frames."""
    joined = np.zeros((segments.step * (len(estimates) - 1) + segments.n_estimated, *estimates[0].shape[1:]))
    joined[: segments.n_estimated] = estimates[0]
    rising = np.linspace(0, 1, segments.overlap).reshape(-1, *[1] * (estimates[0].ndim - 1))
    for number, estimate in enumerate(estimates[1:], start=1):
        start, shared = number * segments.step, number * segments.step + segments.overlap
        joined[start:shared] = (1 - rising) * joined[start:shared] + rising * estimate[: segments.overlap]
        joined[shared : start + segments.n_estimated] = estimate[segments.overlap :]
    return joined


@settings(max_examples=100, deadline=None)
@given(overlapping())
def test_weights_of_a_frame_add_up_to_one(segments: Segments) -> None:
    weights = cross_fade(segments)
    assert weights.shape == (segments.n_estimated,) and (weights >= 0).all()
    total = np.zeros(30 * segments.step + segments.n_estimated)
    for number in range(31):
        total[number * segments.step :][: segments.n_estimated] += weights
    np.testing.assert_allclose(total[segments.n_estimated : 30 * segments.step], 1, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(overlapping())
def test_weights_are_those_of_fading_one_segment_after_the_other(segments: Segments) -> None:
    """One segment in the middle gives ones, all others zeros."""
    estimates = [np.zeros(segments.n_estimated) for _ in range(30)]
    estimates[15] += 1
    joined = faded(estimates, segments)
    start = 15 * segments.step
    np.testing.assert_allclose(joined[start : start + segments.n_estimated], cross_fade(segments), atol=1e-12)
    assert np.abs(np.delete(joined, np.arange(start, start + segments.n_estimated))).max() == 0


def test_weights_by_hand() -> None:
    """Four frames, of which three are shared: each is faded in at 0, 1/2, 1 and then faded out by the segments after it."""
    np.testing.assert_allclose(cross_fade(Segments(n_frames=4, n_context=0, overlap=3)), [0, 1 / 2, 1 / 2, 0])
    np.testing.assert_allclose(cross_fade(Segments(n_frames=9, n_context=2, overlap=2)), [0, 1, 1, 1, 0])
    np.testing.assert_allclose(cross_fade(Segments(n_frames=3, n_context=0, overlap=0)), [1, 1, 1])


@settings(max_examples=200, deadline=None)
@given(overlapping(), st.integers(1, 200))
def test_the_full_plan_reaches_each_frame_by_all_segments_that_could(segments: Segments, n_frames: int) -> None:
    """As many as an endless row of segments has at that frame: those whose first estimated frame is one of the last n_estimated."""
    plan = full_plan(segments, n_frames)
    found = np.bincount([frame for frame in estimated(plan) if frame >= 0], minlength=n_frames)[:n_frames]
    endless = range(-200 * segments.step, n_frames + 1, segments.step)
    expected = [sum(first <= frame < first + segments.n_estimated for first in endless) for frame in range(n_frames)]
    assert found.tolist() == expected and min(expected) >= 1
    assert plan.first_estimated + plan.n_shared * plan.step == 0
    assert plan.end_estimated >= n_frames  # the last segments, too, begin before the end
    assert plan.end_estimated - plan.step < n_frames


@settings(max_examples=100, deadline=None)
@given(overlapping(), st.integers(1, 200), st.integers(0, 4))
def test_the_training_plan_covers_the_inner_frames_with_no_segment_too_many(segments: Segments, n_frames: int, n_dropped: int) -> None:
    plan = training_plan(segments, n_frames, n_dropped)
    frames, margin = estimated(plan), n_dropped + segments.n_context
    wanted = set(range(margin, n_frames - margin))
    assert plan.step == segments.step and frames[0] == margin and wanted <= set(frames)
    without_last = frames[: -segments.n_estimated]
    assert plan.n_segments == 1 or not wanted <= set(without_last)


# --- separation


def noise(n_channels: int, n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_channels, n_samples)).astype(np.float32) * 0.1


class PerSequence(Double):
    """A network whose result for a frame depends on the sequence in which it lies and on its place there."""

    def forward(self, mixture: torch.Tensor, latent_threshold: float) -> Estimate:
        n_frames = mixture.shape[1]
        gains = mixture.mean((1, 2), keepdim=True).tanh() + torch.linspace(0, 1, n_frames, dtype=mixture.dtype)[:, None]
        return Estimate((gains * mixture)[:, N_CONTEXT : n_frames - N_CONTEXT])


class Squared(Double):
    """A network that gives the squared magnitude: a mask that is the magnitude."""

    def forward(self, mixture: torch.Tensor, latent_threshold: float) -> Estimate:
        return Estimate(mixture[:, N_CONTEXT : mixture.shape[1] - N_CONTEXT].square())


def checkpoint_of(network: torch.nn.Module, overlap: int = 0, **separation: object) -> Checkpoint:
    return replace(tiny_checkpoint(segments={"overlap": overlap}, separation=separation), network=network)


def voice(checkpoint: Checkpoint, mixture: np.ndarray) -> np.ndarray:
    return np.concatenate(list(Separator(checkpoint, torch.device("cpu")).estimates(mixture)), axis=2)[0]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(OVERLAPS), st.integers(1, 9000), st.integers(1, 3), st.integers(1, 40), st.sampled_from(["each", "mean"]))
def test_an_identity_network_gives_back_the_mixture(overlap: int, n_samples: int, n_channels: int, batch_size: int, channels: str) -> None:
    mixture = noise(n_channels, n_samples)
    checkpoint = checkpoint_of(Identity(N_CONTEXT), overlap, batch_size=batch_size, channels=channels)
    estimate = voice(checkpoint, mixture)
    assert estimate.shape == mixture.shape
    np.testing.assert_allclose(estimate, mixture, atol=2e-6)


@pytest.mark.parametrize("overlap", OVERLAPS)
def test_estimates_of_segments_are_faded_into_each_other(overlap: int) -> None:
    """Against one loop over all segments of the whole signal's transform, in an order of its own."""
    mixture, checkpoint = noise(1, 7000), checkpoint_of(PerSequence(), overlap, batch_size=3)
    segments, stft = checkpoint.recipe.segments, Stft(checkpoint.recipe.front_end, dtype=torch.float64)
    bins = stft.transform(torch.from_numpy(mixture[0]).double())
    n_frames, n_silent = len(bins), 2 * segments.n_frames  # silence around the signal, in frames
    n_lead = segments.n_estimated // segments.step * segments.step  # estimated frames before the first, at least as many as are shared
    padded = np.pad(mixture[0].astype(np.float64), n_silent * stft.hop)
    magnitudes = stft.transform(torch.from_numpy(padded)).abs()
    begins = range(n_silent - n_lead, n_silent + n_frames, segments.step)
    estimates = [
        PerSequence()(magnitudes[None, begin - N_CONTEXT : begin - N_CONTEXT + segments.n_frames], 0.0).denoised[0].numpy()
        for begin in begins
    ]
    joined = torch.from_numpy(faded(estimates, segments)[n_lead : n_lead + n_frames])
    expected = stft.inverse(torch.polar(joined, bins.angle()), 7000)
    np.testing.assert_allclose(voice(checkpoint, mixture)[0], expected, atol=2e-6)


@pytest.mark.parametrize("iterations", [0, 4])
@pytest.mark.parametrize("overlap", [3, 6, 7])
def test_the_result_does_not_depend_on_the_batch_size(overlap: int, iterations: int) -> None:
    mixture = noise(2, 6000)
    results = [
        voice(checkpoint_of(PerSequence(), overlap, batch_size=size, griffin_lim_iterations=iterations), mixture) for size in (1, 5, 1000)
    ]
    for result in results[:2]:
        np.testing.assert_allclose(result, results[2], atol=2e-6)
    assert np.abs(results[0]).max() > 0.01


# --- channels


def test_the_mask_of_the_mean_is_applied_to_all_channels() -> None:
    mixture = noise(3, 5000) * np.array([[1.0], [0.3], [2.0]], np.float32)
    checkpoint = checkpoint_of(Squared(), channels="mean")
    stft = Stft(checkpoint.recipe.front_end, dtype=torch.float64)
    bins = stft.transform(torch.from_numpy(mixture).double())
    mask = stft.transform(torch.from_numpy(mixture.astype(np.float64).mean(axis=0))).abs()
    expected = stft.inverse(bins * mask, 5000)
    found = voice(checkpoint, mixture)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert np.abs(found - voice(checkpoint_of(Squared(), channels="each"), mixture)).max() > 0.01


def test_one_channel_is_its_own_mean() -> None:
    mixture = noise(1, 5000)
    both = [voice(checkpoint_of(Squared(), 3, channels=channels), mixture) for channels in ("each", "mean")]
    np.testing.assert_array_equal(*both)


@pytest.mark.parametrize("network", [Squared(), Identity(N_CONTEXT)])
def test_channels_that_cancel_have_no_mask_and_no_estimate(network: Callable[..., Estimate]) -> None:
    one = noise(1, 3000)
    found = voice(checkpoint_of(network, channels="mean"), np.concatenate([one, -one]))
    assert found.shape == (2, 3000) and not found.any()
