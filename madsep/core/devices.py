"""Choice of the device: one GPU per job if there are GPUs, otherwise the CPU."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from madsep.core.errors import InputError
from madsep.core.locks import hold
from madsep.core.logs import log

Device = Literal["auto", "cpu", "cuda"]


def require_cuda() -> None:
    """Raise InputError if PyTorch finds no GPU."""
    if not torch.cuda.is_available():
        raise InputError(
            "device: 'cuda' requires a GPU, but PyTorch sees none; set device: auto or cpu, or check the driver with nvidia-smi."
        )


@contextlib.contextmanager
def claim(wanted: Device, n_threads: int) -> Iterator[torch.device]:
    """Yield the device to compute on. CPU work uses `n_threads` threads.

    A GPU is locked against other madsep processes until the block ends. Raises InputError if `wanted` is `cuda` and PyTorch finds no GPU.
    """
    torch.set_num_threads(n_threads)
    if wanted == "cuda":
        require_cuda()
    if wanted == "cpu" or not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow and not needed
        yield torch.device("cpu")
        return
    with _free_gpu() as index, torch.cuda.device(index):  # madsep's own kernels run on the current device
        log.info("computing on GPU %d, %s", index, torch.cuda.get_device_name(index))
        yield torch.device("cuda", index)


@contextlib.contextmanager
def _free_gpu() -> Iterator[int]:
    """Yield the index of the first GPU that no other madsep process on this machine holds. If all are held, GPU 0 is shared."""
    for index in range(torch.cuda.device_count()):
        with hold(f"gpu-{torch.cuda.get_device_properties(index).uuid}.lock") as is_ours:
            if is_ours:
                yield index
                return
    yield 0
