"""Correlations of real signals at a few hundred lags, computed with FFTs of blocks.

Two signals l and r form a pair: the real and imaginary parts of one complex signal z = l + i r. Let P be the spectrum of z in a block, and
E the spectrum of another pair y = l' + i r' in the same block extended by the lags. Then

    inverse FFT of conj(P(f)) E(f):  sum conj(z(n)) y(n + t) = (ll' + rr')(t) + i (lr' - rl')(t)
    inverse FFT of P(-f) E(f):       sum      z(n)  y(n + t) = (ll' - rr')(t) + i (lr' + rl')(t)

because the spectrum of conj(z) is conj(P(-f)). ll'(t) denotes the sum over n of l(n) l'(n + t), 0 <= t < n_lags. Two complex products thus
give four real correlations with half the FFTs, and the spectra of l and r never have to be separated.

A block of B samples and its extension to B + n_lags - 1 samples need FFTs of at least B + n_lags - 1 points, so that no unwanted lag is
aliased onto a wanted one. The cross spectra of all blocks of a stretch are summed before a single inverse FFT.
"""

import math

import numpy as np
import scipy.fft

from madsep.bsseval.fft import transform_into

MAX_BLOCKS = 31  # blocks per stretch; longer frames are split; odd because strides of powers of two are slow in caches
UNBALANCED = 1 << 10  # largest energy ratio (30 dB) of a pair's channels that may share an FFT without scaling


def block_plan(length: int, n_lags: int) -> tuple[int, int, int]:
    """Return (FFT points, samples per block, blocks per stretch) for frames of `length` samples."""
    n_fft = scipy.fft.next_fast_len(min(length + n_lags - 1, 1 << math.ceil(math.log2(4 * n_lags))))
    largest = n_fft - n_lags + 1
    n_blocks = math.ceil(length / largest)
    if n_blocks > MAX_BLOCKS:
        return n_fft, largest, MAX_BLOCKS
    return n_fft, math.ceil(length / n_blocks), n_blocks


def lags_of_sequences(sequences: np.ndarray) -> np.ndarray:
    """Return real correlations (n_lags, 2 p, 2 q) from complex ones (n_lags, 2 p, q), whose rows are those of conj(z), then of z."""
    n_lags, n_rows, n_extended = sequences.shape
    n_pairs = n_rows // 2
    total = sequences[:, :n_pairs] + sequences[:, n_pairs:]
    difference = sequences[:, :n_pairs] - sequences[:, n_pairs:]
    lags = np.empty((n_lags, n_pairs, 2, n_extended, 2))
    lags[:, :, 0, :, 0], lags[:, :, 0, :, 1] = total.real, total.imag
    lags[:, :, 1, :, 0], lags[:, :, 1, :, 1] = -difference.imag, difference.real
    lags *= 0.5
    return lags.reshape(n_lags, n_rows, 2 * n_extended)


def balancing_gains(energy: np.ndarray) -> np.ndarray | None:
    """Return gains (2 n_pairs,) that equalise channel energies (2 n_pairs,), or None if the energies within all pairs are close.

    The rounding error of a pair's FFT is relative to its louder channel. Gains are powers of two, so that they add no rounding error.
    """
    pairs = np.where(energy > 0, energy, np.nan).reshape(-1, 2)
    if not (np.nanmax(pairs, axis=1, initial=0) > UNBALANCED * np.nanmin(pairs, axis=1, initial=np.inf)).any():
        return None
    return np.where(energy > 0, np.exp2(-np.round(np.log2(np.where(energy > 0, energy, 1.0)) / 2)), 1.0)


def scale(pairs: np.ndarray, gains: np.ndarray) -> None:
    """Multiply the channels of complex pairs (n_pairs, ...) by `gains` (2 n_pairs,), in place."""
    lanes = gains.reshape(-1, 2, *[1] * (pairs.ndim - 1))
    pairs.real *= lanes[:, 0]
    pairs.imag *= lanes[:, 1]


