"""Framewise energies of the four error terms, and their ratios.

Let x be the channels of the references, s a target's own image and d = estimate - s. The filters B and b project d onto the delays of all
references and of the target's own, both over the whole track. (The projection of the estimate itself has an additional unit tap.) Then

    e_spat   = b * x                 s + e_spat            = (delta + b) * x
    e_interf = (B - b) * x           s + e_spat + e_interf = (delta + B) * x
    e_artif  = d - B * x             e_spat + e_interf + e_artif = d

(Vincent, Gribonval, Fevotte 2006; framewise with fixed filters: Stoeter, Liutkus, Ito 2018). All terms except e_artif are filtered
references of the frame, padded with silence. Their energies are therefore quadratic forms of the frame's correlations r_ab(t):

    |F * x|^2 = sum over a, b, t of r_ab(t) q_ab(t),  q_ab(t) = sum over l of F_a(l + t) F_b(l)

Because r_ab(-t) = r_ba(t), only lags t >= 0 are needed, with those above zero counted twice. The energy of the artefacts is |e_artif|^2 =
|d|^2 - 2 <d, B * x> + |B * x|^2, where <d, B * x> = sum of B_ac(t) <x_a(n), d_c(n + t)>.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft

# An energy below this share of the largest sum that its terms could have may have lost digits. The correlations' rounding error is
# about 1e-15 of that sum, so the relative error above this share is at most 1e-8, or 4e-8 dB.
LOST_DIGITS = 1e-7
LARGEST_RATIO = np.finfo(float).eps ** -2  # of energies: 313.07 dB, the ratio of a float64 sample to its rounding error


@dataclass(frozen=True)
class Energies:
    """Energies (n_frames,) of one target."""

    source: np.ndarray  # s
    distortion: np.ndarray  # estimate - s
    spatial: np.ndarray  # e_spat
    filtered: np.ndarray  # s + e_spat
    interference: np.ndarray  # e_interf
    projected: np.ndarray  # s + e_spat + e_interf
    artifacts: np.ndarray  # e_artif
    doubtful: np.ndarray  # bool: digits may have been lost

    def replace(self, frame: int, values: np.ndarray) -> None:
        """Replace the energies of the five filtered terms in one frame. `values` are in the order of the fields."""
        terms = (self.spatial, self.filtered, self.interference, self.projected, self.artifacts)
        for term, value in zip(terms, values, strict=True):
            term[frame] = value


def forms(filters: np.ndarray) -> np.ndarray:
    """Return the weights (n_lags, m, m) of the quadratic form of filters (n_lags, m, n_outputs) on correlations (n_lags, m, m)."""
    n_lags = len(filters)
    spectrum = scipy.fft.rfft(filters, 2 * n_lags, axis=0)
    weights = scipy.fft.irfft(spectrum @ spectrum.conj().swapaxes(1, 2), 2 * n_lags, axis=0)[:n_lags]
    weights[1:] *= 2
    return weights


def target_forms(all_sources: np.ndarray, own: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Return a target's five forms (5, n_lags, m, m): spatial, filtered, interference, projected, projected difference.

    Filters have shape (n_lags, m, n_channels). `identity` (m, n_channels) selects the target's own image from the channels.
    """
    filtered, projected = own.copy(), all_sources.copy()
    filtered[0] += identity
    projected[0] += identity
    return np.stack([forms(x) for x in (own, filtered, all_sources - own, projected, all_sources)])


def gross_amplitudes(all_sources: np.ndarray, own: np.ndarray, identity: np.ndarray) -> np.ndarray:
    """Return the norms (5, m) of the filters of `target_forms`: each channel's share of the largest possible amplitude."""
    filtered, projected = own.copy(), all_sources.copy()
    filtered[0] += identity
    projected[0] += identity
    return np.stack([np.sqrt(np.einsum("lmc,lmc->m", x, x)) for x in (own, filtered, all_sources - own, projected, all_sources)])


def decibels(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return 10 log10(numerator / denominator), at most 313.07 dB, or infinity if both are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(numerator / np.maximum(denominator, numerator / LARGEST_RATIO))
    return np.where((numerator == 0) & (denominator == 0), np.inf, ratio)


def ratios(energies: Energies) -> np.ndarray:
    """Return SDR, ISR, SIR and SAR in dB, (4, n_frames)."""
    return np.stack(
        [
            decibels(energies.source, energies.distortion),
            decibels(energies.source, energies.spatial),
            decibels(energies.filtered, energies.interference),
            decibels(energies.projected, energies.artifacts),
        ]
    )
