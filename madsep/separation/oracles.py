"""The oracles of SiSEC 2018: binary masks, ratio masks and multichannel filters computed from the true sources.

The arithmetic is that of the campaign's public code (github.com/sigsep/sigsep-mus-oracle: IBM.py, IRM.py, MWF.py) in float64, with its
regularisation. Tracks are processed in blocks of frames, so that memory does not grow with their length.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from madsep.front_end.segments import read_padded

FRAME = 2048  # samples, under scipy.signal.stft's periodic Hann window
HOP = FRAME // 2  # samples
BLOCK = 512 * HOP  # samples separated at a time
EPS = float(np.finfo(np.float64).eps)  # keeps divisors from being 0
THRESHOLD = 0.5  # smallest share of the mixture at which a binary mask gives a bin to a source
VOCALS, ACCOMPANIMENT = "vocals", "accompaniment"

Signals = Mapping[str, np.ndarray]  # by source, (n_channels, n_samples)
Bins = NDArray[np.complex128]  # (n_channels, n_bins, n_frames)
Matrices = NDArray[np.complex128]  # (..., n_channels, n_channels)
Filter = Callable[[Bins, Mapping[str, Bins]], dict[str, Bins]]  # from the mixture's and the true sources' bins to the estimates'


def binary_filter(_: Signals, exponent: int) -> Filter:
    """Return a filter with binary masks |Y_j|^exponent / |X|^exponent >= THRESHOLD. A bin can belong to several sources or none."""

    def separate(mixture: Bins, sources: Mapping[str, Bins]) -> dict[str, Bins]:
        whole = EPS + np.abs(mixture) ** exponent
        return {name: mixture * (np.abs(bins) ** exponent / whole >= THRESHOLD) for name, bins in sources.items()}

    return separate


def ratio_filter(_: Signals, exponent: int) -> Filter:
    """Return a filter with masks |Y_j|^exponent / sum_k |Y_k|^exponent, which add up to 1 unless the sources are silent."""

    def separate(mixture: Bins, sources: Mapping[str, Bins]) -> dict[str, Bins]:
        parts = {name: np.abs(bins) ** exponent for name, bins in sources.items()}
        whole = sum(parts.values(), start=np.float64(EPS))
        return {name: mixture * (part / whole) for name, part in parts.items()}

    return separate


def multichannel_filter(references: Signals) -> Filter:
    """Return the filter P_j R_j (sum_k P_k R_k)^-1 of the local Gaussian model.

    The spatial covariance R_j is one matrix per bin for the whole track. The spectral density P_j is one number per bin and frame.

    Duong, Vincent, Gribonval, "Under-determined reverberant audio source separation using a full-rank spatial covariance model", IEEE
    TASLP 18(7), 2010.
    """
    spatial = {name: spatial_covariance(reference) for name, reference in references.items()}
    inverses = {name: _inverse(covariance) for name, covariance in spatial.items()}

    def separate(mixture: Bins, sources: Mapping[str, Bins]) -> dict[str, Bins]:
        models = {name: _density(inverses[name], bins)[..., None, None] * spatial[name][:, None] for name, bins in sources.items()}
        whole = sum(models.values(), start=np.zeros((), np.complex128))
        whitened = _inverse(whole) @ np.moveaxis(mixture, 0, -1)[..., None]
        return {name: np.moveaxis((model @ whitened)[..., 0], -1, 0) for name, model in models.items()}

    return separate


def spatial_covariance(reference: np.ndarray) -> Matrices:
    """Return R_j (n_bins, n_channels, n_channels), the mean over frames of Y Y^H / mean_c |Y_c|^2, normalised.

    `reference` is the source (n_channels, n_samples). The divisor is not each bin's trace but, as in the public code (numpy.trace over the
    first two axes), one number per column: the sum over c of row c of bin c. P_j compensates for it if these numbers are equal. A column
    with sum 0 is not divided.
    """
    total, n_frames = np.zeros((), np.complex128), 0
    for start, stop in _blocks(reference.shape[1]):
        bins = _analyse(reference, start, stop)
        own = bins if stop >= reference.shape[1] else bins[..., :-1]  # the frame at `stop` begins the next block
        power = np.mean(np.abs(own) ** 2, axis=0)
        # frame after frame, as the public code's mean adds: if a source is the same in all channels, R_j's rounding is audible
        for matrix in np.moveaxis(_covariances(own) / (EPS + power[..., None, None]), 1, 0):
            total = total + matrix
        n_frames += own.shape[-1]
    mean, n_channels = total / n_frames, len(reference)
    sums = np.trace(mean)
    return mean * n_channels / np.where(sums == 0, n_channels, sums) + EPS * np.eye(n_channels)


def _covariances(bins: Bins) -> Matrices:
    """Return Y Y^H of every bin and frame, (n_bins, n_frames, n_channels, n_channels)."""
    channels = np.moveaxis(bins, 0, -1)
    return channels[..., :, None] * channels[..., None, :].conj()


def _density(inverse: Matrices, bins: Bins) -> NDArray[np.float64]:
    """Return P_j (n_bins, n_frames), the trace of R_j^-1 Y Y^H over the number of channels, summed in the public code's order.

    If a source is the same in all channels, R_j is singular except for EPS. P_j is then partly rounding error, as in the public code.
    """
    covariances, n_channels = _covariances(bins), len(bins)
    density = np.zeros(covariances.shape[:2])
    for a, b in product(range(n_channels), repeat=2):
        density += np.real(inverse[:, None, a, b] * covariances[..., b, a]) / n_channels
    return density


def _inverse(matrices: Matrices) -> Matrices:
    """Return the adjugate over EPS + determinant, as published for two channels, or for more channels the pseudo-inverse."""
    n_channels = matrices.shape[-1]
    if n_channels > 2:
        return np.asarray(np.linalg.pinv(matrices), np.complex128)
    adjugates, determinants = np.ones_like(matrices), matrices[..., 0, 0]
    if n_channels == 2:
        (a, b), (c, d) = np.moveaxis(matrices, (-2, -1), (0, 1))
        adjugates = np.moveaxis(np.array([[d, -b], [-c, a]]), (0, 1), (-2, -1))
        determinants = a * d - b * c
    divisors = EPS + determinants
    divisors[divisors == 0] = EPS  # if rounding made the determinant -EPS
    return adjugates * (1 / divisors)[..., None, None]


def _blocks(n_samples: int) -> Iterator[tuple[int, int]]:
    """Return the samples [start, stop) of every block. The last block is extended to whole hops."""
    end = -(-n_samples // HOP) * HOP
    return ((start, min(start + BLOCK, end)) for start in range(0, end, BLOCK))


def _analyse(signal: np.ndarray, start: int, stop: int) -> Bins:
    """Return the frames of the signal's scipy.signal.stft that are centred at the samples start, start + HOP, ..., stop."""
    from scipy.signal import stft  # slow to import, and planning only needs the oracles' names

    span = read_padded(signal, start - HOP, stop - start + FRAME).astype(np.float64)
    bins: Bins = stft(span, nperseg=FRAME, boundary=None, padded=False)[-1]
    return bins


