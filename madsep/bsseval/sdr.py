"""The framewise SDR of BSSEval v4 from its closed form, without the other measures."""

from collections.abc import Sequence

import numpy as np

from madsep.bsseval.energies import decibels
from madsep.bsseval.framing import frames
from madsep.bsseval.signals import ArraySignal, Signal
from madsep.bsseval.stretches import Estimate, Loader, Sources, scenario_silence

STRETCH = 1 << 16


def frame_sdr(references: Sequence[Signal | np.ndarray], estimates: Sequence[Signal | np.ndarray], window: float, hop: float) -> np.ndarray:
    """Return SDR in dB (n_sources, n_frames), equal to that of `bss_eval`. It does not depend on filters.

    The error terms of BSSEval images add up to estimate - reference, so that SDR = 10 log10(sum s^2 / sum (estimate - s)^2) over a frame's
    samples and channels. Signals are arrays (n_samples, n_channels) or any `Signal`. Estimates are padded or cut. SDR is NaN in frames in
    which any reference or estimate is silent throughout. Raises InputError as `bss_eval` does, except for silent sources, whose frames are
    all NaN.
    """
    signals = [tuple(x if not isinstance(x, np.ndarray) else ArraySignal(x) for x in group) for group in (references, estimates)]
    names = tuple(f"source {number + 1}" for number in range(len(signals[0])))
    made = tuple(Estimate(name, signal, (number,)) for number, (name, signal) in enumerate(zip(names, signals[1], strict=True)))
    sources = Sources(names, signals[0], made)
    sources.check()
    loader = Loader(sources, STRETCH)
    summaries = []
    for start, stop in frames(window, hop, sources.n_samples):
        stretches = [(first, min(first + STRETCH, stop)) for first in range(start, stop, STRETCH)]
        parts = [loader.load(first, last, last - first) for first, last in stretches]
        summaries.append(sum(parts[1:], parts[0]))
    source = np.stack([summary.source_energy for summary in summaries], axis=1)
    distortion = np.stack([summary.difference_energy for summary in summaries], axis=1)
    sdr = decibels(source, distortion)
    sdr[:, scenario_silence(summaries, range(len(made)))] = np.nan
    return sdr
