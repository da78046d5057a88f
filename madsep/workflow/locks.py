"""Detect the lock of another run in a folder."""

from pathlib import Path

LOCKS = ".snakemake/locks"  # Snakemake keeps one file per lock here


def is_locked(folder: Path) -> bool:
    """Whether Snakemake is running in `folder`, or was killed there and left its lock."""
    locks = folder / LOCKS
    return locks.is_dir() and any(locks.iterdir())
