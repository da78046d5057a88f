"""The batch size of separation, and the copying of estimates from a GPU."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from madsep.models.checkpoint import Checkpoint

Audio = NDArray[np.float32]
SMALLEST, FASTEST_ON_GPU = 16, 256  # segments per channel
BYTES_OF_A_BIN = 64  # GPU memory that a batch takes per input magnitude, including all intermediate results


def batch_size(checkpoint: Checkpoint, device: torch.device, n_channels: int) -> int:
    """Return the number of segments per channel in a batch: the recipe's number or, if it is `auto`, the fastest one that fits.

    On a GPU this is FASTEST_ON_GPU, as measured on an H200, or fewer to take at most half of the free memory. It is SMALLEST on other
    devices, and if a sequence's result depends on its batch.
    """
    recipe = checkpoint.recipe
    wanted = recipe.separation.batch_size
    if wanted != "auto":
        return wanted
    if device.type != "cuda" or not checkpoint.network.sequences_independent:
        return SMALLEST
    n_bytes = n_channels * recipe.segments.n_frames * recipe.front_end.n_bins * BYTES_OF_A_BIN
    return max(min(FASTEST_ON_GPU, torch.cuda.mem_get_info(device)[0] // 2 // n_bytes), SMALLEST)


def on_host(blocks: Iterator[Tensor]) -> Iterator[Audio]:
    """Yield blocks as arrays. A GPU copies each block to the host while it computes the next."""
    copying: tuple[Tensor, torch.cuda.Event] | None = None
    for block in blocks:
        if block.device.type == "cpu":
            yield block.numpy()
            continue
        before, copying = copying, _copy_to_host(block)
        if before is not None:
            yield _copied(*before)
    if copying is not None:
        yield _copied(*copying)


def _copy_to_host(block: Tensor) -> tuple[Tensor, torch.cuda.Event]:
    """Begin to copy a block from a GPU, and return its destination and the event that marks its arrival."""
    copy = torch.empty(block.shape, dtype=block.dtype, pin_memory=True)
    stream = torch.cuda.Stream(block.device)
    stream.wait_stream(torch.cuda.current_stream(block.device))
    with torch.cuda.stream(stream):
        copy.copy_(block, non_blocking=True)
    block.record_stream(stream)
    return copy, stream.record_event()


def _copied(copy: Tensor, arrived: torch.cuda.Event) -> Audio:
    arrived.synchronize()
    samples: Audio = copy.numpy()
    return samples
