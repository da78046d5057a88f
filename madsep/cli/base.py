"""The application that the other modules of this folder register their commands with, and helpers for commands."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

import madsep
from madsep.core.errors import nearest

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    suggest_commands=False,  # `mistake` makes the suggestions, also for options and their values
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # no Rich in the help, because importing it takes most of the start-up time
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"madsep {madsep.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Turn MUSDB18 into a validated SiSEC submission. `madsep run` or Snakemake runs the benchmark."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


Output = Annotated[Path | None, typer.Option("-o", "--output", help="File or folder to write. It may also be the last argument.")]


def one_output(argument: Path | None, option: Path | None) -> Path:
    """Return the output path. Raises BadParameter unless it is given exactly once, as the last argument or with -o."""
    given = [path for path in (argument, option) if path is not None]
    if len(given) != 1:
        raise typer.BadParameter("expected one output, after -o or as the last argument", param_hint="-o")
    return given[0]


def mistake(error: TyperException) -> str:
    """Return a mistake in the command line as one line, with the nearest known command, option or value."""
    context: typer.Context | None = getattr(error, "ctx", None)
    message = error.format_message().replace("Value error, ", "").rstrip(".")
    wrong, known = "", list[str]()
    if context and message.startswith("No such option"):
        wrong = _as_typed(error.message.partition(": ")[2])
        message = f"No such option: {wrong}"
        known = [name for parameter in context.command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    elif context and message.startswith("No such command"):
        wrong, known = message.split("'")[1], list(getattr(context.command, "commands", ()))
    elif "is not one of" in message:
        wrong, *known = re.findall("'([^']*)'", message.partition("': ")[2])
    usage = f" See `{context.command_path} -h`." if context else ""
    hint = nearest(wrong, known)
    return f"{message[0].lower()}{message[1:]}{hint or '.'}{usage}"


def _as_typed(letter: str) -> str:
    """Return an unknown option as the user typed it. Typer reads `-device` as single letters and reports `-d`."""
    return next((word for word in sys.argv[1:] if word.startswith(letter) and not word.startswith("--")), letter)
