"""Settings, tracks and recipes that all rules share; the only place that looks at config as a whole."""

import random
import re
import sys
from dataclasses import asdict
from pathlib import Path

from madsep.config import check_config, typed
from madsep.datasets import DATASETS, MIR1K, MUSDB18
from madsep.errors import InputError
from madsep.provenance import list_gpus
from madsep.settings import nearest
from madsep.systems import load_recipe
from madsep.tracks import (
    batch_name,
    batches,
    fetch_sample,
    find_tracks,
    validation_names,
)

BASELINE = "MIX"  # the unprocessed mixture, scored as every target


def find_data():
    """The tracks under musdb_root, by slug."""
    sample = config["dataset"] == "sample"
    root = config["musdb_root"] or ("results/musdb-sample" if sample else None)
    if root is None:
        raise InputError(
            f"musdb_root is not set: run snakemake --cores all --config musdb_root=/path/to/{DATASET.name}, "
            f"or set it in config.yaml; {DATASET.how_to_get}."
        )
    if sample:
        fetch_sample(root)
    return {
        track.slug: track
        for track in find_tracks(root, DATASET, config["allow_partial"] or sample)
    }


def validation():
    """Names of the validation tracks: those of the config, all of which must be there, or musdb's for MUSDB18."""
    known = [track.name for track in TRACKS.values() if track.subset == "train"]
    for name in config["validation_tracks"]:
        if name not in known:
            raise InputError(
                f"validation_tracks: '{name}' is not among the training tracks{nearest(name, known)}."
            )
    return config["validation_tracks"] or (
        validation_names() if DATASET is MUSDB18 else []
    )


def check_rates():
    """Refuse recipes whose front end works at another rate than the data have."""
    for name, recipe in RECIPES.items():
        if recipe.front_end.sample_rate_hz != DATASET.sample_rate_hz:
            raise InputError(
                f"systems: {name} works at {recipe.front_end.sample_rate_hz} Hz, {DATASET.title} has {DATASET.sample_rate_hz} Hz; "
                "choose a recipe made for it ('madsep systems' lists them), or override its front_end."
            )


try:
    config.update(typed(config))
    check_config(config, Path(workflow.basedir) / "workflow/schemas/config.schema.yaml")
    DATASET = DATASETS.get(config["dataset"], MUSDB18)  # the sample is one of MUSDB18
    RECIPES = {
        name: load_recipe(name, config["overrides"]) for name in config["systems"]
    }
    SUBMISSIONS = {recipe.short_name: name for name, recipe in RECIPES.items()}
    if len(SUBMISSIONS) < len(RECIPES):
        raise InputError(
            "systems: two of the recipes have the same short_name; each submission needs its own."
        )
    check_rates()
    TRACKS = find_data()
    VALIDATION = validation()
except InputError as error:
    sys.exit(
        f"ERROR: {error}"
    )  # a plain line; an exception would come with a trace of this file

PROTOCOL = "mir1k" if DATASET is MIR1K else "sisec"
SYSTEMS = list(RECIPES)
TEST = [slug for slug, track in TRACKS.items() if track.subset == "test"]
SCORING = config["scoring"]
AUDITED = sorted(
    random.Random(SCORING["audit_seed"]).sample(
        TEST, min(SCORING["audit_tracks"], len(TEST))
    )
)
TRAINED = [name for name, recipe in RECIPES.items() if recipe.weights_from is None]
GPUS = len(list_gpus())
GPU_JOB = (
    0 if config["device"] == "cpu" or (config["device"] == "auto" and not GPUS) else 1
)
if GPUS and "gpu" not in workflow.global_resources:
    workflow.register_resource(
        "gpu", GPUS
    )  # no more GPU jobs at once than there are GPUs


def batch_names(stage, subset):
    """Names of the jobs of a stage: each one track, or several short ones that follow each other."""
    members = [track for track in TRACKS.values() if track.subset == subset]
    return [batch_name(batch) for batch in batches(members, config["job_s"][stage])]


def tracks_of(batch):
    """Tracks of a job, from its name: `test003`, or `test001-test007`."""
    slugs = list(TRACKS)
    first, last = batch.split("-")[0], batch.split("-")[-1]
    return [TRACKS[slug] for slug in slugs[slugs.index(first) : slugs.index(last) + 1]]


def prepared(subset):
    """Manifests of all prepared tracks of a subset."""
    return expand("results/prepared/{batch}.json", batch=batch_names("prepare", subset))


def slugs_of(batch):
    """Slugs of a job's tracks."""
    return [track.slug for track in tracks_of(batch)]


def jobs_with(stage, slugs):
    """Names of the jobs of a stage that hold any of some tracks of one subset."""
    names = batch_names(stage, TRACKS[slugs[0]].subset)
    return [name for name in names if set(slugs) & set(slugs_of(name))]


def prepared_for(slugs):
    """Manifests of the prepare jobs that some tracks come from."""
    return expand("results/prepared/{batch}.json", batch=jobs_with("prepare", slugs))


def estimates_for(system, slugs):
    """Manifests of the separation jobs that some tracks come from; none for the unprocessed mixture."""
    if system == BASELINE:
        return []
    return expand(
        f"results/{system}/estimates/{{batch}}.json", batch=jobs_with("separate", slugs)
    )


def scoring_mb(slugs, engine):
    """Memory in MB to score the longest of some tracks; museval takes about 18 MB for each second of two stereo targets."""
    longest_s = max(TRACKS[slug].duration_s for slug in slugs)
    return 600 + int((18 if engine == "museval" else 4) * longest_s)


def sources(wildcards):
    """Files that a job's tracks are read from."""
    paths = [Path(track.path) for track in tracks_of(wildcards.batch)]
    return [
        str(file)
        for path in paths
        for file in ([path] if path.is_file() else sorted(path.glob("*.wav")))
    ]


def recipe_of(system):
    """The recipe of a system, whether it is to be submitted or only trained for another."""
    return RECIPES.get(system) or load_recipe(system, config["overrides"])


def trained_by(system):
    """The system whose training gives the weights of `system`."""
    return RECIPES[system].weights_from or system


def print_result():
    """End a run with the table of scores and the submissions' paths."""
    print(
        Path("results/table.txt").read_text()
        if Path("results/table.txt").exists()
        else ""
    )
    for name in SUBMISSIONS if PROTOCOL == "sisec" else []:
        print(f"submission: {Path('submission', name).resolve()}")


def print_faults(master_logs):
    """End a failed run with the plain lines of the jobs that failed."""
    logs = [
        path
        for master in master_logs
        for path in re.findall(r"^ +log: (\S+)", Path(master).read_text(), re.MULTILINE)
    ]
    for path in dict.fromkeys(logs):
        if Path(path).exists() and (
            faults := re.search(
                "^ERROR.*", Path(path).read_text(), re.MULTILINE | re.DOTALL
            )
        ):
            print(faults[0].rstrip(), file=sys.stderr)


wildcard_constraints:
    batch=r"(train|test)\d{3}(-(train|test)\d{3})?",
    system="|".join([*map(re.escape, {*RECIPES, *map(trained_by, RECIPES)}), BASELINE]),
    name="|".join(SUBMISSIONS),