class Workspace:
    """Reusable arrays for the spectra of `n_blocks` blocks of `n_plain` pairs and `n_extended` extended pairs, frequencies first."""

    def __init__(self, n_blocks: int, n_fft: int, n_plain: int, n_extended: int) -> None:
        self._plain = np.empty((n_fft, n_blocks, n_plain), complex)
        self._extended = np.empty((n_fft, n_blocks, n_extended), complex)
        self._product = np.empty((n_fft, 2 * n_plain, n_extended), complex)

    def lags(self, plain: np.ndarray, extended: np.ndarray, n_lags: int) -> np.ndarray:
        """Return correlations (n_lags, 2 n_plain, 2 n_extended), summed over the blocks of plain and extended pairs.

        Both `plain` and `extended` have shape (n_pairs, n_blocks, n_fft).
        """
        n_plain = len(plain)
        transform_into(self._plain.transpose(2, 1, 0), plain, axis=2)
        transform_into(self._extended.transpose(2, 1, 0), extended, axis=2)
        left = self._plain.swapaxes(1, 2)
        np.matmul(left[:1], self._extended[:1], out=self._product[:1, n_plain:])
        np.matmul(left[:0:-1], self._extended[1:], out=self._product[1:, n_plain:])
        np.conjugate(self._plain, out=self._plain)
        np.matmul(left, self._extended, out=self._product[:, :n_plain])
        transform_into(self._product, self._product, axis=0, inverse=True)
        lags = lags_of_sequences(self._product[:n_lags])
        lags /= len(self._product)
        return lags


def restored(lags: np.ndarray, energy: np.ndarray, gains: np.ndarray | None) -> np.ndarray:
    """Divide correlations by the gains of `balancing_gains`, in place, and set those of silent channels to zero.

    Without this, silent channels would contain the rounding error of their partners.
    """
    rows, columns = slice(None, lags.shape[1]), slice(-lags.shape[2], None)
    if gains is not None:
        lags /= gains[rows, None]
        lags /= gains[columns]
    lags[:, energy[rows] == 0] = 0.0
    lags[:, :, energy[columns] == 0] = 0.0
    return lags


class LagCorrelator:
    """Correlations of signal pairs, stretch by stretch, for frames of at most `length` samples.

    `pairs` gives the numbers of plain and extended pairs. `stretch` is the number of samples correlated at a time. `n_columns` is the
    number of samples read, which is larger because the lags need samples after the stretch.
    """

    def __init__(self, pairs: tuple[int, int], n_lags: int, length: int) -> None:
        n_plain, n_extended = pairs
        self._n_lags, self._n_extended = n_lags, n_extended
        n_fft, self._block, n_blocks = block_plan(length, n_lags)
        self.stretch = self._block * n_blocks
        self.n_columns = self.stretch - self._block + n_fft
        self._plain = np.zeros((n_plain, n_blocks, n_fft), complex)
        self._workspace = Workspace(n_blocks, n_fft, n_plain, n_extended)

    def lags(self, pairs: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Return correlations (n_lags, 2 n_plain, 2 n_extended) of the first `n_plain` pairs with the last `n_extended` pairs.

        `pairs` is (n_pairs, n_columns) and may be overwritten. `energy` (2 n_pairs,) is the energy of each channel. It is zero only if all
        samples of the channel are zero.
        """
        gains = balancing_gains(energy)
        if gains is not None:
            scale(pairs, gains)
        n_plain, n_blocks, n_fft = self._plain.shape
        self._plain[:, :, : self._block] = pairs[:n_plain, : self.stretch].reshape(n_plain, n_blocks, self._block)
        pair, sample = pairs.strides
        shape, strides = (self._n_extended, n_blocks, n_fft), (pair, self._block * sample, sample)
        extended = np.lib.stride_tricks.as_strided(pairs[len(pairs) - self._n_extended :], shape, strides, writeable=False)
        return restored(self._workspace.lags(self._plain, extended, self._n_lags), energy, gains)
