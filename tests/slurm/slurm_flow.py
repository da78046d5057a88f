"""Run the whole workflow on Slurm with the slurm profile, as a user would."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cluster import Cluster
from flow import NUMBERS, ROOT, Outcome

OPTIONS = ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1", "--latency-wait", "10"]


def command(folder: Path, config: Mapping[str, Any], *arguments: str) -> list[str]:
    """Return the command that runs the workflow in `folder` on Slurm. `arguments` are passed to Snakemake: options, then `--` and files."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder.parent / f"{folder.name}-{next(NUMBERS)}.yaml"
    settings.write_text(yaml.safe_dump(dict(config)))
    files = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", ROOT / "config.yaml", settings]
    profile = ["--profile", ROOT / "workflow/profiles/slurm"]
    return [sys.executable, "-m", "snakemake", *map(str, [*files, *profile]), *OPTIONS, *arguments]


def start(slurm: Cluster, folder: Path, config: Mapping[str, Any], *arguments: str) -> subprocess.Popen[str]:
    """Start a run. Its output goes to <folder>.txt."""
    typed = command(folder, config, *arguments)
    with folder.with_suffix(".txt").open("w") as printed:
        return subprocess.Popen(typed, cwd=ROOT, env=slurm.environment, stdout=printed, stderr=subprocess.STDOUT, encoding="utf-8")


def ended(run: subprocess.Popen[str], folder: Path, patience_s: float = 900) -> Outcome:
    """Wait for a run that was started in `folder`. Return its outcome."""
    try:
        status = run.wait(patience_s)
    finally:
        run.kill()
    return Outcome(subprocess.CompletedProcess(run.args, status, folder.with_suffix(".txt").read_text()))


def run_on(slurm: Cluster, folder: Path, config: Mapping[str, Any], *arguments: str) -> Outcome:
    """Run the workflow on Slurm to its end."""
    return ended(start(slurm, folder, config, *arguments), folder)
