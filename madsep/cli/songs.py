"""Commands for your own songs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.cli.base import Output, app, one_output
from madsep.core.files import check_new
from madsep.data.choices import Format, Layout, Subtype

FormatOption = Annotated[Format, typer.Option(help="Format of the files.")]
SubtypeOption = Annotated[
    Subtype | None, typer.Option(help="Sample format of wav or flac, PCM_16 by default. FLOAT never clips and needs wav.")
]
BitRate = Annotated[int | None, typer.Option(help="Bit rate of mp3 in kbit/s. Default: the highest.")]
LayoutOption = Annotated[
    Layout, typer.Option(help="Names of the files: mdx <song>/<target>, musdb test/<song>/<target>, mvsep <song>_<target>.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]


@app.command()
def separate(
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    songs: Annotated[list[Path], typer.Argument(help="Songs of any rate, channel count and length.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the targets of each song.")],
    stems: Annotated[str | None, typer.Option(help="Write only these targets, such as vocals or vocals,accompaniment.")] = None,
    mono: Annotated[bool, typer.Option("--mono", help="Mix the channels of each song into one first.")] = False,
    format: FormatOption = "wav",
    subtype: SubtypeOption = None,
    bit_rate: BitRate = None,
    clip: Annotated[
        Literal["clamp", "rescale"],
        typer.Option(help="Samples beyond full scale: clamp cuts them off with a warning, rescale scales all targets of the song down."),
    ] = "clamp",
    layout: LayoutOption = "mdx",
    overwrite: Overwrite = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU if there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
) -> None:
    """Separate your own songs. Estimates are vocals and accompaniment, or all stems, with the rate, channels and length of each song."""
    from madsep.data.encodings import Encoding
    from madsep.separation.songs import Output, separate_songs

    chosen = tuple(dict.fromkeys(stems.split(","))) if stems else ()
    wanted = Output(Encoding(format, subtype, bit_rate), clip, chosen, mono, layout, overwrite)
    separate_songs(checkpoint, songs, output, device, threads, wanted)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Songs or estimates in any layout, such as results/MDL1/estimates or MUSDB18.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the converted songs.")],
    layout: LayoutOption = "mdx",
    format: FormatOption = "wav",
    subtype: SubtypeOption = None,
    bit_rate: BitRate = None,
    overwrite: Overwrite = False,
) -> None:
    """Write estimates in another layout or format. Reads the estimates of a run, or any songs that `madsep score` reads."""
    from madsep.data.convert import convert
    from madsep.data.encodings import Encoding

    convert(source, output, layout, Encoding(format, subtype, bit_rate), overwrite)


@app.command()
def import_weights(
    folder: Annotated[Path, typer.Argument(help="Folder with the authors' files, torch_sps_{encoder,decoder,sp_decoder,se}_*.pytorch.")],
    out: Annotated[Path | None, typer.Argument(help="Checkpoint to write, such as mad.safetensors, for `madsep separate`.")] = None,
    output: Output = None,
    recipe: Annotated[str, typer.Option(help="Recipe that gives the front end, the inference and the separation.")] = "GRU-RIS-l",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing checkpoint.")] = False,
) -> None:
    """Make a checkpoint from the authors' published weights. They are at github.com/Js-Mim/mss_pytorch."""
    from madsep.models.import_weights import import_weights
    from madsep.systems.recipe import load_recipe

    written = one_output(out, output)
    check_new(written, overwrite)
    import_weights(folder, written, load_recipe(recipe, {}))
