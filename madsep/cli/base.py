"""The command line's frame, on which every other module of this folder registers its verbs."""

import typer

app = typer.Typer(
    help="From MUSDB18 to a validated SiSEC submission. The benchmark itself runs by `snakemake --cores all --config musdb_root=DIR`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
