"""Small signals for the scoring engine's tests."""

import numpy as np
from scipy.signal import lfilter


def material(n_sources: int, n_samples: int, n_channels: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return coloured 16-bit references (n_sources, n_samples, n_channels), and leaking, filtered and noisy estimates of them."""
    rng = np.random.default_rng(seed)
    references = lfilter([1.0], [1.0, -0.8], rng.standard_normal((n_sources, n_samples, n_channels)), axis=1)
    references[:, :, 1:] += 0.6 * references[:, :, :1]
    references *= rng.uniform(0.02, 0.1, (n_sources, 1, 1))
    leaked = 0.9 * references + 0.15 * np.roll(references, 1, axis=0)
    estimates = lfilter([0.8, 0.15, 0.05], [1.0], leaked, axis=1) + 0.002 * rng.standard_normal(references.shape)
    return np.round(references * 32768) / 32768, np.round(estimates * 32768) / 32768
