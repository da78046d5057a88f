"""The command that distils a trained network."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import app
from madsep.couplings.options import JACOBIAN_SEQUENCES
from madsep.couplings.options import Options as Fit

FIT = Fit()  # the defaults


@app.command()
def couplings(  # a command's parameters are its options
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    tracks: Annotated[list[Path], typer.Argument(help="Mixtures: wavs, stem files, or folders of tracks.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for maps, tables and figures. It must be new or empty.")],
    iterations: Annotated[int, typer.Option(help="Maximum number of iterations per fit.", min=1)] = FIT.n_iterations,
    learning_rate: Annotated[float, typer.Option(help="Learning rate of Adam in each fit.", min=1e-12)] = FIT.learning_rate,
    tolerance: Annotated[
        float | None, typer.Option(help="End a fit when its loss changes by less than this fraction in 20 iterations.", min=0)
    ] = FIT.tolerance,
    orientation: Annotated[
        Literal["module", "toy"], typer.Option(help="Orientation of the gates, as in the published module or in its toy script.")
    ] = FIT.orientation,
    float64: Annotated[bool, typer.Option("--float64", help="Fit in double precision, as a check.")] = FIT.double,
    seed: Annotated[int, typer.Option(help="Seed for the initial values of the fits.", min=0)] = FIT.seed,
    frames: Annotated[int | None, typer.Option(help="Minimum number of frames per fit. Default: twice the number of bins.", min=1)] = None,
    layers: Annotated[list[str] | None, typer.Option(help="Name of a dense layer. Repeat the option for each layer, in order.")] = None,
    jacobian_sequences: Annotated[int, typer.Option(help="Sequences per fit for the Jacobian.", min=1)] = JACOBIAN_SEQUENCES,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace earlier couplings in the folder.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
) -> None:
    """Distil a trained network into one matrix. It maps the mixture to the estimate. Adds baselines, an untrained control, the Jacobian."""
    from madsep.core.files import check_unused
    from madsep.couplings.stage import PARTS, Request
    from madsep.couplings.stage import couplings as write_couplings
    from madsep.data.mixtures import find_mixtures

    check_unused(output, PARTS, overwrite)
    fit = Fit(orientation, seed, float64, n_iterations=iterations, learning_rate=learning_rate, tolerance=tolerance)
    request = Request(fit, frames, jacobian_sequences, layers or ())
    write_couplings(checkpoint, find_mixtures(tracks), output, request, device, threads)
