"""BSS Eval v3's sources scores against museval, mir_eval's numbers, and projections worked out with dense matrices."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from bsseval_signals import material

from madsep.bsseval import BssEvalWarning, SourcesScorer, bss_eval_sources
from madsep.core.errors import InputError

TOLERANCE_DB = 1e-8

# mir_eval 0.8.2, separation.bss_eval_sources(..., compute_permutation=False) of material(3, 4000, 1, 11), and of material(2, 6000, 1, 12)
# with its estimates 40 samples late: SDR, SIR, SAR
THREE_SOURCES = [[13.49935, 16.146391, 18.049576], [13.62451, 16.357895, 18.255854], [29.149515, 29.475675, 31.450037]]
LATE = [[12.076452, 15.831568], [13.484074, 18.164038], [17.84472, 19.711193]]


@pytest.fixture
def museval_scores(monkeypatch: pytest.MonkeyPatch) -> Callable[..., np.ndarray]:
    metrics = pytest.importorskip("museval.metrics")
    if not hasattr(np.linalg, "linalg"):
        monkeypatch.setattr(np.linalg, "linalg", np.linalg, raising=False)

    def scores(references: np.ndarray, estimates: np.ndarray) -> np.ndarray:
        options = {"compute_permutation": False, "framewise_filters": True, "bsseval_sources_version": True}
        sdr, _, sir, sar, _ = metrics.bss_eval(references[..., None], estimates[..., None], window=np.inf, hop=np.inf, **options)
        return np.stack([sdr, sir, sar])[..., 0]

    return scores


def mono(n_sources: int, n_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    references, estimates = material(n_sources, n_samples, 1, seed)
    return references[..., 0], estimates[..., 0]


def projected(delayed: list[np.ndarray], estimate: np.ndarray) -> np.ndarray:
    matrix = np.stack(delayed, axis=1)
    return matrix @ np.linalg.lstsq(matrix, estimate, rcond=None)[0]


def decomposed(references: np.ndarray, estimates: np.ndarray, filters_len: int) -> np.ndarray:
    """SDR, SIR and SAR from projections onto matrices of delayed references."""
    pad = filters_len - 1
    delayed = [[np.roll(np.pad(one, (0, pad)), delay) for delay in range(filters_len)] for one in references]
    scores = []
    for own, estimate in zip(delayed, np.pad(estimates, ((0, 0), (0, pad))), strict=True):
        target, everything = projected(own, estimate), projected([x for one in delayed for x in one], estimate)
        parts = [(target, estimate - target), (target, everything - target), (everything, estimate - everything)]
        scores.append([10 * np.log10((x @ x) / (y @ y)) for x, y in parts])
    return np.transpose(scores)


@pytest.mark.parametrize(("n_sources", "filters_len"), [(2, 1), (2, 12), (3, 5)])
def test_scores_are_those_of_dense_projections(n_sources: int, filters_len: int) -> None:
    references, estimates = mono(n_sources, 300, n_sources)
    found = np.stack(bss_eval_sources(references, estimates, filters_len))
    np.testing.assert_allclose(found, decomposed(references, estimates, filters_len), rtol=0, atol=TOLERANCE_DB)


@pytest.mark.parametrize("n_sources", [2, 3])
def test_scores_are_musevals(museval_scores: Callable[..., np.ndarray], n_sources: int) -> None:
    references, estimates = mono(n_sources, 9000, n_sources)
    found = np.stack(bss_eval_sources(references, estimates))
    np.testing.assert_allclose(found, museval_scores(references, estimates), rtol=0, atol=TOLERANCE_DB)


def test_scores_are_mir_evals() -> None:
    np.testing.assert_allclose(bss_eval_sources(*mono(3, 4000, 11)), THREE_SOURCES, rtol=0, atol=1e-6)
    references, estimates = mono(2, 6000, 12)
    np.testing.assert_allclose(bss_eval_sources(references, np.roll(estimates, 40, axis=1)), LATE, rtol=0, atol=1e-6)


def test_digits_of_a_nearly_perfect_estimate_are_kept(museval_scores: Callable[..., np.ndarray]) -> None:
    references, _ = mono(2, 9000, 4)
    estimates = references + 1e-7 * np.random.default_rng(0).standard_normal(references.shape)
    found = np.stack(bss_eval_sources(references, estimates))
    assert found.min() > 110
    np.testing.assert_allclose(found, museval_scores(references, estimates), rtol=0, atol=1e-5)


@pytest.mark.parametrize("clip", ["Ani_1_01", "titon_3_05"])
def test_real_singing_scores_as_by_museval(shared: Path, museval_scores: Callable[..., np.ndarray], clip: str) -> None:
    channels, _ = sf.read(shared / f"data/mir1k/Wavfile/{clip}.flac")
    references = channels.T[::-1]  # voice, accompaniment
    mixture = references.sum(axis=0)
    voice = 0.7 * references[0] + 0.1 * np.roll(references[0], 5) + 0.1 * references[1]
    voice = np.round(np.clip(voice, -0.3, 0.3) * 32768) / 32768
    estimates = np.stack([voice, mixture - voice])
    found = np.stack(bss_eval_sources(references, estimates))
    np.testing.assert_allclose(found, museval_scores(references, estimates), rtol=0, atol=TOLERANCE_DB)
    of_mixture = np.stack(bss_eval_sources(references, np.stack([mixture, mixture])))[:2]  # SAR is infinite but for rounding
    np.testing.assert_allclose(of_mixture, museval_scores(references, np.stack([mixture, mixture]))[:2], rtol=0, atol=TOLERANCE_DB)


def test_a_filter_of_the_reference_is_no_distortion() -> None:
    references, _ = mono(2, 5000, 5)
    ends = references.copy()
    ends[:, -600:] = 0  # what a filter delays stays within the signal
    filtered = np.stack([np.convolve(one, [0.5, 0.0, -0.2, 0.1])[:5000] for one in ends])
    assert np.stack(bss_eval_sources(ends, filtered)).min() > 200
    delayed_too_far = np.roll(ends, 550, axis=1)
    assert bss_eval_sources(ends, delayed_too_far)[0].max() < 20


def test_a_scorer_serves_several_systems_and_each_source_alone() -> None:
    references, estimates = mono(2, 5000, 6)
    kept = references.copy(), estimates.copy()
    scorer = SourcesScorer(references)
    first = scorer.score(estimates)
    louder = scorer.score(3 * estimates)
    np.testing.assert_allclose(first, louder, rtol=0, atol=TOLERANCE_DB)
    assert np.array_equal(first, bss_eval_sources(references, estimates))
    assert scorer.score_source(1, estimates[1]) == tuple(score[1] for score in first)
    assert np.array_equal(references, kept[0]) and np.array_equal(estimates, kept[1])


def test_integers_score_as_the_same_numbers_in_floating_point() -> None:
    references, estimates = (np.round(32768 * x).astype(np.int16) for x in mono(2, 3000, 7))
    found = bss_eval_sources(references, estimates)
    np.testing.assert_allclose(found, bss_eval_sources(references / 32768, estimates / 32768), rtol=0, atol=TOLERANCE_DB)


def test_nothing_interferes_with_a_source_alone() -> None:
    references, estimates = mono(1, 3000, 8)
    (sdr,), (sir,), (sar,) = bss_eval_sources(references, estimates)
    assert np.isinf(sir) and sdr == pytest.approx(sar, abs=TOLERANCE_DB)


def test_references_that_copy_each_other_are_scored_with_a_warning() -> None:
    references, estimates = mono(2, 3000, 9)
    copies = np.stack([references[0], 0.5 * references[0]])
    with pytest.warns(BssEvalWarning, match="copies of one another"):
        sdr, _, sar = bss_eval_sources(copies, estimates)
    alone = bss_eval_sources(references[:1], estimates[:1])
    assert (sdr[0], sar[0]) == pytest.approx((alone[0][0], alone[2][0]), abs=1e-5)


def test_ordinary_references_give_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bss_eval_sources(*mono(2, 3000, 10))


def with_sample(values: np.ndarray, value: float) -> np.ndarray:
    changed = values.copy()
    changed[1, 7] = value
    return changed


def silenced(values: np.ndarray) -> np.ndarray:
    return values * [[1], [0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, e: (silenced(r), e), "The reference of source 2 is silent throughout"),
        (lambda r, e: (r, silenced(e)), "The estimate of source 2 is silent throughout"),
        (lambda r, e: (with_sample(r, np.nan), e), "reference of source 2 holds a sample that is not finite, the first at sample 7"),
        (lambda r, e: (r, with_sample(e, np.inf)), "estimate of source 2 holds a sample that is not finite, the first at sample 7"),
        (lambda r, e: (r, e[:1]), "2 references and 1 estimates"),
        (lambda r, e: (r, e[:, :-1]), r"has shape \(999,\); expected \(1000,\)"),
        (lambda r, e: (r[0], e), r"References of shape \(1000,\): expected \(n_sources, n_samples\)"),
        (lambda r, e: (r[:, :0], e), r"References of shape \(2, 0\)"),
    ],
)
def test_what_cannot_be_scored_is_refused(change: Callable[..., tuple[np.ndarray, np.ndarray]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bss_eval_sources(*change(*mono(2, 1000, 13)))


def test_a_filter_needs_a_tap() -> None:
    with pytest.raises(InputError, match="filters_len 0: expected at least 1"):
        bss_eval_sources(*mono(2, 1000, 14), filters_len=0)
