"""95 % intervals: percentile bootstrap over many tracks, Student's over few groups of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True)
class Bootstrap:
    """How intervals over tracks are drawn."""

    n_resamples: int
    seed: int


def interval(
    samples: Sequence[NDArray[Any]], average: Callable[..., Any], seed: int, n_resamples: int, vectorized: bool
) -> tuple[float, float]:
    """Return the 95 % interval of average(*samples) over tracks, NaN twice if there are fewer than two of them.

    Each of `samples` has one value per track; they are drawn together. A `vectorized` average takes an `axis`. Over few tracks the interval
    is too narrow: that of a mean of 4 values covers some 80 %.
    """
    if len(samples[0]) < 2:
        return np.nan, np.nan
    from scipy.stats import bootstrap  # takes longer to import than most jobs to run

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
    """Return Student's 95 % interval of the mean of `values` (n,), NaN twice if there are fewer than two of them.

    It covers 95 % for few values, too, if they are about normal, as means over many frames are.
    """
    if len(values) < 2:
        return np.nan, np.nan
    from scipy.special import stdtrit  # takes longer to import than most jobs to run

    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / len(values) ** 0.5
    reach = error * float(stdtrit(len(values) - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return mean - reach, mean + reach
