"""The scoring engine's parts: Toeplitz systems, correlations, quadratic forms, frames, signals."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from bsseval_signals import material

from madsep.bsseval import correlations, energies, filters, framing, signals, toeplitz
from madsep.core.errors import InputError


def lags_of(channels: np.ndarray, n_lags: int) -> np.ndarray:
    """Correlations (n_lags, m, m) by their definition: [t, a, b] = sum of a(n) b(n + t)."""
    n = channels.shape[1]
    return np.stack([channels[:, : n - lag] @ channels[:, lag:].T for lag in range(n_lags)])


def dense(lags: np.ndarray) -> np.ndarray:
    n_lags, m, _ = lags.shape
    blocks = [[lags[k - l] if k >= l else lags[l - k].T for l in range(n_lags)] for k in range(n_lags)]  # noqa: E741
    return np.block(blocks).reshape(n_lags * m, n_lags * m)


def channels(m: int, n: int = 3000) -> np.ndarray:
    return material(1, n, m)[0][0].T


@pytest.mark.parametrize(("m", "n_lags"), [(1, 1), (1, 2), (2, 1), (3, 2), (2, 9), (5, 16)])
def test_block_toeplitz_systems(m: int, n_lags: int) -> None:
    systems = np.stack([lags_of(channels(m), n_lags), 2 * lags_of(channels(m)[:, :1000], n_lags)])
    columns = np.random.default_rng(0).standard_normal((2, n_lags, m, 3))
    inverse = toeplitz.invert(systems)
    assert inverse is not None
    solution = toeplitz.solve(inverse, columns)
    assert solution is not None
    for lags, given, found, product in zip(systems, columns, solution, inverse.multiply(columns), strict=True):
        matrix, flat = dense(lags), given.reshape(n_lags * m, 3)
        np.testing.assert_allclose(product.reshape(flat.shape), matrix @ flat, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(found.reshape(flat.shape), np.linalg.solve(matrix, flat), rtol=1e-8)
        by_factor = toeplitz.solve_dense(lags, given, 0.0)
        assert by_factor is not None
        np.testing.assert_allclose(by_factor, found, rtol=1e-8)


def test_the_smallest_error_bounds_the_smallest_eigenvalue() -> None:
    lags = lags_of(channels(2), 12)
    inverse = toeplitz.invert(lags[None])
    assert inverse is not None
    smallest = np.linalg.eigvalsh(dense(lags))[0]
    assert smallest <= inverse.smallest_error()[0] < lags[0].trace()


def test_systems_that_are_not_positive_have_no_inverse() -> None:
    lags = lags_of(channels(2), 4)
    lags[1] *= 3
    assert toeplitz.invert(lags[None]) is None
    assert toeplitz.solve_dense(lags, lags, 0.0) is None


def test_a_condition_that_is_too_bad_has_no_dense_solution() -> None:
    lags = np.diag([1.0, 1e-9])[None]
    assert toeplitz.solve_dense(lags, np.ones((1, 2, 1)), 1e-8) is None
    assert toeplitz.solve_dense(lags, np.ones((1, 2, 1)), 1e-12) is not None


def test_independent_channels_span_the_rest() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 500))
    stacked = np.stack([a, 2 * a, b, a + b])
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    kept = filters.independent_channels(stacked @ stacked.T)
    assert len(kept) == 2 and np.linalg.matrix_rank(stacked[kept]) == 2


@pytest.mark.parametrize(("n_plain", "n_others", "length"), [(1, 0, 700), (2, 1, 700), (1, 2, 90), (2, 2, 20000)])
def test_correlations_by_their_definition(n_plain: int, n_others: int, length: int) -> None:
    n_pairs, n_lags = n_plain + n_others, 16
    lanes = np.random.default_rng(0).standard_normal((2 * n_pairs, length))
    lanes[1] *= 1e-9  # far below the channel that shares its FFT
    lanes[-1] = 0.0
    correlator = correlations.LagCorrelator((n_plain, n_pairs), n_lags, length)
    found = np.zeros((n_lags, 2 * n_plain, 2 * n_pairs))
    for start in range(0, length, correlator.stretch):
        stretch = np.zeros((2 * n_pairs, correlator.n_columns))
        part = lanes[:, start : start + correlator.n_columns]
        stretch[:, : part.shape[1]] = part
        found += correlator.lags(stretch[0::2] + 1j * stretch[1::2], np.sum(part**2, axis=1))
    scale = np.linalg.norm(lanes, axis=1)
    expected = lags_of(lanes, n_lags)[:, : 2 * n_plain]
    assert (np.abs(found - expected) <= 1e-13 * np.outer(scale[: 2 * n_plain], scale)).all()


def test_a_frame_is_cut_to_blocks_that_cover_it() -> None:
    for length in (1, 511, 1538, 44100, 10**6):
        n_fft, block, n_blocks = correlations.block_plan(length, 512)
        assert block + 511 <= n_fft and (block * n_blocks >= length or n_blocks == correlations.MAX_BLOCKS)


def test_a_quadratic_form_is_the_energy_of_the_filtered_signals() -> None:
    x, taps = channels(3, 400), np.random.default_rng(1).standard_normal((6, 3, 2))
    filtered = sum(np.convolve(x[a], taps[:, a, c]) for a in range(3) for c in [0])
    other = sum(np.convolve(x[a], taps[:, a, 1]) for a in range(3))
    energy = np.sum(filtered**2) + np.sum(other**2)
    np.testing.assert_allclose(np.sum(energies.forms(taps) * lags_of(x, 6)), energy, rtol=1e-12)


def test_decibels() -> None:
    found = energies.decibels(np.array([10.0, 1.0, 0.0, 0.0]), np.array([1.0, 0.0, 1.0, 0.0]))
    np.testing.assert_allclose(found, [10.0, -20 * np.log10(np.finfo(float).eps), -np.inf, np.inf])


@pytest.mark.parametrize(
    ("window", "hop", "expected"),
    [
        (4, 4, [(0, 4), (4, 8)]),
        (4, 3, [(0, 4), (3, 7), (6, 10)]),
        (2.5, 2.5, [(0, 2), (2, 5), (5, 7), (7, 10)]),
        (10, 3, [(0, 10)]),
        (np.inf, np.inf, [(0, 10)]),
    ],
)
def test_frames_of_ten_samples(window: float, hop: float, expected: list[tuple[int, int]]) -> None:
    assert framing.frames(window, hop, 10) == expected


def test_tiles_are_the_frames_and_the_rest() -> None:
    assert framing.tiles([(0, 4), (4, 8)], 10) == [(0, 4), (4, 8), (8, 10)]
    assert framing.tiles([(0, 5), (5, 10)], 10) == [(0, 5), (5, 10)]
    assert framing.tiles([(0, 5), (4, 9)], 10) is None


def test_a_wav_is_read_in_stretches(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-32768, 32768, (1000, 2)).astype(np.int16)
    sf.write(tmp_path / "a.wav", samples, 8000, subtype="PCM_16")
    wav = signals.as_signal(tmp_path / "a.wav")
    assert (wav.n_channels, wav.n_samples) == (2, 1000)
    for start, n in ((900, 100), (0, 10), (500, 0)):
        np.testing.assert_array_equal(wav.read(start, n), samples[start : start + n].T / 32768)


def test_a_wav_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        signals.WavSignal(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("not audio")
    with pytest.raises(InputError, match="is not a wav or flac with a valid length"):
        signals.WavSignal(tmp_path / "text.wav")
    sf.write(tmp_path / "cut.wav", np.zeros((1000, 2)), 8000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:1000])
    with pytest.raises(InputError, match="truncated"):
        signals.WavSignal(tmp_path / "cut.wav")


def test_a_sum_of_signals() -> None:
    a, b = np.arange(10.0), np.ones((10, 1))
    total = signals.SumSignal([signals.as_signal(a), signals.as_signal(b)])
    np.testing.assert_array_equal(total.read(2, 3), [[3.0, 4.0, 5.0]])


def test_complex_samples_are_refused() -> None:
    with pytest.raises(InputError, match="real samples"):
        signals.as_signal(np.ones((5, 2), complex))
