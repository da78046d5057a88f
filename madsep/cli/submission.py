"""Verbs for a submission."""

from pathlib import Path
from typing import Annotated

import typer

from madsep.cli.base import app
from madsep.core.errors import InputError
from madsep.core.logs import log


@app.command()
def check(submission: Annotated[Path, typer.Argument(help="Folder of a submission, such as submission/MDL1.")]) -> None:
    """Check a submission, more strictly than the campaign does; list every fault, one line each.

    Errors, for which the campaign would refuse it or its scores do not hold, end with exit status 1. Warnings are about form alone.
    """
    from madsep.submission.check import judge_submission

    errors, warnings = judge_submission(submission)
    for warning in warnings:
        log.warning("%s", warning)
    if errors:
        raise InputError("\n".join([f"{submission}: not valid, {len(errors)} to fix:", *errors]))
    counted = "" if not warnings else ", 1 warning" if len(warnings) == 1 else f", {len(warnings)} warnings"
    typer.echo(f"{submission}: valid{counted}")
