"""One frame's energies from the filtered signals themselves: slower, and exact where a quadratic form would lose digits."""

import numpy as np
import scipy.fft

from madsep.bsseval.framing import Frame
from madsep.bsseval.stretches import Loader, Sources

STRETCH = 1 << 16  # samples filtered at a time


def frame_energies(sources: Sources, number: int, frame: Frame, filters: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the energies of e_spat, s + e_spat, e_interf, s + e_spat + e_interf and e_artif of estimate `number` in a frame.

    `filters` are those of its difference over all reference channels and over its own, both (n_lags, reference channels, n_channels).
    """
    start, stop = frame
    all_sources, own = filters
    n_lags, n_channels = len(own), sources.n_channels
    loader = Loader(sources, STRETCH + n_lags - 1)
    total = np.zeros(5)
    for first in range(start, stop + n_lags - 1, STRETCH):
        # outputs `first` to `last`; filters reach n_lags - 1 samples back, and a frame's tail n_lags - 1 beyond its end
        last, back = min(first + STRETCH, stop + n_lags - 1), max(start, first - n_lags + 1)
        loader.load(back, min(last, stop), min(last, stop) - back)
        skip = first - back
        images = [np.stack(loader.reference(part, last - back), axis=1) for part in range(len(sources.references))]
        references = np.concatenate(images, axis=1)
        spatial = _filtered(references, own)[skip:]
        interference = _filtered(references, all_sources - own)[skip:]
        source = np.zeros((last - first, n_channels))
        for part in sources.estimates[number].parts:
            source += images[part][skip:]
        artifacts = np.stack(loader.difference(number, last - back), axis=1)[skip:] - spatial - interference
        filtered = source + spatial
        terms = (spatial, filtered, interference, filtered + interference, artifacts)
        total += [np.einsum("nc,nc->", term, term) for term in terms]
    return total


def _filtered(signals: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Filter (n, m) by (n_lags, m, n_channels), summed over m: the first n samples (n, n_channels)."""
    n_fft = scipy.fft.next_fast_len(len(signals) + len(filters) - 1, real=True)
    spectrum = scipy.fft.rfft(signals, n_fft, axis=0)[:, None] @ scipy.fft.rfft(filters, n_fft, axis=0)
    return scipy.fft.irfft(spectrum[:, 0], n_fft, axis=0)[: len(signals)]
