"""Symmetric positive definite block-Toeplitz systems, in time O(n_lags^2) and memory O(n_lags).

Systems are given by their lags: an array (n_systems, n_lags, m, m) of blocks R(0), R(1), ... that defines the matrix of n_lags x n_lags
blocks T[k, l] = R(k - l), where R(-t) is the transpose of R(t). Right-hand sides have shape (n_systems, n_lags, m, n_columns).

Levinson's recursion (Whittle 1963, Wiggins and Robinson 1965) gives the first and last block columns of the inverse. The formula of Gohberg
and Semencul (1972; for blocks, Gohberg and Heinig 1974) then applies the whole inverse with FFTs.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.linalg

MAX_REFINEMENTS = 8
CONVERGED = 1e-20  # energy of a correction relative to the projection; refinement reaches this on ordinary music
ACCEPTED = 1e-18  # a solution whose last correction is larger is not used


@dataclass(frozen=True)
class Inverse:
    """The inverse of block-Toeplitz systems T in a form that can be applied to columns.

    With the forward predictor F (T F = [P; 0; ...; 0], first block I) and the backward predictor B (T B = [0; ...; 0; Q], last block I),

        inverse(T) = L(F) inverse(P) L(F)' - L(zB) inverse(Q) L(zB)'

    where L(X) is the lower-triangular block-Toeplitz matrix whose first block column is X, and zB is B moved down by one block.
    """

    lags: np.ndarray
    spectrum: np.ndarray  # of the blocks R(-n_lags+1) ... R(n_lags-1)
    forward: np.ndarray  # spectrum of F
    backward: np.ndarray  # spectrum of zB
    forward_error: np.ndarray  # P, (n_systems, m, m)
    backward_error: np.ndarray  # Q

    def multiply(self, columns: np.ndarray) -> np.ndarray:
        """Return T times `columns`."""
        return self._filter(self.spectrum, columns)

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """Return the inverse of T times `columns`, with the accuracy of Levinson's recursion. `solve` refines it."""
        parts: list[np.ndarray] = []
        for spectrum, error in ((self.forward, self.forward_error), (self.backward, self.backward_error)):
            inner = self._filter(spectrum.conj().swapaxes(-1, -2), columns)
            parts.append(self._filter(spectrum, np.linalg.solve(error[:, None], inner)))
        product: np.ndarray = parts[0] - parts[1]
        return product

    def _filter(self, spectrum: np.ndarray, columns: np.ndarray) -> np.ndarray:
        n_lags = columns.shape[1]
        product = spectrum @ scipy.fft.rfft(columns, 2 * n_lags, axis=1)
        return scipy.fft.irfft(product, 2 * n_lags, axis=1)[:, :n_lags]

    def smallest_error(self) -> np.ndarray:
        """Return the smallest relative error energy (n_systems,) when any channel is predicted from all others and its own past.

        If every channel has unit energy, this is an upper bound of the smallest eigenvalue of T.
        """
        return np.minimum(np.linalg.eigvalsh(self.forward_error)[:, 0], np.linalg.eigvalsh(self.backward_error)[:, 0])


def invert(lags: np.ndarray) -> Inverse | None:
    """Return the inverse of systems (n_systems, n_lags, m, m), or None if one is not positive definite to working precision."""
    n_systems, n_lags, m, _ = lags.shape
    # R(n_lags-1) ... R(1) side by side; each step multiplies with some of these columns
    past = np.ascontiguousarray(lags[:, :0:-1].transpose(0, 2, 1, 3)).reshape(n_systems, m, -1)
    forward = np.zeros((n_systems, n_lags * m, m))
    backward = np.zeros((n_systems, 2 * n_lags * m, m))  # its start moves forward by one block per step, so that it need not be shifted
    forward[:, :m] = backward[:, n_lags * m : (n_lags + 1) * m] = np.eye(m)
    forward_error, backward_error = lags[:, 0].copy(), lags[:, 0].copy()
    for n in range(1, n_lags):
        # [F; 0] gives [P; 0; ...; E] and [0; B] gives [E'; 0; ...; Q]: combine them so that E and E' vanish
        missed = past[:, :, (n_lags - 1 - n) * m :] @ forward[:, : n * m]
        turned = missed.swapaxes(1, 2)
        try:
            gain_forward, gain_backward = np.linalg.solve(backward_error, missed), np.linalg.solve(forward_error, turned)
        except np.linalg.LinAlgError:
            return None
        old = forward[:, : (n + 1) * m]
        shifted = backward[:, (n_lags - n) * m : (n_lags + 1) * m]
        change = shifted @ gain_forward
        shifted -= old @ gain_backward
        old -= change
        forward_error -= turned @ gain_forward
        backward_error -= missed @ gain_backward
        if not (np.einsum("sii->si", forward_error) > 0).all():
            return None
    backward = backward[:, : n_lags * m] if n_lags == 1 else backward[:, m : (n_lags + 1) * m]
    inverse = _assemble(lags, forward, backward, (forward_error, backward_error))
    return inverse if np.isfinite(inverse.forward).all() and (inverse.smallest_error() > 0).all() else None


