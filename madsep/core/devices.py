"""Which processor computes: one GPU per job if there are GPUs, the CPU otherwise."""

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch

from madsep.core.errors import InputError
from madsep.core.locks import hold
from madsep.core.logs import log

Device = Literal["auto", "cpu", "cuda"]


def require_cuda() -> None:
    """Raise InputError when PyTorch sees no GPU."""
    if not torch.cuda.is_available():
        raise InputError(
            "device: 'cuda' requires a GPU, but PyTorch sees none; set device: auto or cpu, or check the driver with nvidia-smi."
        )


@contextlib.contextmanager
def claim(wanted: Device, n_threads: int) -> Iterator[torch.device]:
    """Yield the device to compute on, held for this process alone when it is a GPU; CPU work uses `n_threads` threads.

    Raises InputError when `cuda` is wanted and PyTorch sees no GPU.
    """
    torch.set_num_threads(n_threads)
    if wanted == "cuda":
        require_cuda()
    if wanted == "cpu" or not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # slow; nothing reads what it has not written
        yield torch.device("cpu")
        return
    with _free_gpu() as index, torch.cuda.device(index):  # kernels of our own are launched on the current device
        log.info("computing on GPU %d, %s", index, torch.cuda.get_device_name(index))
        yield torch.device("cuda", index)


@contextlib.contextmanager
def _free_gpu() -> Iterator[int]:
    """The first GPU that no other madsep process on this machine holds; GPU 0, shared, when all are held."""
    for index in range(torch.cuda.device_count()):
        with hold(f"gpu-{torch.cuda.get_device_properties(index).uuid}.lock") as is_ours:
            if is_ours:
                yield index
                return
    yield 0
