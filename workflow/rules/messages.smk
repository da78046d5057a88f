"""What a run says at its start and at its end."""

import re
import sys
from pathlib import Path

from madsep.core.errors import InputError
from madsep.workflow.slurm import jobs_in_queue


def print_result():
    """End a run with the table of scores and the submissions' paths."""
    if not TRACKS:
        print(
            f"{SAMPLE}: the sample of MUSDB18 is there now; run snakemake again for the benchmark."
        )
        return
    print(
        Path("results/table.txt").read_text()
        if Path("results/table.txt").exists()
        else ""
    )
    comparison = Path("results/compare/index.html")
    if PROTOCOL == "sisec" and comparison.exists():
        print(f"comparison: {comparison.resolve()}")
    for submission in [Path("submission", name) for name in SUBMISSIONS]:
        if PROTOCOL == "sisec" and submission.exists():
            print(f"submission: {submission.resolve()}")


def refuse_second_run():
    """End a run on Slurm while jobs of an earlier one are there, whose Snakemake was killed: both would write the same files."""
    try:
        jobs = jobs_in_queue(Path.cwd()) if workflow.non_local_exec else []
    except InputError as error:
        sys.exit(f"ERROR: {error}")
    if jobs:
        sys.exit(
            f"ERROR: jobs of an earlier run in this folder are still in Slurm: {', '.join(jobs)}. Wait for them, what they finish is kept, "
            f"or end them: scancel {' '.join(jobs)}\nWhen squeue does not list them any more, run the same command again."
        )


def print_faults(master_logs):
    """End a failed run with the plain lines of the jobs that failed; of a job that was killed before it could say any, with Slurm's or its last."""
    texts = "\n".join(Path(master).read_text() for master in master_logs)
    pattern = r"^ +log: ([^\s,]+)(?:, (\S+))?( \(check log)?"
    named = re.findall(pattern, texts, re.MULTILINE)
    last_named = {path: (slurm_log, failed) for path, slurm_log, failed in named}
    for path, (slurm_log, failed) in last_named.items():
        if faults := find_in(path, r"^ERROR.*", re.MULTILINE | re.DOTALL):
            print(faults[0].rstrip(), file=sys.stderr)
        elif killed := find_in(slurm_log, r"^slurmstepd.*? error: (.*)", re.MULTILINE):
            print(f"ERROR: {path}: Slurm ended the job: {killed[1]}", file=sys.stderr)
        elif failed:
            print(
                f"ERROR: {path}: the job ended without a message (killed, or out of memory?); last line: {last_line(path)}",
                file=sys.stderr,
            )


def last_line(path):
    """The last line of a file, which need not be there or hold any."""
    lines = Path(path).read_text().splitlines() if Path(path).is_file() else []
    return lines[-1] if lines else "none"


def find_in(path, pattern, flags):
    """The first match in a file, which need not be there."""
    return Path(path).is_file() and re.search(pattern, Path(path).read_text(), flags)
