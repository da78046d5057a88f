"""The command line: what a person types, each verb one call into the package."""

import json
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from madsep.core.errors import InputError
from madsep.core.logs import job_log, log
from madsep.core.signals import interruptible
from madsep.couplings.options import JACOBIAN_SEQUENCES
from madsep.couplings.options import Options as Fit

FIT = Fit()  # the defaults

app = typer.Typer(
    help="From MUSDB18 to a validated SiSEC submission. The benchmark itself runs by `snakemake --cores all --config musdb_root=DIR`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to make; it must not exist or be empty.")],
    train: Annotated[int, typer.Option(help="Number of training songs.")] = 8,
    test: Annotated[int, typer.Option(help="Number of test songs.")] = 4,
    seconds: Annotated[float, typer.Option(help="Length of each song in seconds.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
) -> None:
    """Make a synthetic MUSDB: sung, drummed and played songs as a tree of wavs."""
    from madsep.synth import make_dataset

    make_dataset(folder, train, test, seconds, seed)


@app.command()
def import_mir1k(
    source: Annotated[Path, typer.Argument(help="MIR-1K's folder, or its folder Wavfile, with the clips as .wav or .flac.")],
    folder: Annotated[Path, typer.Argument(help="Folder to make, for musdb_root; it must not exist or be empty.")],
) -> None:
    """Make a tree of MIR-1K's clips that `snakemake --configfile workflow/configs/mir1k.yaml --config musdb_root=FOLDER` reads."""
    from madsep.data.import_mir1k import import_mir1k

    import_mir1k(source, folder)


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


@app.command()
def run(
    snakemake: Annotated[list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Snakemake's own options, after --.")] = None,
    musdb_root: Annotated[Path | None, typer.Option(help="Folder of the data set.")] = None,
    systems: Annotated[str | None, typer.Option(help="Systems to run, such as MDL1,IRM1.")] = None,
    config_file: Annotated[list[Path] | None, typer.Option(help="YAML laid over config.yaml; may be given again.")] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting: scoring.engine=fast.")] = None,
    directory: Annotated[Path, typer.Option(help="Folder for results/ and submission/.")] = Path(),
    cores: Annotated[str | None, typer.Option(help="CPU cores: a number or all.")] = None,
    profile: Annotated[str | None, typer.Option(help="Snakemake's profile: local, slurm or a folder.")] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Show the jobs and start none.")] = False,
) -> None:
    """Check the settings and the data, then run the benchmark by Snakemake."""
    from madsep.workflow.run import Wanted, prepare_run, shown

    given = [f"musdb_root={json.dumps(str(musdb_root.absolute()))}"] if musdb_root else []
    given += [f"systems={json.dumps(systems.split(','))}"] if systems else []
    arguments = [*(["--dry-run"] if dry_run else []), *(snakemake or [])]
    command = prepare_run(Wanted(config_file or [], [*given, *(changes or [])], directory, cores, profile, arguments))
    print(shown(command), flush=True)
    os.execv(command[0], command)


@app.command()
def doctor(
    musdb_root: Annotated[Path | None, typer.Option(help="Folder of the data set to examine as well.")] = None,
    dataset: Annotated[Literal["musdb18", "mir1k"], typer.Option(help="Which data set that is.")] = "musdb18",
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Accept other tracks than all of the data set's.")] = False,
) -> None:
    """Look at the machine and the data; say what is wrong and how to mend it. Exit status 0 only where all is well."""
    from madsep.data.datasets import DATASETS
    from madsep.doctor import examine, report

    findings = examine(musdb_root, DATASETS[dataset], allow_partial)
    typer.echo(report(findings))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def separate(
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    songs: Annotated[list[Path], typer.Argument(help="Songs of any rate, channel count and length.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for <song>/<target>.wav.")],
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU where there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
    subtype: Annotated[Literal["PCM_16", "FLOAT"], typer.Option(help="Samples of the wavs; those of FLOAT never clip.")] = "PCM_16",
    clip: Annotated[
        Literal["clamp", "rescale"],
        typer.Option(help="Samples above full scale: clamp cuts them off and says so; rescale makes all targets of the song softer."),
    ] = "clamp",
) -> None:
    """Separate your own songs into vocals and accompaniment, or all stems, at their own rate, channel count and length."""
    from madsep.separation.songs import Output, separate_songs

    separate_songs(checkpoint, songs, output, device, threads, Output(subtype, clip))


@app.command()
def score(
    references: Annotated[Path, typer.Argument(help="MUSDB18: test/ and train/ with stem files or folders of wavs.")],
    estimates: Annotated[Path, typer.Argument(help="Estimates in museval's layout: test/<track>/<target>.wav.")],
    out: Annotated[Path, typer.Argument(help="Folder for test/<track>.json; what was scored from the same files stays.")],
    engine: Annotated[Literal["museval", "fast"], typer.Option(help="fast: museval's numbers, many times sooner.")] = "fast",
    jobs: Annotated[int, typer.Option(help="Tracks scored at once.", min=1)] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Score all tracks again.")] = False,
    pad: Annotated[bool, typer.Option("--pad", help="Take what estimates lack in length as silence, and say how much.")] = False,
) -> None:
    """Score estimates by BSSEval v4 and write museval's JSON files."""
    from madsep.scoring.engines import Engine
    from madsep.scoring.folders import Options, score_folders

    score_folders(references, estimates, out, Engine(engine), Options(jobs, overwrite, pad))


@app.command()
def medians(scores: Annotated[Path, typer.Argument(help="Folder of museval JSON files, in it or in its test/.")]) -> None:
    """Print as CSV the median over tracks of the median over frames: SiSEC's table, if the frames are SiSEC's of 1 s."""
    from madsep.core.tables import table_text
    from madsep.scoring.medians import sisec_medians
    from madsep.scoring.scores import framing, read_scores

    found = read_scores(scores)
    if frames := framing(found):
        log.warning("%s: %s; SiSEC's are of 1 s every 1 s, so these medians cannot be compared with SiSEC's", scores, frames)
    typer.echo(table_text(sisec_medians(found)), nl=False)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="FOLDER or NAME=FOLDER of museval's JSON files, in it or its test/.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for index.html, tables/ and figures/.")],
    reproduces: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="System of SiSEC 2018 to check each run against, instead of the one of its name.")
    ] = None,
    n_resamples: Annotated[int, typer.Option(help="Bootstrap resamples of the tracks, for the 95 % intervals.", min=1)] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the resamples: same seed, same intervals.", min=0)] = 218,
    figures: Annotated[
        Literal["shown", "all"], typer.Option(help="shown: those of SDR, which the page shows; all: those of every metric.")
    ] = "shown",
) -> None:
    """Compare runs with each other and with the 31 systems of SiSEC 2018: tables, boxplots, paired tests, reproduction check."""
    from madsep.comparison.compare import compare
    from madsep.comparison.runs import read_runs
    from madsep.core.files import check_unused
    from madsep.core.intervals import Bootstrap
    from madsep.scoring.scores import METRICS

    check_unused(output)
    compare(read_runs(runs), output, Bootstrap(n_resamples, seed), reproduces, METRICS if figures == "all" else METRICS[:1])
    typer.echo(output / "index.html")


