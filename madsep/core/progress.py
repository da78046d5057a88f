"""A progress bar with the remaining time on a terminal, and log lines otherwise."""

import os
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from madsep.core.logs import QUIET, log

LINE_EVERY_S = 60.0


class Progress:
    """Counts the `total` steps of a task, `done` of which were finished earlier."""

    def __init__(self, task: str, total: int, done: int = 0) -> None:
        self.task, self.total, self.done, self.first = task, total, done, done
        self.console = Console(stderr=True)
        self.watched = self.console.is_terminal and QUIET not in os.environ
        self.started = self.said = time.monotonic()

    def __enter__(self) -> Self:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
        )
        self.bar = Bar(*columns, console=self.console, disable=not self.watched)
        try:
            self.row = self.bar.add_task(self.task, total=self.total, completed=self.done, detail="")
            self.bar.start()
        except BaseException:  # Ctrl-C as soon as it is seen
            self.bar.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()

    def advance(self, n_steps: int, detail: str = "") -> None:
        """Count `n_steps` more. If no terminal shows the bar, log a line at most once a minute."""
        self.done += n_steps
        self.bar.update(self.row, advance=n_steps, detail=detail)
        now = time.monotonic()
        if not self.watched and now - self.said > LINE_EVERY_S:
            self.said = now
            left_s = (now - self.started) / (self.done - self.first) * (self.total - self.done)
            log.info("%s: %d of %d, %.0f min left; %s", self.task, self.done, self.total, left_s / 60, detail)

    def note(self, line: str) -> None:
        """Print a line above the bar, or log it if no terminal shows the bar."""
        if self.watched:
            self.bar.console.print(line, markup=False, highlight=False)
        else:
            log.info("%s: %s", self.task, line)
