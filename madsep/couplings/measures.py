"""Measures of how diagonal a matrix of couplings is, and of how well it represents its network.

A matrix c (N, N) maps the mixture's magnitude in bin j (column) to the target's magnitude in bin i (row). The neural couplings algorithm
(Mimilakis et al., IEEE/ACM TASLP 28, 2020) was published without a formal measure. The measures here distinguish structure from a poor fit
and from entries that the fit does not determine, because their bins have no energy.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from madsep.core.intervals import student_interval

Array = NDArray[np.floating]
BANDS = (1, 2, 5)  # bins on either side of the diagonal
THRESHOLD_DB = -60.0  # relative to the loudest bin; rows of quieter bins are not counted


class RowDominance(NamedTuple):
    """Fractions of the counted rows, between 0 and 1."""

    diagonal: float  # rows in which |c_ii| is larger than the sum of all other magnitudes
    peak: float  # rows in which the largest magnitude lies within one bin of the diagonal


class Mean(NamedTuple):
    """A mean over groups of tracks and its 95 % interval, NaN for fewer than two groups."""

    value: float
    low: float
    high: float
    n_groups: int  # with a value


def diagonal_energy_share(c: Array, band: int = 0) -> float:
    """Return the sum of c_ij^2 over |i - j| <= band, divided by that over all entries: 1 for a diagonal matrix, NaN for zeros."""
    return _share(np.square(c, dtype=np.float64), band)


def diagonal_magnitude_share(c: Array, band: int = 0) -> float:
    """Return the sum of |c_ij| over |i - j| <= band, divided by that over all entries: 1 for a diagonal matrix, NaN for zeros."""
    return _share(np.abs(c, dtype=np.float64), band)


def input_weighted_share(c: Array, mean_input: Array, band: int) -> float:
    """Return the sum of |c_ij| x_j over |i - j| <= band, divided by that over all entries, or NaN if all of these are zero.

    x_j is `mean_input` (N,), the mean magnitude of input bin j. Columns of bins without energy, which the fit cannot determine, do not
    count.
    """
    return _share(np.abs(c, dtype=np.float64) * mean_input, band)


def input_weighted_cosine(c: Array, other: Array, mean_input: Array) -> float:
    """Return the cosine between two matrices as vectors of c_ij x_j: 1 if they are equal up to a gain, 0 if they are orthogonal.

    x_j is `mean_input` (N,), as in `input_weighted_share`. The result is NaN if either matrix is zero in all bins with energy.
    """
    one, another = (np.asarray(matrix, dtype=np.float64) * mean_input for matrix in (c, other))
    norms = np.linalg.norm(one) * np.linalg.norm(another)
    return float((one * another).sum() / norms) if norms else float("nan")


def row_dominance(c: Array, mean_input: Array, threshold_db: float) -> RowDominance:
    """Return the fraction of rows with |c_ii| > sum of all other |c_ij|, and the fraction whose largest |c_ij| is at |i - j| <= 1.

    A row counts if its bin's mean input magnitude, `mean_input` (N,), is at least `threshold_db` (0 or less) relative to the largest one.
    A row of zeros counts but meets neither condition. The fractions are NaN if all inputs are zero.
    """
    magnitude = np.abs(c, dtype=np.float64)
    counted = np.flatnonzero((mean_input > 0) & (mean_input >= np.max(mean_input) * 10 ** (threshold_db / 20)))
    if not len(counted):
        return RowDominance(np.nan, np.nan)
    diagonal, rows = magnitude.diagonal()[counted], magnitude[counted]
    dominant = diagonal > np.where(np.arange(len(c)) == counted[:, None], 0, rows).sum(1)
    peaked = (np.abs(rows.argmax(1) - counted) <= 1) & rows.any(1)
    return RowDominance(float(dominant.mean()), float(peaked.mean()))


def relative_fit(c: Array, inputs: Array, outputs: Array) -> float:
    """Return |X_t - X_s C^T|_1 / |X_t|_1 over frames `inputs` X_s and `outputs` X_t, both (T, N): 0 for a perfect fit, 1 for c = 0.

    The result is NaN if the outputs are zero.
    """
    total = np.abs(outputs).sum(dtype=np.float64)
    return float(np.abs(outputs - inputs @ c.T).sum(dtype=np.float64) / total) if total > 0 else np.nan


def relative_fit_of_gains(gains: Array, inputs: Array, outputs: Array) -> float:
    """Return `relative_fit` of the diagonal matrix of `gains` (N,), a filter with one gain per bin."""
    total = np.abs(outputs).sum(dtype=np.float64)
    return float(np.abs(outputs - inputs * gains).sum(dtype=np.float64) / total) if total > 0 else np.nan


def best_gains(inputs: Array, outputs: Array) -> Array:
    """Return the gains (N,) per bin that minimise |X_t - X_s diag(g)|_1 over frames `inputs` X_s and `outputs` X_t, both (T, N).

    The sum over frames of x |y / x - g| is smallest at the median of y / x weighted by x (P.S. Laplace's method of situation; P. Bloomfield
    and W.L. Steiger, "Least Absolute Deviations", 1983). The gain of a bin without input is 0.
    """
    weights = np.abs(inputs, dtype=np.float64)
    ratios = np.divide(outputs, inputs, out=np.zeros_like(weights), where=weights > 0)
    order = ratios.argsort(axis=0)
    reached = np.take_along_axis(weights, order, 0).cumsum(axis=0)
    middle = (reached >= reached[-1] / 2).argmax(axis=0)[None]
    gains: Array = np.take_along_axis(ratios, np.take_along_axis(order, middle, 0), 0)[0]
    return gains


def measures(c: Array, inputs: Array, outputs: Array) -> dict[str, float]:
    """Return all measures of c (N, N) by name, for frames `inputs` and `outputs`, both (T, N)."""
    mean_input = inputs.mean(0, dtype=np.float64)
    named = {"energy_share": diagonal_energy_share(c), "magnitude_share": diagonal_magnitude_share(c)}
    named["input_weighted_share"] = input_weighted_share(c, mean_input, 0)
    for band in BANDS:
        named[f"energy_share_band_{band}"] = diagonal_energy_share(c, band)
        named[f"magnitude_share_band_{band}"] = diagonal_magnitude_share(c, band)
        named[f"input_weighted_share_band_{band}"] = input_weighted_share(c, mean_input, band)
    named["rows_dominated_by_diagonal"], named["rows_with_peak_at_diagonal"] = row_dominance(c, mean_input, THRESHOLD_DB)
    named["relative_fit"] = relative_fit(c, inputs, outputs)
    named["relative_fit_of_diagonal"] = relative_fit_of_gains(c.diagonal(), inputs, outputs)
    named["relative_fit_of_best_gains"] = relative_fit_of_gains(best_gains(inputs, outputs), inputs, outputs)
    named["relative_fit_lost_by_best_gains"] = named["relative_fit_of_best_gains"] - named["relative_fit"]
    return named


def with_interval(values: Sequence[float] | Array) -> Mean:
    """Return the mean of one value per group and its `student_interval`. Groups without a value (NaN) are left out."""
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return Mean(np.nan, np.nan, np.nan, 0)
    return Mean(float(known.mean()), *student_interval(known), len(known))


def _share(weights: Array, band: int) -> float:
    """Return the fraction of the sum of non-negative `weights` (N, N) that lies within `band` of the diagonal."""
    total = weights.sum()
    inside = sum(weights.diagonal(offset).sum() for offset in range(-band, band + 1))
    return float(inside / total) if total > 0 else np.nan
