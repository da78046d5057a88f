"""The scoring engine against museval 0.4.1, and where museval has no answer, against what is documented."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from bsseval_signals import material

from madsep import bsseval
from madsep.bsseval import energies, fft
from madsep.bsseval.engine import BssEvalWarning, Scorer, Settings
from madsep.bsseval.signals import as_signal
from madsep.bsseval.stretches import Estimate
from madsep.core.errors import InputError

TOLERANCE_DB = 1e-6
CHANNEL_COPY, NOISY, RATIO = "copy or a sum", "100 dB below", "measure rounding"


@pytest.fixture
def museval_scores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., np.ndarray]:
    metrics = pytest.importorskip("museval.metrics")
    if not hasattr(np.linalg, "linalg"):
        monkeypatch.setattr(np.linalg, "linalg", np.linalg, raising=False)

    def scores(references: np.ndarray, estimates: np.ndarray, *arguments: float, v3: bool = False) -> np.ndarray:
        window, hop, filters_len = arguments
        found = metrics.bss_eval(references, estimates, window=window, hop=hop, filters_len=int(filters_len), framewise_filters=v3)
        return np.stack(found[:4])

    return scores


def ours(references: np.ndarray, estimates: np.ndarray, *arguments: float, v3: bool = False) -> np.ndarray:
    window, hop, filters_len = arguments
    return np.stack(bsseval.bss_eval(references, estimates, window, hop, int(filters_len), v3))


def scored(references: np.ndarray, estimates: np.ndarray, settings: Settings) -> np.ndarray:
    names = [f"s{number}" for number in range(len(references))]
    made = [Estimate(name, as_signal(one), (number,)) for number, (name, one) in enumerate(zip(names, estimates, strict=True))]
    return Scorer(names, [as_signal(one) for one in references], settings).score(made, [tuple(range(len(made)))])[0]


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance_db: float = TOLERANCE_DB) -> None:
    """Equal NaN masks, equal infinities, and finite values within the tolerance."""
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance_db, equal_nan=True)


@pytest.mark.parametrize(("n_sources", "n_channels"), [(1, 1), (1, 3), (2, 1), (2, 2), (3, 1), (3, 3), (4, 2), (8, 1), (2, 8)])
def test_any_number_of_sources_and_channels(museval_scores: Callable[..., np.ndarray], n_sources: int, n_channels: int) -> None:
    references, estimates = material(n_sources, 6000, n_channels)
    assert_same(ours(references, estimates, 2000, 2000, 24), museval_scores(references, estimates, 2000, 2000, 24))


@pytest.mark.parametrize(
    ("window", "hop", "filters_len"),
    [
        *((2000, 2000, 1), (2000, 2000, 2), (2000, 2000, 33), (2000, 1000, 32), (1000, 1700, 32), (1234.5, 777.7, 17)),
        *((np.inf, np.inf, 16), (7000, 7000, 16), (6000, 6000, 16), (40, 40, 64), (5999, 1, 16), (100, 100, 100)),
    ],
)
def test_any_window_hop_and_filter(museval_scores: Callable[..., np.ndarray], window: float, hop: float, filters_len: int) -> None:
    references, estimates = material(2, 6000, 2)
    expected = museval_scores(references, estimates, window, hop, filters_len)
    assert_same(ours(references, estimates, window, hop, filters_len), expected)


@pytest.mark.parametrize("n_samples", [30000, 30001, 12345])
def test_full_filters_on_long_and_odd_lengths(museval_scores: Callable[..., np.ndarray], n_samples: int) -> None:
    references, estimates = material(2, n_samples, 2)
    assert_same(ours(references, estimates, 11025, 11025, 512), museval_scores(references, estimates, 11025, 11025, 512))


def test_frames_of_many_blocks(museval_scores: Callable[..., np.ndarray]) -> None:
    references, estimates = material(2, 9000, 1)
    assert_same(ours(references, estimates, np.inf, np.inf, 8), museval_scores(references, estimates, np.inf, np.inf, 8))


def test_two_dimensional_input_is_one_channel(museval_scores: Callable[..., np.ndarray]) -> None:
    references, estimates = (signals[..., 0] for signals in material(2, 4000, 1))
    assert_same(ours(references, estimates, 2000, 2000, 16), museval_scores(references, estimates, 2000, 2000, 16))


@pytest.mark.parametrize("hop", [2000, 1500])
def test_framewise_filters_are_v3(museval_scores: Callable[..., np.ndarray], hop: int) -> None:
    references, estimates = material(2, 6000, 2)
    references[0, :2000] = 0.0
    arguments = (2000, hop, 16)
    with np.errstate(all="ignore"):
        expected = museval_scores(references, estimates, *arguments, v3=True)
    assert np.isnan(expected[:, :, 0]).all()
    assert_same(ours(references, estimates, *arguments, v3=True), expected)


def test_silent_frames_are_nan_for_all_targets(museval_scores: Callable[..., np.ndarray]) -> None:
    references, estimates = material(3, 12000, 2)
    references[0, 2000:4000] = 0.0
    estimates[1, 6000:8000] = 0.0
    references[2, 8000:10000, 1] = -references[2, 8000:10000, 0]  # sums to zero over channels: silent to museval
    references[1, 10000:12000, 0] = 0.0  # one silent channel is not
    expected = museval_scores(references, estimates, 2000, 2000, 16)
    assert np.isnan(expected).all(axis=(0, 1)).tolist() == [False, True, False, True, True, False]
    assert_same(ours(references, estimates, 2000, 2000, 16), expected)


@pytest.mark.parametrize("n_samples", [5000, 9000])
def test_estimates_are_padded_or_cut(museval_scores: Callable[..., np.ndarray], n_samples: int) -> None:
    references, estimates = material(2, 9000, 2)
    references, other = references[:, :7000], estimates[:, :n_samples]
    expected = np.zeros((2, 7000, 2))
    expected[:, : min(n_samples, 7000)] = other[:, :7000]
    assert_same(ours(references, other, 1500, 1500, 16), museval_scores(references, expected, 1500, 1500, 16))


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_other_sample_types(museval_scores: Callable[..., np.ndarray], dtype: type) -> None:
    references, estimates = material(2, 6000, 2)
    if dtype is np.int16:
        references, estimates = references * 32768, estimates * 32768
    expected = museval_scores(references, estimates, 2000, 2000, 16)
    assert_same(ours(references.astype(dtype), estimates.astype(dtype), 2000, 2000, 16), expected)


@pytest.mark.parametrize("gains", [(1.0, 1e-5, 1.0, 1.0), (1.0, 1.0, 1.0, 1e-6), (1.0, 1.0, 1.0, 0.0), (1e3, 1e-3, 1e3, 1e-3)])
def test_quiet_and_silent_channels(museval_scores: Callable[..., np.ndarray], gains: tuple[float, ...]) -> None:
    references, _ = material(2, 12000, 2)
    references = references * np.array(gains).reshape(2, 1, 2)
    estimates = 0.8 * references + 0.1 * references[::-1] + 0.01 * np.random.default_rng(1).standard_normal(references.shape)
    assert_same(ours(references, estimates, 4000, 4000, 32), museval_scores(references, estimates, 4000, 4000, 32))


def test_band_limited_references_of_16_bits(museval_scores: Callable[..., np.ndarray]) -> None:
    from scipy.signal import butter, sosfilt

    references, _ = material(2, 24000, 2)
    references = np.round(sosfilt(butter(8, 0.7, output="sos"), references, axis=1) * 32768) / 32768
    estimates = 0.8 * references + 0.1 * references[::-1] + 0.001 * np.random.default_rng(1).standard_normal(references.shape)
    arguments = (8000, 8000, 128)
    expected = museval_scores(references, estimates, *arguments)
    assert_same(ours(references, estimates, *arguments), expected)


def test_one_source_has_no_interference() -> None:
    references, estimates = material(1, 4000, 2)
    assert np.isposinf(ours(references, estimates, 2000, 2000, 16)[2]).all()


def test_the_time_domain_gives_the_energies_of_the_quadratic_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    references, estimates = material(2, 9000, 2)
    expected = ours(references, estimates, 2000, 1500, 32)
    monkeypatch.setattr(energies, "LOST_DIGITS", np.inf)
    monkeypatch.setattr("madsep.bsseval.direct.STRETCH", 700)
    assert_same(ours(references, estimates, 2000, 1500, 32), expected, 1e-9)


def test_an_estimate_with_hardly_any_artifacts(museval_scores: Callable[..., np.ndarray]) -> None:
    """SAR around 125 dB: the quadratic form alone would have lost all its digits."""
    references, _ = material(2, 9000, 2)
    noise = 1e-8 * np.random.default_rng(1).standard_normal(references.shape)
    estimates = 0.7 * references + 0.1 * references[::-1] + noise
    expected = museval_scores(references, estimates, 3000, 3000, 32)
    assert expected[3].min() > 110
    with pytest.warns(BssEvalWarning, match=RATIO):
        found = ours(references, estimates, 3000, 3000, 32)
    assert_same(found, expected, 1e-5)


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    references, estimates = material(2, 40000, 2)
    one, three = (scored(references, estimates, Settings(1000, 1000, 32, n_threads=n)) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_v3_results_do_not_depend_on_the_number_of_threads() -> None:
    references, estimates = material(2, 9000, 2)
    one, three = (scored(references, estimates, Settings(1000, 1000, 8, True, n)) for n in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_both_fft_libraries_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    if fft.DUCC0 is None:
        pytest.skip("ducc0 is not installed")
    references, estimates = material(2, 20000, 2)
    fast = ours(references, estimates, 8000, 8000, 512)
    monkeypatch.setattr(fft, "DUCC0", None)
    assert_same(ours(references, estimates, 8000, 8000, 512), fast, 1e-9)


def warned(references: np.ndarray, estimates: np.ndarray, window: float = 4000, filters_len: int = 32) -> tuple[np.ndarray, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = ours(references, estimates, window, window, filters_len)
    assert all(issubclass(one.category, BssEvalWarning) for one in caught)
    return found, [str(one.message) for one in caught]


def test_ordinary_material_gives_no_warning() -> None:
    assert warned(*material(2, 12000, 2))[1] == []


def by_least_squares(references: np.ndarray, estimates: np.ndarray, filters_len: int) -> np.ndarray:
    """SDR, ISR, SIR and SAR (4, n_sources) of whole signals, by least squares on all delayed references, singular or not."""
    n_sources, n_samples, _ = references.shape
    padded = np.pad(references, ((0, 0), (0, filters_len - 1), (0, 0)))
    delayed = np.stack([np.roll(padded, lag, axis=1) for lag in range(filters_len)], axis=3)
    scores = np.empty((4, n_sources))
    for number in range(n_sources):
        source, estimate = padded[number], np.pad(estimates[number], ((0, filters_len - 1), (0, 0)))
        columns = [delayed[[number]], delayed]
        matrices = [np.moveaxis(one, 1, 0).reshape(n_samples + filters_len - 1, -1) for one in columns]
        own, together = (matrix @ np.linalg.lstsq(matrix, estimate, rcond=1e-10)[0] for matrix in matrices)
        parts = ((source, estimate - source), (source, own - source), (own, together - own), (together, estimate - together))
        scores[:, number] = [10 * np.log10(np.sum(a**2) / np.sum(b**2)) for a, b in parts]
    return scores


def test_dual_mono_is_projected_onto_what_it_spans() -> None:
    references, estimates = material(2, 700, 2)
    references[1, :, 1] = references[1, :, 0]
    found, messages = warned(references, estimates, np.inf, 8)
    assert len(messages) == 2 and all(CHANNEL_COPY in message and "source 2" in message for message in messages)
    assert_same(found[:, :, 0], by_least_squares(references, estimates, 8))


def test_identical_references_are_projected_onto_once() -> None:
    """Both span the same: all but SIR are those of one source alone, and nothing is interference."""
    references, estimates = material(2, 700, 2)
    references[1] = references[0]
    found, messages = warned(references, estimates, np.inf, 8)
    assert len(messages) == 1 and CHANNEL_COPY in messages[0]
    assert_same(found[[0, 1, 3], :, 0], by_least_squares(references, estimates, 8)[[0, 1, 3]])
    assert (found[2] > 200).all() and np.isfinite(found).all()


def test_least_squares_agree_on_ordinary_material_too() -> None:
    references, estimates = material(3, 700, 2)
    assert_same(ours(references, estimates, np.inf, np.inf, 8)[:, :, 0], by_least_squares(references, estimates, 8))


@pytest.mark.parametrize("kind", ["delayed", "band-limited"])
def test_singular_systems_are_solved_with_noise(kind: str) -> None:
    from scipy.signal import butter, sosfilt

    references, estimates = material(2, 12000, 2)
    if kind == "delayed":
        references[1] = np.roll(references[0], 3, axis=0)
    else:
        references = sosfilt(butter(12, 0.3, output="sos"), references, axis=1)
    found, messages = warned(references, estimates)
    assert any(NOISY in message and "source 2" in message for message in messages)
    assert np.isfinite(found).all()
    turned, _ = warned(references[::-1], estimates[::-1])
    assert_same(turned[:, ::-1], found, 1e-3)
    np.testing.assert_allclose(found[0], bsseval.frame_sdr(list(references), list(estimates), 4000, 4000), atol=1e-9)


def test_nearly_singular_systems_are_solved_as_they_are(museval_scores: Callable[..., np.ndarray]) -> None:
    """References of 24 bits with an empty band: museval's digits from the second decimal on are rounding, and so are the engine's."""
    from scipy.signal import butter, sosfilt

    references, estimates = material(2, 12000, 2)
    references = np.round(sosfilt(butter(12, 0.5, output="sos"), references, axis=1) * 2**23) / 2**23
    found, messages = warned(references, estimates, 4000, 256)
    assert any("nearly" in message and "rounding" in message for message in messages)
    assert_same(found, museval_scores(references, estimates, 4000, 4000, 256), 0.5)


def test_an_estimate_equal_to_its_reference_has_the_largest_ratio() -> None:
    references, estimates = material(2, 12000, 2)
    estimates[0] = references[0]
    found, messages = warned(references, estimates)
    assert len(messages) == 1 and "source 1" in messages[0] and "equals its reference" in messages[0]
    np.testing.assert_allclose(found[:, 0], 20 * np.log10(1 / np.finfo(float).eps))
    other, _ = warned(references, np.stack([references[0] * 0.5, estimates[1]]))
    assert_same(found[:, 1:], other[:, 1:])


def test_the_mixture_as_estimate_is_finite_and_warned_of() -> None:
    references, _ = material(2, 12000, 2)
    found, messages = warned(references, np.stack([references.sum(axis=0)] * 2))
    assert len(messages) == 2 and all(RATIO in message for message in messages)
    assert np.isfinite(found).all() and found[3].min() > 200


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_is_refused(value: float) -> None:
    references, estimates = material(2, 6000, 2)
    estimates[1, 4321, 1] = value
    with pytest.raises(InputError, match=r"Estimate of source 2.*sample 4321"):
        ours(references, estimates, 2000, 2000, 16)
    with pytest.raises(InputError, match=r"Reference source 2.*sample 4321"):
        ours(estimates, references, 2000, 2000, 16)


@pytest.mark.parametrize("v3", [False, True])
def test_a_source_silent_throughout_is_refused(v3: bool) -> None:
    references, estimates = material(2, 6000, 2)
    for kind, (first, second) in {"reference": (references * 1, estimates), "estimate": (references, estimates * 1)}.items():
        (first if kind == "reference" else second)[1] = 0.0
        with pytest.raises(InputError, match=f"{kind} of source 2 is silent"):
            ours(first, second, 2000, 2000, 16, v3=v3)


@pytest.mark.parametrize(
    ("reference_shapes", "estimate_shapes", "message"),
    [
        ([(100, 2), (100, 2)], [(100, 2)], "2 references and 1 estimates"),
        ([(100, 2), (90, 2)], [(100, 2), (100, 2)], "90 samples; expected 2 of 100"),
        ([(100, 2), (100, 2)], [(100, 2), (100, 1)], "has 1 channels; expected 2"),
        ([(0, 2)], [(100, 2)], "nothing to score"),
        ([], [], "nothing to score"),
        ([(5, 5, 5)], [(100, 2)], "expected \\(n_samples, n_channels\\)"),
    ],
)
def test_shapes_that_do_not_fit(reference_shapes: list[tuple[int, ...]], estimate_shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bsseval.bss_eval([np.ones(x) for x in reference_shapes], [np.ones(x) for x in estimate_shapes], 50, 50, 4)


@pytest.mark.parametrize(("window", "hop", "filters_len"), [(0, 10, 4), (10, 0, 4), (10, np.inf, 4), (10, 10, 0), (np.nan, 10, 4)])
def test_arguments_out_of_range(window: float, hop: float, filters_len: int) -> None:
    with pytest.raises(InputError, match="expected"):
        bsseval.bss_eval(np.ones((1, 100, 1)), np.ones((1, 100, 1)), window, hop, filters_len)


def test_inputs_are_left_as_they_are() -> None:
    references, estimates = material(2, 6000, 2)
    before = references.copy(), estimates.copy()
    ours(references, estimates, 2000, 1000, 16)
    np.testing.assert_array_equal(references, before[0])
    np.testing.assert_array_equal(estimates, before[1])


@pytest.mark.parametrize(("window", "hop"), [(2000, 2000), (1500, 700), (np.inf, np.inf)])
def test_frame_sdr_is_the_sdr_of_bss_eval(window: float, hop: float) -> None:
    references, estimates = material(3, 7001, 2)
    estimates[1, 2000:4000] = 0.0
    expected = ours(references, estimates[:, :6500], window, hop, 8)[0]
    found = bsseval.frame_sdr(list(references), list(estimates[:, :6500]), window, hop)
    assert_same(found, expected, 1e-9)
    assert np.isnan(found).any() == (window == 2000 or window == 1500)


def test_frame_sdr_of_a_silent_estimate_is_nan() -> None:
    references, estimates = material(2, 6000, 2)
    assert np.isnan(bsseval.frame_sdr(list(references), [estimates[0], 0 * estimates[1]], 2000, 2000)).all()
