"""Commands for submissions."""

from pathlib import Path
from typing import Annotated

import typer

from madsep.cli.base import app
from madsep.core.errors import InputError
from madsep.core.logs import log


@app.command()
def check(submission: Annotated[Path, typer.Argument(help="Folder of a submission, such as submission/MDL1.")]) -> None:
    """Check a submission more strictly than the campaign. Lists every fault, one per line.

    An error means that the campaign would refuse the submission or that its scores are not valid. The exit status is then 1. Warnings
    are about form alone.
    """
    from madsep.submission.check import judge_submission

    errors, warnings = judge_submission(submission)
    for warning in warnings:
        log.warning("%s", warning)
    if errors:
        raise InputError("\n".join([f"{submission}: not valid, {len(errors)} to fix:", *errors]))
    counted = "" if not warnings else ", 1 warning" if len(warnings) == 1 else f", {len(warnings)} warnings"
    typer.echo(f"{submission}: valid{counted}")


@app.command()
def crate(
    submission: Annotated[Path, typer.Argument(help="Folder of a submission that madsep wrote, such as submission/MDL1.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to create, outside the submission. It must be new or empty.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier crate in the folder.")] = False,
) -> None:
    """Copy a submission and its provenance into an RO-Crate. Archives such as Zenodo and many programs read crates."""
    from madsep.submission.crate import METADATA, write_crate

    write_crate(submission, output, overwrite)
    typer.echo(output / METADATA)
