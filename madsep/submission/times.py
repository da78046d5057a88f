"""Time and memory of a submission's jobs, from Snakemake's benchmark files and the jobs' logs."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madsep.core.reading import read_text, reading

MAX_LINE = 1000  # maximum number of characters to read of a log's first line


@dataclass(frozen=True)
class Jobs:
    """Jobs of a run. `names` lists them by stage, such as {"separate": ["separate/MDL1/a-song-1f0c93d2"]}.

    Job <name> has its benchmark in `benchmarks`/<name>.tsv and its log in `logs`/<name>.log.
    """

    benchmarks: Path
    logs: Path
    names: Mapping[str, Sequence[str]]


def times(jobs: Jobs) -> dict[str, dict[str, Any]]:
    """Return the number of jobs, the sum of their wall-clock seconds and their peak memory (MB) for each stage.

    `not_measured` lists the jobs without a benchmark file, `slurm_job_ids` those that ran on Slurm. Empty lists are left out.
    """
    return {stage: _of_stage(jobs, names) for stage, names in jobs.names.items()}


def _of_stage(jobs: Jobs, names: Sequence[str]) -> dict[str, Any]:
    found = {name: row for name in names if (row := _benchmark(jobs.benchmarks / f"{name}.tsv")) is not None}
    peaks = [peak for row in found.values() if (peak := _number(row["max_rss"])) is not None]
    seconds = [_number(row["s"]) or 0.0 for row in found.values()]
    entry = {"n_jobs": len(names), "seconds": round(sum(seconds), 1), "peak_memory_mb": round(max(peaks), 1) if peaks else None}
    missing = [name for name in names if name not in found]
    ids = [number for name in names if (number := _slurm_job_id(jobs.logs / f"{name}.log")) is not None]
    return entry | ({"not_measured": missing} if missing else {}) | ({"slurm_job_ids": ids} if ids else {})


def _benchmark(path: Path) -> dict[str, str] | None:
    """Return the only row of a benchmark file, by column, or None if there is no such file."""
    if not path.is_file():
        return None
    return next(csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t"), None)


def _number(text: str) -> float | None:
    """Return a number in a benchmark file, or None if Snakemake could not measure it."""
    return None if text in ("-", "NA", "") else float(text)


def _slurm_job_id(log: Path) -> int | None:
    """Return the Slurm id in the first line of a job's log, or None if the job did not run on Slurm."""
    found = re.match(r"INFO: Slurm job (\d+) on ", _first_line(log)) if log.exists() else None
    return int(found[1]) if found else None


def _first_line(log: Path) -> str:
    with reading(log), log.open(encoding="utf-8", errors="replace") as stream:
        return stream.readline(MAX_LINE)
