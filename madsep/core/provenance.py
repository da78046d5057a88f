"""The origin of a result: code, versions, hardware. Imports are kept light because planning uses `list_gpus`."""

import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import madsep

PACKAGES = ("torch", "numpy", "scipy", "pandas", "soundfile", "musdb", "museval", "stempeg", "snakemake", "safetensors")


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out in `folder`, with the suffix `-dirty` if files were changed. Return None outside a repository."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def versions() -> dict[str, str | None]:
    """Return the versions of madsep, Python, ffmpeg and the packages that affect results, with None for packages that are not installed."""
    import importlib.metadata

    from madsep.core.ffmpeg import ffmpeg_version

    found: dict[str, str | None] = {"madsep": madsep.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    found["ffmpeg"] = ffmpeg_version() if shutil.which("ffmpeg") and shutil.which("ffprobe") else None
    return found


def hardware() -> dict[str, Any]:
    """Return this machine's processor, number of cores, memory in GiB, GPUs and operating system."""
    import psutil

    return {
        "processor": _processor(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": list_gpus(),
        "system": platform.platform(),
    }


def list_gpus() -> list[str]:
    """Return the driver's description of each NVIDIA GPU, or an empty list without a driver. CUDA is not started."""
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
