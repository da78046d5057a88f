"""Commands for scores."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from madsep.cli.base import Output, app, one_output
from madsep.core.errors import InputError
from madsep.core.logs import log
from madsep.data.datasets import SUBSETS

if TYPE_CHECKING:
    from madsep.scoring.protocols import Protocol

DECIMALS = ".3f"


@app.command()
def score(
    references: Annotated[Path, typer.Argument(help="MUSDB18 or another folder of test/<track>/<stem>.wav, <track>/<stem>.wav or flat.")],
    estimates: Annotated[Path, typer.Argument(help="Estimates: test/<track>/<target>.wav, <track>/<target>.wav or <track>_<target>.wav.")],
    out: Annotated[Path | None, typer.Argument(help="Folder for test/<track>.json. Scores of unchanged files are kept.")] = None,
    output: Output = None,
    protocol: Annotated[
        Literal["sisec18", "sisec16", "mdx21", "mir1k"], typer.Option(help="What is computed and averaged: docs/protocols.md.")
    ] = "sisec18",
    engine: Annotated[Literal["museval", "fast"], typer.Option(help="fast: the same numbers as museval, many times faster.")] = "fast",
    jobs: Annotated[int, typer.Option(help="Number of tracks to score in parallel.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Score all tracks again.")] = False,
    pad: Annotated[bool, typer.Option("--pad", help="Pad estimates that are too short with silence, and report how much.")] = False,
) -> None:
    """Score estimates and print the table. Audio is wav, flac or stem files. Writes one JSON file per track, as museval does."""
    from madsep.scoring.engines import Engine
    from madsep.scoring.folders import Options, refuse_other_protocols, score_folders

    folder = one_output(out, output)
    if engine == "museval" and protocol != "sisec18":
        raise typer.BadParameter(f"museval scores sisec18 alone; leave it out for {protocol}", param_hint="--engine")
    scorer = Engine(engine if protocol == "sisec18" else protocol)
    refuse_other_protocols(folder, scorer.protocol)
    try:
        score_folders(references, estimates, folder, scorer, Options(jobs, overwrite, pad))
    except InputError:
        _print_tables(folder, scorer.protocol)  # of the tracks that could be scored
        raise
    _print_tables(folder, scorer.protocol)


def _print_tables(folder: Path, protocol: "Protocol") -> None:
    """Print the table of each subset that has scores."""
    from madsep.scoring.folder_table import folder_table

    for subset in reversed(SUBSETS):
        if any((folder / subset).glob("*.json")):
            typer.echo(f"{folder / subset}\n{folder_table(folder / subset, protocol)}", nl=False)


@app.command()
def medians(scores: Annotated[Path, typer.Argument(help="Folder of museval JSON files, in it or in its test/.")]) -> None:
    """Print the medians of score files as CSV, in dB. They are over frames, then over tracks. With frames of 1 s, this is SiSEC's table."""
    from madsep.core.tables import table_text
    from madsep.scoring.medians import sisec_medians
    from madsep.scoring.scores import framing, read_scores

    found = read_scores(scores)
    if frames := framing(found):
        log.warning("%s: %s; SiSEC uses frames of 1 s every 1 s, so these medians cannot be compared with the campaign's", scores, frames)
    typer.echo(table_text(sisec_medians(found), DECIMALS), nl=False)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="FOLDER or NAME=FOLDER of museval's JSON files, in it or its test/.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for index.html, tables/ and figures/.")],
    reproduces: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="System of SiSEC 2018 to check each run against, instead of the one with its name.")
    ] = None,
    n_resamples: Annotated[int, typer.Option(help="Number of bootstrap resamples of the tracks for the 95 % intervals.", min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.", min=0)] = 218,
    figures: Annotated[
        Literal["shown", "all"],
        typer.Option(help="shown: those of SDR, on the page. all: also one file per metric as PDF, SVG and PNG."),
    ] = "shown",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier comparison in the folder.")] = False,
) -> None:
    """Compare runs with each other and with SiSEC 2018. Writes tables, boxplots, paired tests and the reproduction check."""
    from madsep.comparison.compare import PARTS, Options, compare
    from madsep.comparison.runs import read_runs
    from madsep.core.files import check_unused
    from madsep.core.intervals import Bootstrap
    from madsep.scoring.scores import METRICS

    check_unused(output, PARTS, overwrite)
    compare(read_runs(runs), output, Bootstrap(n_resamples, seed), Options(reproduces, METRICS if figures == "all" else ()))
    typer.echo(output / "index.html")
