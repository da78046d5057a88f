"""Ask Slurm for the jobs of a workflow in its queue, and for the GPUs of its nodes."""

import getpass
import shutil
import subprocess
from pathlib import Path

from madsep.core.errors import InputError


def jobs_in_queue(folder: Path) -> list[str]:
    """Return the ids of this user's jobs in Slurm's queue that Snakemake submitted from `folder`. Empty without Slurm.

    Raises InputError if Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%A|%k|%Z"]  # id, comment, working directory
    completed = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if completed.returncode:
        raise InputError(f"squeue failed: {completed.stderr.strip()}\nRun the same command again when Slurm answers.")
    jobs = [line.split("|", 2) for line in completed.stdout.splitlines()]
    return [number for number, comment, workdir in jobs if comment.startswith("rule_") and Path(workdir) == folder]


def offers_gpus() -> bool:
    """Whether any node of the cluster offers GPUs (gres). True if Slurm does not answer."""
    if shutil.which("sinfo") is None:
        return True
    completed = subprocess.run(["sinfo", "--noheader", "--format=%G"], capture_output=True, encoding="utf-8", check=False)
    return completed.returncode != 0 or any(gres.startswith("gpu") for line in completed.stdout.splitlines() for gres in line.split(","))
