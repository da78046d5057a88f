"""Correlations of real signals at a few hundred lags, from blocks of FFTs.

Signals travel in pairs as the real and imaginary part of one complex signal, z = l + i r. With P = FFT(z) of a block and E = FFT(y) of
the same block lengthened by the lags, for another pair y = l' + i r',

    ifft(conj(P(f)) E(f))(t) = sum conj(z(n)) y(n + t) = (ll' + rr')(t) + i (lr' - rl')(t)
    ifft(P(-f)... E(f))(t)   = sum      z(n)  y(n + t) = (ll' - rr')(t) + i (lr' + rl')(t)

with P(f) of conj(z) being conj(P(-f)); so two complex products a pair of pairs, half their number of FFTs, and no spectrum is ever taken
apart. ll'(t) stands for sum over n of l(n) l'(n + t), 0 <= t < n_lags.

A block of B samples against B + n_lags - 1 needs FFTs of at least B + n_lags - 1 points: then no unwanted lag falls on a wanted one.
Cross spectra of a frame's blocks add up before the one inverse FFT.
"""

import math

import numpy as np
import scipy.fft

MAX_BLOCKS = 32  # blocks held at a time: what a stretch of a long frame is cut to


def block_plan(length: int, n_lags: int) -> tuple[int, int, int]:
    """Return (FFT points, samples a block, blocks in one stretch) for frames of `length` samples."""
    n_fft = scipy.fft.next_fast_len(min(length + n_lags - 1, 1 << math.ceil(math.log2(4 * n_lags))))
    largest = n_fft - n_lags + 1
    n_blocks = math.ceil(length / largest)
    if n_blocks > MAX_BLOCKS:
        return n_fft, largest, MAX_BLOCKS
    return n_fft, math.ceil(length / n_blocks), n_blocks


def cross_spectrum(plain: np.ndarray, extended: np.ndarray) -> np.ndarray:
    """Return the cross spectra summed over blocks, (n_fft, 2 p, q), of blocks (n_blocks, n_fft, p) and (n_blocks, n_fft, q).

    Both are complex and may be overwritten. Rows 0 to p - 1 are of conj(z), the other p of z.
    """
    n_blocks, n_fft, n_pairs = plain.shape
    plain = scipy.fft.fft(plain, axis=1, overwrite_x=True)
    extended = scipy.fft.fft(extended, axis=1, overwrite_x=True)
    left = np.empty((n_blocks, n_fft, 2 * n_pairs), complex)
    np.conjugate(plain, out=left[:, :, :n_pairs])
    left[:, 0, n_pairs:] = plain[:, 0]
    left[:, 1:, n_pairs:] = plain[:, :0:-1]
    return left.transpose(1, 2, 0) @ extended.transpose(1, 0, 2)


def lags_of(spectrum: np.ndarray, n_lags: int) -> np.ndarray:
    """Return real correlations (n_lags, 2 p, 2 q) at lags 0 ... n_lags - 1 of summed cross spectra (n_fft, 2 p, q)."""
    sequences = scipy.fft.ifft(spectrum, axis=0)[:n_lags]
    n_pairs, n_extended = sequences.shape[1] // 2, sequences.shape[2]
    total = sequences[:, :n_pairs] + sequences[:, n_pairs:]
    difference = sequences[:, :n_pairs] - sequences[:, n_pairs:]
    lags = np.empty((n_lags, n_pairs, 2, n_extended, 2))
    lags[:, :, 0, :, 0], lags[:, :, 0, :, 1] = total.real, total.imag
    lags[:, :, 1, :, 0], lags[:, :, 1, :, 1] = -difference.imag, difference.real
    lags *= 0.5
    return lags.reshape(n_lags, 2 * n_pairs, 2 * n_extended)


class LagCorrelator:
    """Correlations of signal pairs over frames of at most `length` samples, stretch by stretch.

    `stretch` is the number of samples a call of `add` correlates, `n_rows` the number that it looks at: the lags behind included.
    """

    def __init__(self, n_plain: int, first_extended: int, n_lags: int, length: int) -> None:
        self.n_plain, self.first_extended, self.n_lags = n_plain, first_extended, n_lags
        self.n_fft, self.block, self.n_blocks = block_plan(length, n_lags)
        self.stretch = self.block * self.n_blocks
        self.n_rows = self.stretch - self.block + self.n_fft
        self._plain = np.zeros((self.n_blocks, self.n_fft, n_plain), complex)
        self._sum: np.ndarray | None = None

    def add(self, pairs: np.ndarray) -> None:
        """Add a stretch (n_rows, n_pairs) of a frame: pairs up to `n_plain` against all from `first_extended` on."""
        n_pairs = pairs.shape[1]
        self._plain[:, : self.block] = pairs[: self.stretch, : self.n_plain].reshape(self.n_blocks, self.block, -1)
        self._plain[:, self.block :] = 0
        row, column = pairs.strides
        windows = np.lib.stride_tricks.as_strided(
            pairs, (self.n_blocks, self.n_fft, n_pairs), (self.block * row, row, column), writeable=False
        )
        spectrum = cross_spectrum(self._plain, windows[:, :, self.first_extended :].copy())
        self._sum = spectrum if self._sum is None else self._sum + spectrum

    def lags(self) -> np.ndarray:
        """Return the frame's correlations (n_lags, 2 n_plain, 2 n_extended) and start the next frame."""
        spectrum, self._sum = self._sum, None
        return lags_of(spectrum, self.n_lags)
