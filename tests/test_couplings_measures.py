"""The measures on matrices whose answers are known."""

import numpy as np
import pytest

from madsep.couplings import measures as m
from madsep.couplings.measures import best_gains, input_weighted_cosine, measures, row_dominance, with_interval


def frames(n_bins: int, seed: int, n_frames: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).random((n_frames, n_bins))


@pytest.mark.parametrize(("n_bins", "seed"), [(4, 0), (9, 1), (32, 2)])
def test_a_diagonal_is_all_diagonal(n_bins: int, seed: int) -> None:
    gains, inputs = np.random.default_rng(seed).random(n_bins) - 0.5, frames(n_bins, seed)
    found = measures(np.diag(gains), inputs, inputs * gains)
    assert {name for name, value in found.items() if value == pytest.approx(1)} == {
        *(name for name in found if "share" in name),
        *("rows_dominated_by_diagonal", "rows_with_peak_at_diagonal"),
    }
    assert [found[name] for name in found if "fit" in name] == pytest.approx([0, 0, 0, 0], abs=1e-12)


@pytest.mark.parametrize(("n_bins", "step"), [(12, 1), (20, 3), (20, 6)])
def test_a_shift_is_found_within_its_band_alone(n_bins: int, step: int) -> None:
    """Of all N rows of a circular shift, N - step have their entry `step` below the diagonal; the others' are far away."""
    c, inputs = np.roll(np.eye(n_bins), step, 0), frames(n_bins, 3)
    found = measures(c, inputs, inputs @ c.T)
    for band in (0, *m.BANDS):
        suffix, expected = f"_band_{band}" if band else "", (n_bins - step) / n_bins if band >= step else 0
        assert found[f"energy_share{suffix}"] == pytest.approx(expected)
        assert found[f"magnitude_share{suffix}"] == pytest.approx(expected)
        weight = inputs.mean(0)[: n_bins - step].sum() / inputs.mean(0).sum()
        assert found[f"input_weighted_share{suffix}"] == pytest.approx(weight if band >= step else 0)
    assert found["rows_dominated_by_diagonal"] == 0
    assert found["rows_with_peak_at_diagonal"] == ((n_bins - 1) / n_bins if step == 1 else 0)
    assert (found["relative_fit"], found["relative_fit_of_diagonal"]) == (0, 1)


def test_shares_by_hand() -> None:
    c = np.array([[3.0, -1.0, 0.0], [2.0, 0.0, 2.0], [0.0, 0.0, -4.0]])
    assert m.diagonal_energy_share(c) == pytest.approx(25 / 34)
    assert m.diagonal_magnitude_share(c) == pytest.approx(7 / 12)
    assert m.diagonal_magnitude_share(c, 1) == m.diagonal_energy_share(c, 2) == m.diagonal_energy_share(c, 5) == 1
    assert m.input_weighted_share(c, np.array([1.0, 0.0, 10.0]), 0) == pytest.approx(43 / 65)


def test_a_silent_bin_has_no_weight() -> None:
    """Whatever the fit left in its column."""
    c, mean_input = np.eye(5), np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    c[:, 2] = 1e6
    assert m.diagonal_magnitude_share(c) < 0.3
    assert m.input_weighted_share(c, mean_input, 0) == 1


def test_dominance_by_hand() -> None:
    c = np.array([[3.0, -1.0, 1.0, 0.0], [0.0, 2.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 1.0]])
    assert row_dominance(c, np.ones(4), -60) == (0.25, 0.5)
    loudness = np.array([1.0, 0.2, 0.01, 0.0])  # 0, -14, -40 dB, silence
    assert row_dominance(c, loudness, -60) == pytest.approx((1 / 3, 2 / 3))
    assert row_dominance(c, loudness, -20) == (0.5, 1)
    assert row_dominance(c, loudness, 0) == (1, 1)
    assert np.isnan(row_dominance(c, np.zeros(4), -60)).all()


