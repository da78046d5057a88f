"""Whether a tensor's device runs the kernels of this package's own, which are written in Triton."""

import functools
import importlib.util

import torch

from madsep.core.logs import log

OLDEST = (8, 0)  # compute capability that has products in bfloat16


@functools.cache
def kernels_serve(device: torch.device) -> bool:
    """Return whether a device runs Triton kernels, and say once for a GPU which way it goes. PyTorch's own operations are the other way."""
    if device.type != "cuda":
        return False
    reason = _reason_against(device)
    if reason:
        log.warning("Triton kernels cannot run (%s): the GPU computes by cuDNN and PyTorch's operations instead, which is slower", reason)
    else:
        log.info("Triton kernels replace slow operations of cuDNN and PyTorch; recurrent units only in bf16")
    return not reason


def _reason_against(device: torch.device) -> str:
    """Why no kernel can run, from trying one, which takes a C compiler and Python's headers; empty if it can."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.cuda.get_device_capability(device) < OLDEST:
        return "the GPU is too old"
    try:
        from madsep.models.fused_kernels import divergence

        numbers, sums = torch.ones((3, 1, 1), device=device), torch.empty(1, device=device)
        divergence[(1,)](*numbers, sums, 1.0, 1, 1e-6, 16)
    except Exception as error:  # of Triton, the compiler or the driver
        return f"{type(error).__name__}: {error}".strip().partition("\n")[0]
    return ""
