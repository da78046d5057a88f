"""Analysis windows, scaled as recipes say."""

import math

import torch
from scipy.signal import get_window
from torch import Tensor

from madsep.core.settings import FrontEnd


def scaled_window(front_end: FrontEnd) -> Tensor:
    """Return the front end's window in double precision, (window_length,), scaled as its recipe says.

    The Masker-and-Denoiser's is a symmetric Hamming window divided by sqrt(fft_length): a full-scale sinusoid at a bin's centre has
    magnitude sum(window) / 2 = 8.64 for the published sizes. The factor matters: clips, loss thresholds and penalties of the recipes are
    stated on this scale (Mimilakis et al., ICASSP 2018, and its code).
    """
    name = front_end.window.replace("_", "")
    window = torch.from_numpy(get_window(name, front_end.window_length, fftbins=front_end.periodic))
    divisor = {"sqrt_fft_length": math.sqrt(front_end.fft_length), "window_sum": float(window.sum()), "one": 1.0}[front_end.scale]
    return window / divisor * front_end.gain
