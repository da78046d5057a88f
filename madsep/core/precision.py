"""The arithmetic of the network's matrix products: float32, TensorFloat-32 on NVIDIA GPUs, or bfloat16."""

import contextlib
import functools
from collections.abc import Iterator

import torch

from madsep.core.logs import log
from madsep.core.settings import Precision


@contextlib.contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Run the network's forward pass within this; gradients follow it.

    bf16 rounds the factors of products to bfloat16 and adds up in float32, if the processor has instructions for it: a CPU without
    them computes in float32, which is then faster; on a GPU without Triton recurrent products are TensorFloat-32. tf32 means something to
    NVIDIA GPUs only; on other devices it is float32.
    """
    tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and has_bf16(device.type), cache_enabled=False):
        yield


@functools.cache
def has_bf16(device_type: str) -> bool:
    """Whether products in bfloat16 are faster than in float32; logged once if they are not."""
    capable = torch.cuda.is_bf16_supported() if device_type == "cuda" else _cpu_has_bf16()
    if not capable:
        log.info("this %s has no bfloat16 arithmetic: products are taken in float32", device_type.upper())
    return capable


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
