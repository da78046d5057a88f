"""The command that writes a listening page."""

from pathlib import Path
from typing import Annotated

import typer

from madsep.cli.base import app


@app.command()
def listen(  # a command's parameters are its options
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="A run, one of its systems (results/MDL1), or NAME=FOLDER of estimates or scores."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for index.html and audio/. It must be new or empty.")],
    references: Annotated[Path | None, typer.Option(help="Folder of MUSDB18, for estimates that are not part of a run.")] = None,
    scores: Annotated[list[str] | None, typer.Option(metavar="NAME=FOLDER", help="museval's JSON files of the estimates NAME.")] = None,
    track: Annotated[list[str] | None, typer.Option(help="A track to show besides those chosen by SDR. May be repeated.")] = None,
    excerpt_s: Annotated[float, typer.Option(help="Seconds of each excerpt.", min=1)] = 30.0,
    max_mb: Annotated[float, typer.Option(help="Maximum size of all audio of the page, in MB.", min=1)] = 50.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier page.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Then serve the page on this machine until Ctrl-C.")] = False,
    port: Annotated[int, typer.Option(help="Port for --serve. 0: any free port.", min=0, max=65535)] = 8000,
) -> None:
    """Write a page that plays estimates above their scores. It also plays mixtures and references."""
    from madsep.core.files import check_unused
    from madsep.listening.listen import PARTS, Options
    from madsep.listening.listen import listen as write_page
    from madsep.listening.serve import serve as serve_page
    from madsep.listening.sources import read_material

    check_unused(output, PARTS, overwrite)
    write_page(read_material(runs, scores or [], references), output, Options(track or (), excerpt_s, max_mb))
    typer.echo(output / "index.html")
    if serve:
        serve_page(output, port)
