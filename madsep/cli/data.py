"""Commands for data sets."""

import contextlib
from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import Output, app, one_output


@app.command()
def synth(
    folder: Annotated[Path | None, typer.Argument(help="Folder to create. It must be new or empty.")] = None,
    output: Output = None,
    train: Annotated[int, typer.Option(help="Number of training songs.")] = 8,
    test: Annotated[int, typer.Option(help="Number of test songs.")] = 4,
    seconds: Annotated[float, typer.Option(help="Length of each song in seconds.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Seed of the songs. The same seed gives the same bytes.")] = 0,
    layout: Annotated[Literal["musdb18", "dsd100"], typer.Option(help="Data set whose layout of folders to use.")] = "musdb18",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier synthetic data set in the folder.")] = False,
) -> None:
    """Make synthetic songs as a tree like MUSDB18 or DSD100."""
    from madsep.core.files import check_unused, new_folder
    from madsep.synth import make_dataset
    from madsep.synth.dataset import parts_of

    root = one_output(folder, output)
    check_unused(root, parts_of(layout), overwrite)
    with new_folder(root) if overwrite else contextlib.nullcontext(root) as made:
        make_dataset(made, train, test, seconds, seed, layout)


@app.command()
def import_mir1k(
    source: Annotated[Path, typer.Argument(help="MIR-1K's folder, or its folder Wavfile, with the clips as .wav or .flac.")],
    folder: Annotated[Path | None, typer.Argument(help="Folder to create, for musdb_root. It must be new or empty.")] = None,
    output: Output = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier import in the folder.")] = False,
) -> None:
    """Convert MIR-1K to a tree of clips. `madsep run --config-file workflow/configs/mir1k.yaml --musdb-root FOLDER` reads it."""
    from madsep.data.import_mir1k import import_mir1k

    import_mir1k(source, one_output(folder, output), overwrite)


@app.command()
def doctor(
    musdb_root: Annotated[Path | None, typer.Option(help="Folder of a data set to check as well.")] = None,
    dataset: Annotated[Literal["musdb18", "dsd100", "mir1k"], typer.Option(help="Name of this data set.")] = "musdb18",
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Accept missing or unknown tracks.")] = False,
) -> None:
    """Check the machine and the data. Shows how to fix what is wrong. The exit status is 0 if nothing is wrong."""
    from madsep.data.datasets import DATASETS
    from madsep.doctor import examine, report

    findings = examine(musdb_root, DATASETS[dataset], allow_partial)
    typer.echo(report(findings))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
