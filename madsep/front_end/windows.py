"""Analysis windows, scaled as recipes specify."""

import math

import torch
from scipy.signal import get_window
from torch import Tensor

from madsep.core.settings import FrontEnd


def scaled_window(front_end: FrontEnd) -> Tensor:
    """Return the front end's window in double precision, (window_length,), with the scale that its recipe specifies.

    The Masker-and-Denoiser uses a symmetric Hamming window divided by sqrt(fft_length). A full-scale sinusoid at the centre of a bin then
    has magnitude sum(window) / 2 = 8.64 for the published sizes. The scale matters because the recipes' clips, loss thresholds and
    penalties refer to it (Mimilakis et al., ICASSP 2018, and its code).
    """
    name = front_end.window.replace("_", "")
    window = torch.from_numpy(get_window(name, front_end.window_length, fftbins=front_end.periodic))
    divisor = {"sqrt_fft_length": math.sqrt(front_end.fft_length), "window_sum": float(window.sum()), "one": 1.0}[front_end.scale]
    return window / divisor * front_end.gain
