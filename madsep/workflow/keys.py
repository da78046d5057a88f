"""The settings of a run, with the type, range and meaning of each key."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from madsep.core.settings import Settings
from madsep.separation.external import ExternalSettings


def _distinct(items: list[Any]) -> list[Any]:
    if len(set(items)) < len(items):
        raise ValueError("an entry occurs twice")
    return items


Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Names = Annotated[list[str], AfterValidator(_distinct)]
Seeds = Annotated[list[Whole], AfterValidator(_distinct)]


class RunSettings(Settings):
    """Base of the settings of a run. Values must have the declared type and are not converted."""

    model_config = ConfigDict(strict=True)


class Threads(RunSettings):
    """CPU threads per job, limited by `--cores`."""

    train: Count = Field(description="CPU threads of a training job.")
    separate: Count = Field(description="CPU threads of a separation job.")
    score: Count = Field(description="CPU threads of a scoring job. museval gains little from more than one.")


class JobSeconds(RunSettings):
    """Maximum seconds of audio per job. Short tracks share a job, a longer track has its own."""

    prepare: Positive = Field(
        description="Maximum seconds of audio that one job prepares. Short tracks share a job, a longer track has its own."
    )
    separate: Positive = Field(description="The same for a job that separates.")
    score: Positive = Field(description="The same for a job that scores.")


class Scoring(RunSettings):
    """How estimates are scored on MUSDB18."""

    engine: Literal["museval", "fast"] = Field(
        description="`museval` is the campaign's scorer. `fast` is the package's engine, which gives the same numbers much faster."
    )
    audit_tracks: Whole = Field(
        description="Number of test tracks that museval scores again if the engine is `fast`. The run fails if a score differs by more than"
        " 1e-4 dB."
    )
    audit_seed: Whole = Field(description="Seed for the choice of these tracks.")


class Resampling(RunSettings):
    """Bootstrap for 95 % intervals over tracks."""

    n_resamples: Annotated[int, Field(ge=100)] = Field(description="Number of bootstrap resamples for 95 % intervals.")
    seed: Whole = Field(description="Seed of the resampling.")


class Listening(RunSettings):
    """The listening page."""

    tracks: Names = Field(
        description="Names of test tracks to show. The worst, median and best track of each system by SDR are always there."
    )
    excerpt_s: Annotated[float, Field(ge=1)] = Field(description="Seconds of each excerpt.")
    max_mb: Annotated[float, Field(ge=1)] = Field(
        description="Maximum size of all excerpts in MB. They are FLAC if that fits, otherwise Opus, and shortened if necessary."
    )


class Fits(RunSettings):
    """Fits of the neural couplings algorithm, and the number of frames at which Jacobians are computed."""

    n_iterations: Count = Field(description="Maximum number of iterations per fit.")
    learning_rate: Positive = Field(description="Learning rate of Adam in each fit.")
    tolerance: Positive | None = Field(
        description="A fit ends when its loss changes by less than this fraction in 20 iterations. With `null` it always "
        "takes `n_iterations`."
    )
    orientation: Literal["module", "toy"] = Field(
        description="Orientation of the fitted gates: `module` as in the published module, `toy` as in its toy script (square layers only)."
    )
    double: bool = Field(description="Fit in float64 instead of float32, as a check.")
    seed: Whole = Field(description="Seed for the initial values of the fits.")
    n_frames: Count | None = Field(
        description="Minimum number of frames per fit. Short tracks are concatenated to reach it. `null` means twice the number of bins."
    )
    jacobian_sequences: Count = Field(description="Number of sequences per fit. The Jacobian is computed at the middle frame of each.")
    every_track: Count = Field(description="Use every n-th test track.")


class Submitter(RunSettings):
    """Submitter details for `description.md`. `null` names the recipe's original authors and marks the submission as a reproduction."""

    authors: str | None = Field(
        description="Authors of the submission. `null` names the recipe's original authors and says that this is a reproduction."
    )
    affiliations: str | None = Field(description="Affiliations of the authors.")
    contact: str | None = Field(description="One e-mail address.")


class Config(RunSettings):
    """All settings of a run."""

    musdb_root: str | None = Field(
        description="Folder of the data set. It or one of its subfolders holds `train/` and `test/`, with wavs or flacs "
        "`<track>/<stem>` or `<track>_<stem>` or, for MUSDB18, `*.stem.mp4` files."
    )
    dataset: Literal["musdb18", "sample", "dsd100", "mir1k"] = Field(
        description="`musdb18`; `sample`, musdb's public 7-second excerpts, which the first run (or `snakemake fetch`) downloads to "
        "`musdb_root` or `results/musdb-sample`; `dsd100`, with `Mixtures/` and `Sources/`, which hold `Dev/` (training) and "
        "`Test/`; or `mir1k`, a folder made by `madsep import-mir1k` and scored by GNSDR."
    )
    allow_partial: bool = Field(
        description="Accept a data set with other tracks than the 100 training and 50 test tracks of MUSDB18, or than the 175 and 825 "
        "clips of MIR-1K."
    )
    extra_root: str | None = Field(
        description="Folder with additional training tracks, `train/<track>/<stem>.wav` or stem files, for recipes that train on them "
        "(MIM-DWF+)."
    )
    validation_tracks: Names = Field(
        description="Names of the training tracks that recipes with validation hold out. If empty, these are the 14 tracks named by musdb "
        "or, if the data set has none of them, every seventh track by name."
    )
    protocol: Literal["sisec18", "sisec16", "mdx21", "mir1k"] | None = Field(
        description="How scores are computed and averaged: `sisec18` (BSSEval v4, frames of 1 s, median of medians), `sisec16` (BSS Eval "
        "v3 in mono, frames of 30 s every 15 s, median of all frames), `mdx21` (SDR of whole tracks, mean) or `mir1k` (GNSDR). `null` "
        "is the default of the data set: `sisec18` for MUSDB18, `sisec16` for DSD100, `mir1k` for MIR-1K."
    )
    systems: Names = Field(
        min_length=1,
        description="Names of the systems to run: recipes (`madsep systems` lists them), the oracles IBM1, IBM2, IRM1, IRM2 and MWF, "
        "systems of `external`, and systems that installed packages register in the entry-point group `madsep.separators`.",
    )
    external: dict[str, ExternalSettings] = Field(
        description='External systems, by name: `{separator: "package.module:callable"}` or `{estimates: FOLDER}`, with `targets` if they '
        "cannot be determined; see docs/separators.md."
    )
    seeds: Seeds = Field(
        description="Seeds of the trainings. Each recipe is trained, separated and scored once per seed, as NAME, NAME-seed219, ...; the "
        "comparison shows the spread, and the first training is submitted. If empty, each recipe is trained once with its own seed."
    )
    overrides: dict[str, dict[str, Any]] = Field(
        description="Changes to single keys of recipes, `{recipe: {section: {key: value}}}`. They also apply to recipes that build on this "
        "one."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(description="`auto` uses a GPU if there is one, `cpu` never does, `cuda` requires one.")
    threads: Threads
    save_every_s: Positive = Field(description="Seconds between two saved training states. A state is also saved after each epoch.")
    max_minutes: Positive | None = Field(
        description="Minutes after which training saves its state and stops with exit status 75. The same command resumes it. `null` means "
        "no limit."
    )
    job_s: JobSeconds
    scoring: Scoring
    bootstrap: Resampling
    listen: Listening
    couplings: Names = Field(
        description="Recipes in `systems` whose couplings are computed over the test tracks. They need dense layers that work on single "
        "frames; see docs/couplings.md."
    )
    nca: Fits
    submission: Submitter
