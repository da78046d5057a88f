"""What Slurm says of its nodes, and what its queue holds of a workflow."""

import getpass
import shutil
import subprocess
from pathlib import Path

from madsep.core.errors import InputError


def jobs_in_queue(folder: Path) -> list[str]:
    """Ids of this user's jobs that wait, run or end in Slurm and that a Snakemake in `folder` has submitted; none where there is no Slurm.

    Raises InputError where Slurm does not answer.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", "--format=%A|%k|%Z"]  # id, comment, working directory
    completed = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if completed.returncode:
        raise InputError(f"squeue failed: {completed.stderr.strip()}\nThe same command goes on when Slurm answers again.")
    jobs = [line.split("|", 2) for line in completed.stdout.splitlines()]
    return [number for number, comment, workdir in jobs if comment.startswith("rule_") and Path(workdir) == folder]


def offers_gpus() -> bool:
    """Whether a node of the cluster offers GPUs (gres); true where there is no Slurm here that says so."""
    if shutil.which("sinfo") is None:
        return True
    completed = subprocess.run(["sinfo", "--noheader", "--format=%G"], capture_output=True, encoding="utf-8", check=False)
    return completed.returncode != 0 or any(gres.startswith("gpu") for line in completed.stdout.splitlines() for gres in line.split(","))
