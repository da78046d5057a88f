"""Energies of a frame computed from the filtered signals: slow, but exact when a quadratic form would lose digits."""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from madsep.bsseval.framing import Frame
from madsep.bsseval.stretches import Loader, Sources

STRETCH = 1 << 16  # samples filtered at a time
Filters = tuple[np.ndarray, np.ndarray]


def frame_energies(sources: Sources, numbers: Sequence[int], frame: Frame, filters: Sequence[Filters]) -> np.ndarray:
    """Return energies (estimates, 5) of e_spat, s + e_spat, e_interf, s + e_spat + e_interf and e_artif in one frame.

    `numbers` selects the estimates. `filters` has two arrays per estimate, both (n_lags, reference channels, n_channels). They project the
    estimate minus its reference: the first onto all references, the second onto its own reference alone.
    """
    start, stop = frame
    n_lags = len(filters[0][0])
    loader, total = Loader(sources, STRETCH + n_lags - 1), np.zeros((len(numbers), 5))
    for first in range(start, stop + n_lags - 1, STRETCH):
        # outputs `first` to `last`; a filter reaches n_lags - 1 samples back within the frame, and its tail is as long after the end
        last, back = min(first + STRETCH, stop + n_lags - 1), max(start, first - n_lags + 1)
        loader.load(back, min(last, stop), min(last, stop) - back)
        images = [np.stack(loader.reference(part, last - back), axis=1) for part in range(len(sources.references))]
        n_fft = scipy.fft.next_fast_len(last - back + n_lags - 1, real=True)
        spectra = scipy.fft.rfft(np.concatenate(images, axis=1), n_fft, axis=0)[:, None]
        for place, (number, (all_sources, own)) in enumerate(zip(numbers, filters, strict=True)):
            spatial, interference = (_filtered(spectra, x, n_fft)[first - back : last - back] for x in (own, all_sources - own))
            source = np.sum([images[part][first - back :] for part in sources.estimates[number].parts], axis=0)
            difference = np.stack(loader.difference(number, last - back), axis=1)[first - back :]
            terms = (spatial, source + spatial, interference, source + spatial + interference, difference - spatial - interference)
            total[place] += [np.einsum("nc,nc->", term, term) for term in terms]
    return total


def _filtered(spectra: np.ndarray, filters: np.ndarray, n_fft: int) -> np.ndarray:
    """Return the sum over m of signals filtered by `filters` (n_lags, m, n_channels), as (n_fft, n_channels).

    The signals are given by their spectra (n_fft / 2 + 1, 1, m).
    """
    return scipy.fft.irfft((spectra @ scipy.fft.rfft(filters, n_fft, axis=0))[:, 0], n_fft, axis=0)
