"""A check of whether a device can run this package's Triton kernels."""

import functools
import importlib.util

import torch

from madsep.core.logs import log

OLDEST = (8, 0)  # lowest compute capability with products in bfloat16


@functools.cache
def kernels_serve(device: torch.device) -> bool:
    """Return whether a device can run Triton kernels, and log this once per GPU. If not, PyTorch's own operations are used."""
    if device.type != "cuda":
        return False
    reason = _reason_against(device)
    if reason:
        log.warning("Triton kernels cannot run (%s). The GPU uses the slower operations of cuDNN and PyTorch", reason)
    else:
        log.info("Triton kernels replace slow operations of cuDNN and PyTorch; recurrent units only in bf16")
    return not reason


def _reason_against(device: torch.device) -> str:
    """Try a kernel and return why it cannot run, or "". Triton needs a C compiler and Python's headers."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.cuda.get_device_capability(device) < OLDEST:
        return "the GPU is too old"
    try:
        from madsep.models.fused_kernels import divergence

        numbers, sums = torch.ones((3, 1, 1), device=device), torch.empty(1, device=device)
        divergence[(1,)](*numbers, sums, 1.0, 1, 1e-6, 16)
    except Exception as error:  # from Triton, the compiler or the driver
        return f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    return ""
