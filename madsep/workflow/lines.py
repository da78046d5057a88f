"""Output of a quiet run: one line per finished job, failures as they occur and, on a terminal, a progress bar."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.text import Text

from madsep.workflow.interruption import INTERRUPTED, QUIETENED

SNAKEMAKE_LOG = "snakemake.logging"  # name of Snakemake's logger
TARGET = "all"  # this rule only collects the results of the others
NOTHING = "Nothing to be done"
FAILED = ("job_error", "group_error")
TAIL = 400  # bytes


class Started(NamedTuple):
    """A running job."""

    name: str  # rule and wildcards
    logs: list[Path]
    since: float


class JobLines(logging.Handler):
    """Log handler that shows Snakemake's events on stderr. It replaces Snakemake's own lines except its warnings and errors."""

    def __init__(self, on_nothing: Callable[[], object]) -> None:
        """Make the progress bar. `on_nothing` is called if no job has to run."""
        super().__init__()
        self.on_nothing = on_nothing
        self.running: dict[int, Started] = {}
        self.n_done = 0
        self.console = Console(stderr=True, highlight=False)
        columns = (BarColumn(), MofNCompleteColumn(), Running(self.running))
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal, transient=True, refresh_per_second=2)
        self.row = self.bar.add_task("", total=None)

    def attach(self) -> None:
        """Attach to Snakemake's logger, and restrict its other handlers to warnings and errors, until Ctrl-C."""
        QUIETENED.append(self.bar.stop)
        logger = logging.getLogger(SNAKEMAKE_LOG)
        for handler in logger.handlers:
            handler.addFilter(_is_fault_of_snakemake)
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Show one event."""
        event = getattr(record, "event", None)
        if event is None:
            if str(record.msg).startswith(NOTHING):
                self._say(record.getMessage())
                self.on_nothing()
        elif event == "run_info":
            self._begin(record.stats)  # type: ignore[attr-defined]
        elif event == "job_info":
            self._start(vars(record))
        elif event == "job_finished":
            self._finish(record.job_id)  # type: ignore[attr-defined]
        elif event in FAILED:
            self._fail(vars(record).get("jobid"))

    def close(self) -> None:
        """Remove the bar."""
        self.bar.stop()
        super().close()

    def _begin(self, jobs: Mapping[str, int]) -> None:
        """Show how many jobs each rule will run. Only the first call counts, because a dry run reports the jobs twice."""
        if self.bar.tasks[0].total is not None:
            return
        counts = {rule: count for rule, count in jobs.items() if rule not in (TARGET, "total")}
        n_jobs = sum(counts.values())
        self._say(f"{n_jobs} job{'s' * (n_jobs != 1)}: {', '.join(f'{count} {rule}' for rule, count in counts.items())}")
        self.bar.update(self.row, total=n_jobs)
        self.bar.start()

    def _start(self, job: Mapping[str, Any]) -> None:
        name = " ".join([job["rule_name"], *map(str, job["wildcards"].values())])
        self.running[job["jobid"]] = Started(name, [Path(log) for log in job["log"]], time.monotonic())

    def _finish(self, number: int) -> None:
        job = self.running.pop(number, None)
        if job is None or job.name == TARGET:
            return
        self.n_done += 1
        self.bar.update(self.row, completed=self.n_done)
        self._say(f"{self.n_done} of {self.bar.tasks[0].total:.0f}: {job.name}, {time.monotonic() - job.since:.0f} s")
        for line in _lines(job.logs, "WARNING: "):
            self._say(f"  {line}")

    def _fail(self, number: int | None) -> None:
        """Name a failed job and its logs. The cause is reported at the end of the run."""
        if number is not None and (job := self.running.pop(number, None)) is not None:
            self._say(f"failed: {job.name}, see {', '.join(map(str, job.logs))}")

    def _say(self, line: str) -> None:
        if not INTERRUPTED.is_set():
            self.console.print(line, markup=False, soft_wrap=True)


class Running(ProgressColumn):
    """Column that shows the longest-running job and the last line of its log."""

    def __init__(self, running: Mapping[int, Started]) -> None:
        super().__init__()
        self.running = running

    def render(self, task: Task) -> Text:
        """Return the text to the right of the bar."""
        jobs = sorted(self.running.values(), key=lambda job: job.since)
        if not jobs:
            return Text()
        more = f" and {len(jobs) - 1} more" if len(jobs) > 1 else ""
        said = _last_line(jobs[0].logs[0]) if jobs[0].logs else ""
        return Text(f"{jobs[0].name}{more}{': ' if said else ''}{said}", overflow="ellipsis", no_wrap=True)


def _is_fault_of_snakemake(record: logging.LogRecord) -> bool:
    """Whether a record is a warning or error of Snakemake itself and not due to Ctrl-C. `JobLines` shows failed jobs."""
    return not INTERRUPTED.is_set() and record.levelno >= logging.WARNING and getattr(record, "event", None) not in FAILED


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - TAIL))
            lines = stream.read().decode("utf-8", errors="replace").splitlines()
    except OSError:  # the log does not exist yet
        return ""
    return lines[-1].partition(": ")[2] if lines else ""


def _lines(logs: list[Path], beginning: str) -> list[str]:
    texts = [log.read_text(encoding="utf-8", errors="replace") for log in logs if log.is_file()]
    return [line for text in texts for line in text.splitlines() if line.startswith(beginning)]