def _synthesise(bins: Bins) -> NDArray[np.float64]:
    """Return the samples between the centres of the first and last frames, which depend on no other frames."""
    from scipy.signal import istft

    samples: NDArray[np.float64] = istft(bins, nperseg=FRAME)[1]
    return samples


@dataclass(frozen=True)
class Oracle:
    """An oracle of the campaign. `method` is the text for its description, and `make_filter` takes the true sources."""

    name: str
    title: str
    method: str
    make_filter: Callable[[Signals], Filter]


_BINARY = "Oracle: a source gets each bin of the mixture in which its {0} is at least half the mixture's, separately in each channel."
_RATIO = "Oracle: the mixture's bins are multiplied by a source's {0} over the sum of all sources' {0}s, separately in each channel."
_MULTICHANNEL = (
    "Oracle: the multichannel Wiener filter of the local Gaussian model, computed from the true sources' power spectral densities and their"
    " time-invariant spatial covariances."
)
FRONT_END = f"The STFT has Hann windows of {FRAME} samples and a hop of {HOP} samples; the phase is the mixture's."
ORACLES = {
    name: Oracle(name, title, f"{method} {FRONT_END}", make_filter)
    for name, title, method, make_filter in (
        ("IBM1", "Ideal binary mask of magnitudes", _BINARY.format("magnitude"), partial(binary_filter, exponent=1)),
        ("IBM2", "Ideal binary mask of powers", _BINARY.format("power"), partial(binary_filter, exponent=2)),
        ("IRM1", "Ideal ratio mask of magnitudes", _RATIO.format("magnitude"), partial(ratio_filter, exponent=1)),
        ("IRM2", "Ideal ratio mask of powers", _RATIO.format("power"), partial(ratio_filter, exponent=2)),
        ("MWF", "Multichannel Wiener filter", _MULTICHANNEL, multichannel_filter),
    )
}


def oracle_estimates(oracle: Oracle, mixture: np.ndarray, references: Signals) -> dict[str, np.ndarray]:
    """Separate `mixture` (n_channels, n_samples) with the true sources `references` of the same shape. Arrays may be memory-mapped.

    Returns float32 estimates of the mixture's shape for every source. If the accompaniment is not a source, its estimate is the sum of all
    estimates except the vocals, as in the campaign. Raises ValueError if there is nothing to separate or if shapes differ.
    """
    _check(mixture, references)
    n_samples = mixture.shape[1]
    separate = oracle.make_filter(references)
    estimates = {name: np.empty(mixture.shape, np.float32) for name in references}
    for start, stop in _blocks(n_samples):
        sources = {name: _analyse(reference, start, stop) for name, reference in references.items()}
        for name, bins in separate(_analyse(mixture, start, stop), sources).items():
            estimates[name][:, start:stop] = _synthesise(bins)[:, : n_samples - start]
    if ACCOMPANIMENT not in references:
        others = (estimate for name, estimate in estimates.items() if name != VOCALS)
        estimates[ACCOMPANIMENT] = sum(others, start=np.zeros(mixture.shape, np.float32))
    return estimates


def _check(mixture: np.ndarray, references: Signals) -> None:
    if mixture.ndim != 2 or mixture.size == 0:
        raise ValueError(f"the mixture has shape {mixture.shape}; expected (n_channels, n_samples), both at least 1")
    if not references:
        raise ValueError("no true sources were given; an oracle needs all of them")
    for name, reference in references.items():
        if reference.shape != mixture.shape:
            raise ValueError(f"the reference of {name} has shape {reference.shape}; expected {mixture.shape} as the mixture")
