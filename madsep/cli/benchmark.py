"""Commands for the benchmark that Snakemake runs."""

import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from madsep.cli.base import app


@app.command()
def init(directory: Annotated[Path, typer.Option(help="Folder of the run. It is created if it does not exist.")] = Path()) -> None:
    """Write a config.yaml with all settings and comments. `madsep run` reads it in that folder. An existing file is never replaced."""
    from madsep.workflow.shipped import write_config

    typer.echo(write_config(directory))


@app.command()
def run(
    snakemake: Annotated[list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Snakemake's own options, after --.")] = None,
    musdb_root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    systems: Annotated[str | None, typer.Option(help="Systems to run, such as MDL1,IRM1.")] = None,
    config_file: Annotated[list[Path] | None, typer.Option(help="YAML file that overrides config.yaml. Can be repeated.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting: scoring.engine=fast.")] = None,
    directory: Annotated[Path, typer.Option(help="Folder for results/ and submission/.")] = Path(),
    cores: Annotated[str | None, typer.Option(help="CPU cores: a number or all.")] = None,
    profile: Annotated[str | None, typer.Option(help="Snakemake's profile: local, slurm or a folder.")] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Show the jobs without running them.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show all output of Snakemake and of the jobs.")] = False,
) -> None:
    """Run the benchmark. Checks the settings and the data first, then starts Snakemake."""
    from madsep.workflow.run import Wanted, prepare_run, shown

    given = [f"musdb_root={json.dumps(str(musdb_root.absolute()))}"] if musdb_root else []
    given += [f"systems={json.dumps(systems.split(','))}"] if systems else []
    arguments = [*(["--dry-run"] if dry_run else []), *(snakemake or [])]
    command = prepare_run(Wanted(config_file or [], [*given, *(changes or [])], directory, cores, profile, arguments, verbose))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until madsep.workflow.interruption waits for it
    print(shown(command), flush=True)
    os.execv(command[0], command)


@app.command()
def systems() -> None:
    """List the recipes and the systems of installed packages. Each recipe has its short name and title."""
    from madsep.separation.external import installed_systems
    from madsep.systems.recipe import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name, {})
        typer.echo(f"{name:<16} {recipe.short_name:<5} {recipe.description.title}")
    for name, package in installed_systems().items():
        typer.echo(f"{name:<16} {'':<5} {package}")
