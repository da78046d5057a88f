"""The engine's FFTs and products on a torch device, in float64: the same blocks, the same numbers to rounding."""

from functools import partial

import numpy as np
import torch

from madsep.bsseval.correlations import MakeWorkspace, lags_of_sequences


class DeviceWorkspace:
    """`correlations.Workspace` on a torch device; blocks are moved there, correlations come back."""

    def __init__(self, device: torch.device, n_blocks: int, n_fft: int, n_plain: int, n_extended: int) -> None:
        self._device = device

    def lags(self, plain: np.ndarray, extended: np.ndarray, n_lags: int) -> np.ndarray:
        """Return correlations (n_lags, 2 n_plain, 2 n_extended) summed over blocks (n_pairs, n_blocks, n_fft) of either kind."""
        left, right = (torch.fft.fft(torch.from_numpy(np.ascontiguousarray(x)).to(self._device), dim=2) for x in (plain, extended))
        left, right = left.permute(2, 0, 1), right.permute(2, 1, 0)  # frequencies first
        mirrored = torch.roll(left.flip(0), 1, 0)  # P(-f)
        sequences = torch.fft.ifft(torch.cat([left.conj(), mirrored], dim=1) @ right, dim=0)[:n_lags]
        return lags_of_sequences(sequences.cpu().numpy())


def workspaces_on(device: str) -> MakeWorkspace:
    """Return what makes workspaces on a torch device, such as cuda or cpu."""
    return partial(DeviceWorkspace, torch.device(device))
