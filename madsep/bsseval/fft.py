"""Complex FFTs, which take most of the engine's time. ducc0 is used if it is installed, SciPy otherwise. Both agree up to rounding."""

import importlib
import importlib.util

import numpy as np
import scipy.fft

DUCC0 = importlib.import_module("ducc0.fft") if importlib.util.find_spec("ducc0") else None


def transform_into(out: np.ndarray, values: np.ndarray, axis: int, inverse: bool = False) -> None:
    """Write the FFT of complex `values` along one axis to `out`, which has the same shape. The inverse is not scaled.

    `out` may be `values` itself. Both may have any strides, so that a transform can read overlapping blocks and write them transposed.
    """
    if DUCC0 is not None:
        DUCC0.c2c(values, axes=(axis,), forward=not inverse, out=out, nthreads=1)
    elif inverse:
        out[:] = scipy.fft.ifft(values, axis=axis, norm="forward")
    else:
        out[:] = scipy.fft.fft(values, axis=axis)
