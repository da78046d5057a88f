"""The command that prints a comparison."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import app


@app.command()
def table(
    comparison: Annotated[Path, typer.Argument(help="Folder of a comparison, such as results/compare.")],
    form: Annotated[
        Literal["markdown", "latex", "csv", "json"], typer.Option("--format", help="latex needs the package booktabs.")
    ] = "markdown",
    intervals: Annotated[
        bool, typer.Option("--intervals", help="Add the 95 % bootstrap intervals. csv and json always have them.")
    ] = False,
    groups: Annotated[str | None, typer.Option(help="Groups of the comparison, such as sisec18. Default: all.")] = None,
    targets: Annotated[str | None, typer.Option(help="Targets, such as vocals,bass. Default: those of the runs.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Metrics, such as SDR,uSDR. Default: all.")] = None,
    systems: Annotated[str | None, typer.Option(help="Systems, such as MDL1,IRM1. Default: all.")] = None,
) -> None:
    """Print a comparison as Markdown, LaTeX, CSV or JSON. Each number has its definition."""
    from madsep.comparison.export import Wanted, comparison_table

    of_groups, of_targets, of_metrics, of_systems = (names.split(",") if names else () for names in (groups, targets, metrics, systems))
    wanted = Wanted(of_groups, of_targets, of_metrics, of_systems, intervals)
    typer.echo(comparison_table(comparison, wanted, form), nl=False)
