"""Whether a tensor's device runs the kernels of this package's own, which are written in Triton."""

import functools
import importlib.util

import torch

from madsep.core.logs import log

OLDEST = (8, 0)  # compute capability that has products in bfloat16


@functools.cache
def kernels_serve(device: torch.device) -> bool:
    """Whether a device runs Triton kernels, which come with PyTorch's CUDA builds on Linux; says once for a GPU which way it goes."""
    if device.type != "cuda":
        return False
    installed = importlib.util.find_spec("triton") is not None
    serve = installed and torch.cuda.get_device_capability(device) >= OLDEST
    reason = "the GPU is too old for them" if installed else "Triton is not installed"
    log.info(
        "recurrent units in bf16 run by %s", "Triton kernels" if serve else f"cuDNN in TensorFloat-32, not by Triton kernels: {reason}"
    )
    return serve
