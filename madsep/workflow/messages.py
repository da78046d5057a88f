"""Messages at the start and at the end of a run."""

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
    """Print the lines of an InputError without a traceback, and end the process."""
    try:
        yield
    except InputError as error:
        sys.exit(f"ERROR: {error}")


def refuse_second_run() -> None:
    """End this run if Slurm still has jobs of an earlier run whose Snakemake was killed. Both would write the same files."""
    with plain_errors():
        jobs = jobs_in_queue(Path.cwd())
    if jobs:
        sys.exit(
            f"ERROR: jobs of an earlier run in this folder are still in Slurm: {', '.join(jobs)}. Wait for them (their results are kept) "
            f"or end them: scancel {' '.join(jobs)}\nWhen squeue no longer lists them, run the same command again."
        )


def result(plan: Plan) -> str:
    """Return the last lines of a run: its table and the paths of its pages and submissions. Empty if the table is from another plan."""
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
    """Return the error messages of the jobs that failed after `since` (seconds since the epoch), from their logs.

    If a log has no message, Slurm's message or the last line of the log is returned. Snakemake's logs name the jobs that have no log.
    """
    logs = sorted(path for path in LOGS.rglob("*.log") if path.stat().st_mtime >= since)
    lines = [line for log in logs for line in _fault(log)]
    texts = [_text(Path(path)) for path in snakemake_logs if Path(path).is_file()]
    failed = [log for text in texts for log in re.findall(r"^ +log: (\S+) \(check log file", text, re.MULTILINE)]
    silent = [log for log in dict.fromkeys(failed) if Path(log) not in logs]
    lines += [f"ERROR: {log}: the job ended before it wrote this log (killed, or out of memory?)" for log in silent]
    return lines or ["ERROR: no log of a job names a cause; see Snakemake's own lines above."]


def _text(log: Path) -> str:
    """Return the text of a log, or an error line if it cannot be read."""
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
    """Return the error in Slurm's own log of a job. `text` is the log of the job, whose first line gives its Slurm id."""
    job = re.match(r"INFO: Slurm job (\d+) on ", text)
    logs = SLURM_LOGS.rglob(f"{job[1]}.log") if job else ()
    found = [re.search(r"^slurmstepd.*? error: (.*)", _text(log), re.MULTILINE) for log in logs]
    return next((match[1] for match in found if match), None)
