"""95 % confidence intervals: percentile bootstrap over many tracks, Student's t over a few groups of tracks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """Settings of bootstrap intervals over tracks."""

    n_resamples: int
    seed: int


def interval(
    samples: Sequence[NDArray[Any]], average: Callable[..., Any], seed: int, n_resamples: int, vectorized: bool
) -> tuple[float, float]:
    """Return the 95 % interval of average(*samples) over tracks, or NaN twice for fewer than two tracks.

    Each of `samples` has one value per track. They are resampled together. A `vectorized` average takes an `axis`. For few tracks the
    interval is too narrow: that of a mean of 4 values covers about 80 %.
    """
    if len(samples[0]) < 2:
        return np.nan, np.nan
    from scipy.stats import bootstrap  # importing it takes longer than most jobs

    result = bootstrap(
        samples,
        average,
        n_resamples=n_resamples,
        confidence_level=CONFIDENCE_LEVEL,
        method="percentile",
        paired=True,
        vectorized=vectorized,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def student_interval(values: NDArray[Any]) -> tuple[float, float]:
    """Return Student's 95 % interval of the mean of `values` (n,), or NaN twice for fewer than two values.

    It also covers 95 % for few values if they are roughly normal, as means over many frames are.
    """
    if len(values) < 2:
        return np.nan, np.nan
    from scipy.special import stdtrit  # importing it takes longer than most jobs

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = error * float(stdtrit(len(values) - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return mean - reach, mean + reach
