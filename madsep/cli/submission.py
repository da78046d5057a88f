"""Verbs for a submission."""

from pathlib import Path
from typing import Annotated

import typer

from madsep.cli.base import app
from madsep.core.errors import InputError


@app.command()
def check(submission: Annotated[Path, typer.Argument(help="Folder of a submission, such as submission/MDL1.")]) -> None:
    """Check a submission, more strictly than the campaign does; list every fault, one line each."""
    from madsep.submission.check import check_submission

    faults = check_submission(submission)
    if faults:
        raise InputError("\n".join([f"{submission}: not valid, {len(faults)} faults:", *faults]))
    typer.echo(f"{submission}: valid")
