"""Correlations of real signals at a few hundred lags, from blocks of FFTs.

Signals travel in pairs as the real and imaginary part of one complex signal, z = l + i r. With P the spectrum of z in a block and E the
spectrum of another pair y = l' + i r' in the same block lengthened by the lags,

    inverse FFT of conj(P(f)) E(f):  sum conj(z(n)) y(n + t) = (ll' + rr')(t) + i (lr' - rl')(t)
    inverse FFT of P(-f) E(f):       sum      z(n)  y(n + t) = (ll' - rr')(t) + i (lr' + rl')(t)

since the spectrum of conj(z) is conj(P(-f)). ll'(t) stands for the sum over n of l(n) l'(n + t), 0 <= t < n_lags. So two complex products
give four real correlations with half their number of FFTs, and no spectrum is ever taken apart.

A block of B samples against B + n_lags - 1 needs FFTs of at least B + n_lags - 1 points: then no unwanted lag falls on a wanted one.
The cross spectra of a stretch's blocks add up before the one inverse FFT.
"""

import math

import numpy as np
import scipy.fft

from madsep.bsseval.fft import transform

MAX_BLOCKS = 32  # blocks of one stretch: what longer frames are cut to
PADDING = 4  # points between blocks, so that a frequency's values in all blocks do not compete for the same lines of the cache
UNBALANCED = 1 << 24  # energies of a pair's channels further apart (72 dB) than this are brought together before they share an FFT


def block_plan(length: int, n_lags: int) -> tuple[int, int, int]:
    """Return (FFT points, samples a block, blocks of one stretch) for frames of `length` samples."""
    n_fft = scipy.fft.next_fast_len(min(length + n_lags - 1, 1 << math.ceil(math.log2(4 * n_lags))))
    largest = n_fft - n_lags + 1
    n_blocks = math.ceil(length / largest)
    if n_blocks > MAX_BLOCKS:
        return n_fft, largest, MAX_BLOCKS
    return n_fft, math.ceil(length / n_blocks), n_blocks


def lags_of(spectrum: np.ndarray, n_lags: int) -> np.ndarray:
    """Return real correlations (n_lags, 2 p, 2 q) at lags 0 ... n_lags - 1 of summed cross spectra (n_fft, 2 p, q), overwritten."""
    n_fft = len(spectrum)
    sequences = transform(spectrum, axis=0, inverse=True)[:n_lags]
    n_pairs, n_extended = sequences.shape[1] // 2, sequences.shape[2]
    total = sequences[:, :n_pairs] + sequences[:, n_pairs:]
    difference = sequences[:, :n_pairs] - sequences[:, n_pairs:]
    lags = np.empty((n_lags, n_pairs, 2, n_extended, 2))
    lags[:, :, 0, :, 0], lags[:, :, 0, :, 1] = total.real, total.imag
    lags[:, :, 1, :, 0], lags[:, :, 1, :, 1] = -difference.imag, difference.real
    lags *= 0.5 / n_fft
    return lags.reshape(n_lags, 2 * n_pairs, 2 * n_extended)


class Workspace:
    """Room for `n_blocks` blocks of `n_plain` pairs against `n_extended`, kept from stretch to stretch.

    `plain` (n_blocks, n_fft, n_plain) and `extended` (n_blocks, n_fft, n_extended) are filled by the caller, zeros included.
    """

    def __init__(self, n_blocks: int, n_fft: int, n_plain: int, n_extended: int) -> None:
        self.plain = np.zeros((n_blocks, n_fft + PADDING, n_plain), complex)[:, :n_fft]
        self.extended = np.zeros((n_blocks, n_fft + PADDING, n_extended), complex)[:, :n_fft]
        self._product = np.empty((n_fft, 2 * n_plain, n_extended), complex)

    def lags(self, n_lags: int, energy: np.ndarray) -> np.ndarray:
        """Return correlations (n_lags, 2 n_plain, 2 n_extended) summed over blocks, and leave the blocks overwritten.

        `energy` (2 n_pairs,) is that of the channels of all pairs, of which the first are in `plain` and the last in `extended`; zero
        only for a channel without any sample but zero. The rounding of a pair's FFT is relative to its louder channel: channels far apart
        are brought together by powers of two, and silent ones get zeros, not the rounding of the other.
        """
        n_plain = self.plain.shape[2]
        energies = energy[: 2 * n_plain], energy[-2 * self.extended.shape[2] :]
        gains = [balancing_gains(one) for one in energies]
        for blocks, gain in zip((self.plain, self.extended), gains, strict=True):
            if gain is not None:
                blocks.real *= gain[0::2]
                blocks.imag *= gain[1::2]
        plain, extended = transform(self.plain, axis=1), transform(self.extended, axis=1).transpose(1, 0, 2)
        np.matmul(plain[:, :1].transpose(1, 2, 0), extended[:1], out=self._product[:1, n_plain:])
        np.matmul(plain[:, :0:-1].transpose(1, 2, 0), extended[1:], out=self._product[1:, n_plain:])
        np.conjugate(plain, out=plain)
        np.matmul(plain.transpose(1, 2, 0), extended, out=self._product[:, :n_plain])
        lags = lags_of(self._product, n_lags)
        if gains[0] is not None:
            lags /= gains[0][:, None]
        if gains[1] is not None:
            lags /= gains[1]
        lags[:, energies[0] == 0] = 0.0
        lags[:, :, energies[1] == 0] = 0.0
        return lags


def balancing_gains(energy: np.ndarray) -> np.ndarray | None:
    """Return powers of two (2 n_pairs,) that bring the channels of each pair to like energies; None where all are alike enough."""
    pairs = np.where(energy > 0, energy, np.nan).reshape(-1, 2)
    if not (np.nanmax(pairs, axis=1, initial=0) > UNBALANCED * np.nanmin(pairs, axis=1, initial=np.inf)).any():
        return None
    return np.where(energy > 0, np.exp2(-np.round(np.log2(np.where(energy > 0, energy, 1.0)) / 2)), 1.0)


class LagCorrelator:
    """Correlations of signal pairs, stretch by stretch, for frames of at most `length` samples.

    `stretch` is the number of samples correlated at a time, `n_columns` the number looked at: those behind for the lags included.
    """

    def __init__(self, n_plain: int, n_extended: int, n_lags: int, length: int) -> None:
        self._n_lags = n_lags
        n_fft, self._block, n_blocks = block_plan(length, n_lags)
        self.stretch = self._block * n_blocks
        self.n_columns = self.stretch - self._block + n_fft
        self._workspace = Workspace(n_blocks, n_fft, n_plain, n_extended)

    def lags(self, pairs: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Return correlations (n_lags, 2 n_plain, 2 n_extended) of the first `n_plain` pairs with the last `n_extended` of them all.

        `pairs` is (n_pairs, n_columns); `energy` that of each channel (2 n_pairs,), as `Workspace.lags` takes it.
        """
        work = self._workspace
        n_blocks, n_fft, n_plain = work.plain.shape
        first = len(pairs) - work.extended.shape[2]
        work.plain[:, : self._block] = pairs[:n_plain, : self.stretch].reshape(n_plain, n_blocks, self._block).transpose(1, 2, 0)
        work.plain[:, self._block :] = 0
        pair, sample = pairs.strides
        shape, strides = (n_blocks, n_fft, len(pairs) - first), (self._block * sample, sample, pair)
        work.extended[:] = np.lib.stride_tricks.as_strided(pairs[first:], shape, strides, writeable=False)
        return work.lags(self._n_lags, energy)
