"""The command that exports a network to other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import app
from madsep.core.files import check_new


@app.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write.")],
    format: Annotated[
        Literal["torchscript", "onnx", "exported-program"],
        typer.Option(help="exported-program for torch.export.load, onnx for ONNX Runtime, torchscript for torch.jit.load, also from C++."),
    ] = "exported-program",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
) -> None:
    """Export the network for other programs. It maps magnitudes to magnitudes. The file's entry `madsep` describes the STFT."""
    check_new(output, overwrite)
    from madsep.models.export import export as write_export

    write_export(checkpoint, output, format)
    typer.echo(output)