@app.command()
def couplings(  # a command's parameters are its options
    checkpoint: Annotated[Path, typer.Argument(help="A trained system: results/<system>/checkpoint.safetensors.")],
    tracks: Annotated[list[Path], typer.Argument(help="Mixtures: wavs, stem files, or folders of tracks.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for maps, tables and figures; it must not exist or be empty.")],
    iterations: Annotated[int, typer.Option(help="Of each fit.", min=1)] = FIT.n_iterations,
    learning_rate: Annotated[float, typer.Option(help="Of each fit's Adam.", min=1e-12)] = FIT.learning_rate,
    tolerance: Annotated[
        float | None, typer.Option(help="End a fit once its loss changes by less than this part in 20 iterations.", min=0)
    ] = FIT.tolerance,
    orientation: Annotated[
        Literal["module", "toy"], typer.Option(help="Of the gates: as in the published module, or its toy script.")
    ] = FIT.orientation,
    float64: Annotated[bool, typer.Option("--float64", help="Fit in double precision, as a check.")] = FIT.double,
    seed: Annotated[int, typer.Option(help="Of the fits' first values.", min=0)] = FIT.seed,
    frames: Annotated[
        int | None, typer.Option(help="Least frames of a fit; shorter tracks are joined. Default: twice the bins.", min=1)
    ] = None,
    layers: Annotated[list[str] | None, typer.Option(help="Dense layers by name, the first one first; once for each layer.")] = None,
    jacobian_sequences: Annotated[int, typer.Option(help="Sequences of each fit's tracks in the Jacobian.", min=1)] = JACOBIAN_SEQUENCES,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU where there is one.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 2,
) -> None:
    """Distil a trained network into one matrix from mixture to estimate, with baselines, an untrained control and its Jacobian."""
    from madsep.couplings.stage import Request
    from madsep.couplings.stage import couplings as write_couplings
    from madsep.data.mixtures import find_mixtures

    fit = Fit(orientation, seed, float64, n_iterations=iterations, learning_rate=learning_rate, tolerance=tolerance)
    request = Request(fit, frames, jacobian_sequences, layers or ())
    write_couplings(checkpoint, find_mixtures(tracks), output, request, device, threads)


@app.command()
def check(submission: Annotated[Path, typer.Argument(help="Folder of a submission, such as submission/MDL1.")]) -> None:
    """Check a submission, more strictly than the campaign does; list every fault, one line each."""
    from madsep.submission.check import check_submission

    faults = check_submission(submission)
    if faults:
        raise InputError("\n".join([f"{submission}: not valid, {len(faults)} to mend:", *faults]))
    typer.echo(f"{submission}: valid")


@app.command()
def systems() -> None:
    """List the recipes: name, submission's short name, what it is; then the systems of installed packages."""
    from madsep.separation.external import installed_systems
    from madsep.systems.recipe import load_recipe, recipe_names

    for name in recipe_names():
        recipe = load_recipe(name, {})
        typer.echo(f"{name:<16} {recipe.short_name:<5} {recipe.description.title}")
    for name, package in installed_systems().items():
        typer.echo(f"{name:<16} {'':<5} {package}")


def main() -> None:
    """Run the command line; what a user can mend ends as a plain line and exit status 1, a defect as one and status 2."""
    with job_log(prefix="madsep: "), interruptible():
        app()
