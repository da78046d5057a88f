"""Percentile bootstrap intervals over tracks."""

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

    Each of `samples` has one value per track; they are drawn together. A `vectorized` average takes an `axis`.
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
