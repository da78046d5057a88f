"""What a run says at its start and at its end, as plain lines."""

import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.core.logs import FINISHED
from madsep.core.reading import read_bytes, read_text
from madsep.workflow.plan import Plan
from madsep.workflow.slurm import jobs_in_queue

LOGS = Path("results/logs")
SLURM_LOGS = Path(".snakemake/slurm_logs")


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End the process with the plain lines of an InputError."""
    try:
        yield
    except InputError as error:
        sys.exit(f"ERROR: {error}")


def refuse_second_run() -> None:
    """End a run on Slurm while jobs of an earlier one, whose Snakemake was killed, are there: both would write the same files."""
    with plain_errors():
        jobs = jobs_in_queue(Path.cwd())
    if jobs:
        sys.exit(
            f"ERROR: jobs of an earlier run in this folder are still in Slurm: {', '.join(jobs)}. Wait for them, what they finish is kept, "
            f"or end them: scancel {' '.join(jobs)}\nWhen squeue no longer lists them, run the same command again."
        )


def result(plan: Plan) -> str:
    """Return what ends a run: the table, if it is of this plan, and the paths of the pages and the submissions that are there."""
    table = Path("results/table.txt")
    lines = []
    with contextlib.suppress(InputError):
        if table.is_file() and read_json("results/table.json")["identity"] == plan.identity(plan.scored):
            lines.append(read_text(table))
    if lines:
        made = [Path(file) for file in plan.results if Path(file).is_file()]
        lines += [f"comparison: {file.resolve()}" for file in made if file.parent.name == "compare"]
        lines += [f"listening page: {file.resolve()}" for file in made if file.parent.name == "listen"]
        lines += [f"submission: {file.parent.resolve()}" for file in made if file.parts[0] == "submission"]
    return "\n".join(lines)


def faults(since: float, snakemake_logs: Sequence[str]) -> list[str]:
    """Return the plain lines of the jobs that have failed since a time (seconds since the epoch), from their own logs.

    For a job that ended without a message there is Slurm's, or the last line of its log. A job that ended before it had a log is found in
    Snakemake's.
    """
    logs = sorted(path for path in LOGS.rglob("*.log") if path.stat().st_mtime >= since)
    lines = [line for log in logs for line in _fault(log)]
    texts = [_text(Path(path)) for path in snakemake_logs if Path(path).is_file()]
    failed = [log for text in texts for log in re.findall(r"^ +log: (\S+) \(check log file", text, re.MULTILINE)]
    silent = [log for log in dict.fromkeys(failed) if Path(log) not in logs]
    lines += [f"ERROR: {log}: the job ended before it could write there (killed, or out of memory?)" for log in silent]
    return lines or ["ERROR: no job says what is wrong; Snakemake's own lines above do."]


def _text(log: Path) -> str:
    """A log's text, or the line that says why it cannot be read."""
    try:
        return read_bytes(log).decode("utf-8", "replace")
    except InputError as error:
        return f"ERROR: {error}"


def _fault(log: Path) -> Iterator[str]:
    text = _text(log)
    if text.rstrip().endswith(FINISHED):
        return
    if found := re.search(r"^ERROR.*", text, re.MULTILINE | re.DOTALL):
        yield found[0].rstrip()
    elif killed := _slurm_message(text):
        yield f"ERROR: {log}: Slurm ended the job: {killed}"
    else:
        last = text.splitlines()[-1] if text.strip() else "none"
        yield f"ERROR: {log}: the job ended without a message (killed, or out of memory?); last line: {last}"


def _slurm_message(text: str) -> str | None:
    """The reason that Slurm gives in its own log of the job that a log's first line names."""
    job = re.match(r"INFO: Slurm job (\d+) on ", text)
    logs = SLURM_LOGS.rglob(f"{job[1]}.log") if job else ()
    found = [re.search(r"^slurmstepd.*? error: (.*)", _text(log), re.MULTILINE) for log in logs]
    return next((match[1] for match in found if match), None)
