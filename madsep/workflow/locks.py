"""Whether another run is at work in a folder."""

from pathlib import Path

LOCKS = ".snakemake/locks"  # Snakemake keeps a file there for each lock


def is_locked(folder: Path) -> bool:
    """Whether a Snakemake works in `folder`, or was killed there and has left its lock."""
    locks = folder / LOCKS
    return locks.is_dir() and any(locks.iterdir())
