"""Verbs for a user's own songs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import app


@app.command()
def separate(
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    songs: Annotated[list[Path], typer.Argument(help="Songs of any rate, channel count and length.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for <song>/<target>.wav.")],
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
    subtype: Annotated[Literal["PCM_16", "FLOAT"], typer.Option(help="Sample format of the wavs. FLOAT never clips.")] = "PCM_16",
    clip: Annotated[
        Literal["clamp", "rescale"],
        typer.Option(help="Samples beyond full scale: clamp cuts them off with a warning, rescale scales all targets of the song down."),
    ] = "clamp",
) -> None:
    """Separate your own songs into vocals and accompaniment, or all stems, at their own rate, channel count and length."""
    from madsep.separation.songs import Output, separate_songs

    separate_songs(checkpoint, songs, output, device, threads, Output(subtype, clip))


@app.command()
def import_weights(
    folder: Annotated[Path, typer.Argument(help="Folder with the authors' files, torch_sps_{encoder,decoder,sp_decoder,se}_*.pytorch.")],
    out: Annotated[Path, typer.Argument(help="Checkpoint to write, such as mad.safetensors, for `madsep separate`.")],
    recipe: Annotated[str, typer.Option(help="Recipe of the front end, the inference and the separation.")] = "GRU-RIS-l",
) -> None:
    """Make a checkpoint of the weights that the authors of the Masker-and-Denoiser published (github.com/Js-Mim/mss_pytorch)."""
    from madsep.models.import_weights import import_weights
    from madsep.systems.recipe import load_recipe

    import_weights(folder, out, load_recipe(recipe, {}))
