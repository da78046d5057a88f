"""The arithmetic of the network's matrix products: float32, TensorFloat-32 on NVIDIA GPUs, or bfloat16."""

import contextlib
import functools
from collections.abc import Iterator

import torch

from madsep.core.logs import log
from madsep.core.settings import Precision


@contextlib.contextmanager
def products(precision: Precision, device: torch.device) -> Iterator[None]:
    """Set the precision of the network's forward pass in the block. Gradients are computed in the same precision.

    bf16 rounds the factors of products to bfloat16 and sums in float32. A CPU without bfloat16 instructions uses float32, which is then
    faster. On a GPU without Triton, recurrent products use TensorFloat-32. tf32 affects only NVIDIA GPUs. Other devices use float32.
    """
    tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16" and has_bf16(device.type), cache_enabled=False):
        yield


@functools.cache
def has_bf16(device_type: str) -> bool:
    """Whether the device has fast bfloat16 products. If not, this is logged once."""
    capable = torch.cuda.is_bf16_supported() if device_type == "cuda" else _cpu_has_bf16()
    if not capable:
        log.info("this %s has no bfloat16 arithmetic: products are computed in float32", device_type.upper())
    return capable


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