@pytest.mark.parametrize("seed", range(3))
def test_fits_are_sums_over_all_frames_and_bins(seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, inputs, outputs = rng.standard_normal((6, 6)), rng.random((11, 6)), rng.random((11, 6))
    error = sum(abs(outputs[t, i] - sum(c[i, j] * inputs[t, j] for j in range(6))) for t in range(11) for i in range(6))
    of_diagonal = sum(abs(outputs[t, i] - c[i, i] * inputs[t, i]) for t in range(11) for i in range(6))
    found = measures(c, inputs, outputs)
    assert found["relative_fit"] == pytest.approx(error / outputs.sum())
    assert found["relative_fit_of_diagonal"] == pytest.approx(of_diagonal / outputs.sum())
    of_gains = sum(min(np.abs(outputs[:, i] - g * inputs[:, i]).sum() for g in outputs[:, i] / inputs[:, i]) for i in range(6))
    assert found["relative_fit_of_best_gains"] == pytest.approx(of_gains / outputs.sum())
    assert found["relative_fit_lost_by_best_gains"] == pytest.approx((of_gains - error) / outputs.sum())
    assert m.relative_fit(np.zeros((6, 6)), inputs, outputs) == 1


def test_the_scale_of_couplings_does_not_matter_to_their_structure() -> None:
    c, inputs = np.random.default_rng(4).standard_normal((8, 8)), frames(8, 4)
    one, large = measures(c, inputs, inputs), measures(1e4 * c, inputs, inputs)
    assert all(large[name] == pytest.approx(one[name]) for name in one if "fit" not in name)


def test_what_is_undefined_is_nan() -> None:
    found = measures(np.zeros((3, 3)), frames(3, 5), np.zeros((50, 3)))
    assert all(np.isnan(value) for name, value in found.items() if "share" in name or "fit" in name)
    assert (found["rows_dominated_by_diagonal"], found["rows_with_peak_at_diagonal"]) == (0, 0)


def test_best_gains_by_hand() -> None:
    inputs = np.array([[1.0, 2.0, 0.0, 1.0], [1.0, 0.0, 0.0, 4.0], [1.0, 1.0, 0.0, 1.0]])
    outputs = np.array([[0.1, 1.0, 0.0, 0.9], [0.7, 3.0, 0.0, 0.4], [0.5, 0.1, 0.0, 0.8]])
    # medians of .1 .7 .5; of .5 .1 with weights 2 1 (nothing explains the 3); no input; of .9 .1 .8 with weights 1 4 1
    assert best_gains(inputs, outputs) == pytest.approx([0.5, 0.5, 0, 0.1])


@pytest.mark.parametrize("seed", range(3))
def test_no_gain_fits_better(seed: int) -> None:
    generator = np.random.default_rng(seed)
    inputs, outputs = generator.random((40, 5)) ** 2, generator.random((40, 5))
    gains = best_gains(inputs, outputs)
    least = np.abs(outputs - inputs * gains).sum(0)
    for other in np.linspace(0, 5, 501):
        assert (np.abs(outputs - inputs * other).sum(0) >= least - 1e-12).all()


def test_gains_can_fit_where_the_diagonal_alone_does_not() -> None:
    """Couplings of bins that always sound together say nothing: their diagonal alone fits badly, a filter of one gain per bin perfectly."""
    voice = np.random.default_rng(0).random((50, 1))
    inputs = voice * [1.0, 2.0]
    found = measures(np.array([[0.1, 0.2], [0.4, 0.3]]), inputs, 0.5 * inputs)
    assert found["relative_fit"] == pytest.approx(0) and found["relative_fit_of_diagonal"] > 0.5
    assert found["relative_fit_of_best_gains"] == pytest.approx(0) and found["relative_fit_lost_by_best_gains"] == pytest.approx(0)


def test_means_have_intervals_over_groups() -> None:
    mean = with_interval([1.0, 2.0, 3.0, 6.0, np.nan])
    # standard deviation sqrt(14 / 3), Student's quantile for 3 degrees of freedom 3.1824
    half = 3.1824 * (14 / 3) ** 0.5 / 2
    assert mean == pytest.approx((3, 3 - half, 3 + half, 4), abs=1e-3)
    assert with_interval([0.25])[::3] == (0.25, 1) and np.isnan(with_interval([0.25])[1:3]).all()
    assert with_interval([np.nan]).n_groups == 0


@pytest.mark.parametrize("n_groups", [2, 4, 12])
def test_intervals_over_few_groups_cover_95_percent(n_groups: int) -> None:
    """Of 2,000 draws of groups, 1,900 intervals hold the truth, give or take 2.5 standard deviations of 10."""
    values = np.random.default_rng(n_groups).normal(0.3, 0.05, (2000, n_groups))
    intervals = [with_interval(groups) for groups in values]
    assert sum(found.low <= 0.3 <= found.high for found in intervals) == pytest.approx(1900, abs=25)


def test_the_cosine_tells_how_alike_two_maps_are_where_there_is_energy() -> None:
    generator = np.random.default_rng(4)
    one, x = generator.normal(size=(7, 7)), generator.uniform(0.5, 2, 7)
    weighted = one * x
    other = generator.normal(size=(7, 7))
    other -= (other * x * weighted).sum() / (weighted**2).sum() * one  # nothing in common
    assert input_weighted_cosine(one, 3 * one, x) == pytest.approx(1)
    assert input_weighted_cosine(one, -one, x) == pytest.approx(-1)
    assert input_weighted_cosine(one, other, x) == pytest.approx(0, abs=1e-12)
    assert input_weighted_cosine(one, one + other, x) == pytest.approx(np.linalg.norm(weighted) / np.linalg.norm((one + other) * x))
    elsewhere = np.where(np.arange(7) == 2, 100, one)
    x[2] = 0
    assert input_weighted_cosine(one, elsewhere, x) == pytest.approx(1)
    assert np.isnan(input_weighted_cosine(one, np.zeros((7, 7)), x))