def _assemble(lags: np.ndarray, forward: np.ndarray, backward: np.ndarray, errors: tuple[np.ndarray, np.ndarray]) -> Inverse:
    n_systems, n_lags, m, _ = lags.shape
    two_sided = np.zeros((n_systems, 2 * n_lags, m, m))
    two_sided[:, :n_lags] = lags
    two_sided[:, : -n_lags or None : -1][:, : n_lags - 1] = lags[:, 1:].swapaxes(2, 3)
    moved = np.zeros((n_systems, n_lags, m, m))
    moved[:, 1:] = backward.reshape(n_systems, -1, m, m)[:, : n_lags - 1]
    spectra = [scipy.fft.rfft(x, 2 * n_lags, axis=1) for x in (two_sided, forward.reshape(moved.shape), moved)]
    return Inverse(lags, *spectra, *((error + error.swapaxes(1, 2)) / 2 for error in errors))


def solve(inverse: Inverse, columns: np.ndarray) -> np.ndarray | None:
    """Return inverse(T) `columns`, refined iteratively, or None if refinement does not converge.

    Convergence is measured by the energy of the projected signal, which determines the scores: a correction c of the solution x of T x = d
    changes the projection by a signal of energy c'Tc = c'(d - T x). The projection itself has energy x'd.
    """
    solution = inverse.apply(columns)
    settled = np.inf
    for _ in range(MAX_REFINEMENTS):
        residual = columns - inverse.multiply(solution)
        correction = inverse.apply(residual)
        energy = np.abs(np.einsum("slmc,slmc->sc", solution, columns))
        change = np.abs(np.einsum("slmc,slmc->sc", correction, residual)) / np.where(energy > 0, energy, 1.0)
        largest = float(change.max(initial=0.0))
        if not largest < settled:  # no better than the last, or NaN
            break
        settled = largest
        solution = solution + correction
        if settled < CONVERGED:
            break
    return solution if settled < ACCEPTED else None


def solve_dense(lags: np.ndarray, columns: np.ndarray, least_rcond: float) -> np.ndarray | None:
    """Return the solution of one system (n_lags, m, m) by Cholesky factorisation of the whole matrix.

    Returns None if the factorisation fails or the reciprocal condition number is below `least_rcond`. Needs 8 (n_lags m)^2 bytes: 134 MB
    for 8 channels and 512 lags.
    """
    n_lags, m, _ = lags.shape
    blocks = np.zeros((n_lags, m, n_lags, m))
    for lag in range(n_lags):
        for k in range(lag, n_lags):
            blocks[k, :, k - lag] = lags[lag]  # only the lower triangle is read
    matrix = blocks.reshape(n_lags * m, n_lags * m)
    norm = np.abs(lags).sum(axis=(0, 2)).max() * 2  # an upper bound of the matrix's largest column sum
    try:
        factor = scipy.linalg.cholesky(matrix.T, lower=False, overwrite_a=True, check_finite=False).T
    except scipy.linalg.LinAlgError:
        return None
    if scipy.linalg.lapack.dpocon(factor, norm, uplo="L")[0] < least_rcond:
        return None
    return scipy.linalg.cho_solve((factor, True), columns.reshape(n_lags * m, -1), check_finite=False).reshape(columns.shape)
