"""Measurements for the benchmarks of training and separation: time, memory, and the peak speed of matrix products."""

import argparse
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import psutil
import torch

PEAK_SIZE = {"cpu": 2048, "cuda": 8192}  # rows and columns of the square matrix products that measure the peak speed


def wait_for(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Return the wall-clock seconds of `work`, including the work that it starts on the device, and its result."""
    wait_for(device)
    started = time.perf_counter()
    result = work()
    wait_for(device)
    return time.perf_counter() - started, result


@contextmanager
def peak_bytes(device: torch.device, found: list[int]) -> Iterator[None]:
    """Append the peak growth within the block of this process's resident memory, or of the GPU's allocated memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield
        found.append(torch.cuda.max_memory_allocated(device) - before)
        return
    process, done = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    sizes = [before]

    def watch() -> None:
        while not done.wait(0.005):
            sizes.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    found.append(max(sizes) - before)


def apart(device: torch.device, work: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `work` from a new process, whose memory contains nothing from earlier measurements.

    On a GPU, `work` runs in this process, whose GPU memory is measured relative to what was allocated before.
    """
    if device.type == "cuda":
        return work(*arguments)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def repeated(work: Callable[[], Any], device: torch.device, n_times: int) -> float:
    """Return the seconds of one call, from the fastest of three rounds of `n_times` calls."""
    work()
    return min(seconds(lambda: [work() for _ in range(n_times)], device)[0] for _ in range(3)) / n_times


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """Return the floating-point operations per second of a large square matrix product."""
    size = PEAK_SIZE[device.type]
    factor = torch.randn(size, size, device=device).to(dtype)
    return 2 * size**3 / repeated(lambda: factor @ factor, device, 3)


def markdown(columns: list[str]) -> str:
    """Return the header of a Markdown table."""
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def chosen_devices(description: str | None) -> list[torch.device]:
    """Parse a command line that may name a device. By default, return the CPU and, if there is one, the GPU."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    wanted = parser.parse_args().device
    kinds = [wanted] if wanted else ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    return [torch.device(kind) for kind in kinds]
