"""BSS Eval v3 "sources": scores of mono estimates that ignore any short filtering of their reference.

Let P_j be the projection onto the delays of reference j by 0 ... filters_len - 1 samples, and P the projection onto the delays of all
references (Vincent, Gribonval, Fevotte 2006, section III). An estimate e of reference j is decomposed into

    s_target = P_j e        e_interf = P e - P_j e        e_artif = e - P e

    SDR = |s_target|^2 / |e_interf + e_artif|^2
    SIR = |s_target|^2 / |e_interf|^2
    SAR = |s_target + e_interf|^2 / |e_artif|^2

over all n_samples + filters_len - 1 samples. The energies are computed from the three signals, not as differences of quadratic forms, so
that no digits are lost if an estimate is nearly perfect.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import scipy.fft

from madsep.bsseval import toeplitz
from madsep.bsseval.energies import decibels
from madsep.bsseval.engine import BssEvalWarning
from madsep.bsseval.filters import System, solve_all
from madsep.core.errors import InputError

DEPENDENT = "References: delayed or filtered copies of one another, or empty bands; the last digits of SIR and SAR are rounding errors"


def bss_eval_sources(references: np.ndarray, estimates: np.ndarray, filters_len: int = 512) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return SDR, SIR and SAR in dB, each (n_sources,), as `mir_eval.separation.bss_eval_sources` does without permutations.

    `references` and `estimates` have shape (n_sources, n_samples). Estimate j belongs to reference j. Raises InputError for other shapes,
    for samples that are not finite and for a reference or estimate that is silent throughout. Warns with BssEvalWarning if references are
    delayed or filtered copies of one another.
    """
    return SourcesScorer(references, filters_len).score(estimates)


class SourcesScorer:
    """Scorer of any number of systems on one clip, with references (n_sources, n_samples). Their normal equations are inverted once.

    Raises InputError for another shape, for samples that are not finite and for a reference that is silent throughout.
    """

    def __init__(self, references: np.ndarray, filters_len: int = 512) -> None:
        references = np.asarray(references, dtype=np.float64)
        if references.ndim != 2 or references.size == 0:
            raise InputError(f"References of shape {references.shape}: expected (n_sources, n_samples), mono, none of them empty.")
        if filters_len < 1:
            raise InputError(f"filters_len {filters_len}: expected at least 1.")
        self.n_sources, self.n_samples = references.shape
        self.filters_len = filters_len
        for number, reference in enumerate(references):
            _check_samples(reference, f"reference of source {number + 1}")
        self._n_fft = scipy.fft.next_fast_len(self.n_samples + filters_len - 1, real=True)
        self._spectra = scipy.fft.rfft(references, self._n_fft, axis=1)
        lags = self._lags(self._spectra)
        self._together = _Projection.onto(lags)
        self._alone = [_Projection.onto(lags[:, [number]][:, :, [number]]) for number in range(self.n_sources)]

    def score(self, estimates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return SDR, SIR and SAR in dB, each (n_sources,), of estimates (n_sources, n_samples).

        Raises InputError as `score_source` does, and if the numbers of estimates and references differ.
        """
        if len(estimates) != self.n_sources:
            raise InputError(f"{self.n_sources} references and {len(estimates)} estimates: expected equal numbers.")
        sdr, sir, sar = np.transpose([self.score_source(number, estimate) for number, estimate in enumerate(estimates)])
        return sdr, sir, sar

    def score_source(self, number: int, estimate: np.ndarray) -> tuple[float, float, float]:
        """Return SDR, SIR and SAR in dB of one estimate (n_samples,) of reference `number`. They do not depend on other estimates.

        SIR is infinite if there is only one reference. Raises InputError for another shape, for samples that are not finite and for an
        estimate that is silent throughout.
        """
        estimate = np.asarray(estimate, dtype=np.float64)
        what = f"estimate of source {number + 1}"
        if estimate.shape != (self.n_samples,):
            raise InputError(f"The {what} has shape {estimate.shape}; expected ({self.n_samples},), the shape of its reference.")
        _check_samples(estimate, what)
        products = self._lags(scipy.fft.rfft(estimate[None], self._n_fft, axis=1))[:, :, 0]
        own = slice(number, number + 1)
        target = self._filtered(self._alone[number].filters(products[:, own]), own)
        projected = self._filtered(self._together.filters(products), slice(None))
        padded = np.pad(estimate, (0, self.filters_len - 1))
        sdr = _ratio_db(target, padded - target)
        sir = _ratio_db(target, projected - target) if self.n_sources > 1 else np.inf
        return sdr, sir, _ratio_db(projected, padded - projected)

    def _lags(self, spectra: np.ndarray) -> np.ndarray:
        """Return correlations (filters_len, n_sources, n) of the references with n signals at lags from 0.

        The signals are given by their spectra (n, n_bins).
        """
        lags = [scipy.fft.irfft(self._spectra.conj() * one, self._n_fft, axis=1)[:, : self.filters_len] for one in spectra]
        return np.stack(lags).transpose(2, 1, 0)

    def _filtered(self, filters: np.ndarray, which: slice) -> np.ndarray:
        """Return the sum (n_samples + filters_len - 1,) of some references, each filtered by a column of `filters` (filters_len, n)."""
        spectrum = np.sum(self._spectra[which] * scipy.fft.rfft(filters.T, self._n_fft, axis=1), axis=0)
        return scipy.fft.irfft(spectrum, self._n_fft)[: self.n_samples + self.filters_len - 1]


@dataclass(frozen=True)
class _Projection:
    """Normal equations of the projection onto the delays of some references.

    `lags` (filters_len, m, m) are the correlations of the references. `scale` (m,) normalises each reference to unit energy. `inverse` is
    None if Levinson's recursion fails.
    """

    lags: np.ndarray
    scale: np.ndarray
    inverse: toeplitz.Inverse | None

    @classmethod
    def onto(cls, lags: np.ndarray) -> "_Projection":
        scale = 1 / np.sqrt(np.diag(lags[0]))
        return cls(lags, scale, toeplitz.invert((lags * np.outer(scale, scale))[None]))

    def filters(self, products: np.ndarray) -> np.ndarray:
        """Return filters (filters_len, m) that project a signal whose correlations with the references are `products` (filters_len, m)."""
        if self.inverse is not None:
            solution = toeplitz.solve(self.inverse, (products * self.scale)[None, :, :, None])
            if solution is not None:
                filters: np.ndarray = solution[0, :, :, 0] * self.scale
                return filters
        (found,) = solve_all([System(self.lags, products[:, :, None])])
        if found.left_out or found.nearly_singular or found.noise_added:
            warnings.warn(DEPENDENT, BssEvalWarning, stacklevel=2)
        return found.filters[:, :, 0]


def _check_samples(signal: np.ndarray, what: str) -> None:
    finite = np.isfinite(signal)
    if not finite.all():
        raise InputError(f"The {what} holds a sample that is not finite, the first at sample {int(np.argmin(finite))}.")
    if not signal.any():
        raise InputError(f"The {what} is silent throughout; BSSEval is not defined for it.")


def _ratio_db(numerator: np.ndarray, denominator: np.ndarray) -> float:
    return float(decibels(np.vdot(numerator, numerator), np.vdot(denominator, denominator)))
