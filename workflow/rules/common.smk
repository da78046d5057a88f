"""Settings, tracks and recipes that all rules share; the only place that looks at config as a whole."""

import random
import re
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

from madsep.separation.callables import STEMS, fingerprint
from madsep.workflow.config import check_config, typed
from madsep.data.datasets import DATASETS, MIR1K, MUSDB18
from madsep.core.errors import InputError
from madsep.core.provenance import list_gpus
from madsep.data.sample import sample_is_there
from madsep.separation.external import estimate_files
from madsep.workflow.slurm import offers_gpus
from madsep.systems.recipe import load_recipe
from madsep.data.tracks import batch_name, batches, find_tracks


def find_data():
    """The tracks under musdb_root, by slug; none while the run, never one of its jobs, has yet to fetch the sample."""
    sample = config["dataset"] == "sample"
    root = SAMPLE if sample else config["musdb_root"]
    if root is None:
        raise InputError(
            f"musdb_root is not set: run snakemake --cores all --config musdb_root=/path/to/{DATASET.name}, "
            f"or set it in config.yaml; {DATASET.how_to_get}."
        )
    if sample and workflow.is_main_process and not sample_is_there(root):
        print(
            f"{root}: the sample of MUSDB18 is not there yet; this run only fetches it.",
            file=sys.stderr,
        )
        return {}
    return {
        track.slug: track
        for track in find_tracks(root, DATASET, config["allow_partial"] or sample)
    }


@cache
def batches_of(stage, subset):
    """The jobs of a stage, by name: each one track, or several short ones that follow each other."""
    tracks = EXTRA if subset == "extra" else TRACKS
    members = [track for slug, track in tracks.items() if slug.startswith(subset)]
    grouped = batches(members, config["job_s"][stage])
    return {batch_name(batch): batch for batch in grouped}


@cache
def batch_by_slug(stage, subset):
    """Which job of a stage each track is in."""
    return {
        track.slug: name
        for name, batch in batches_of(stage, subset).items()
        for track in batch
    }


def batch_names(stage, subset):
    """Names of the jobs of a stage."""
    return list(batches_of(stage, subset))


@cache
def tracks_of(batch):
    """Tracks of a job, from its name: `test003`, or `test001-test007`."""
    tracks = EXTRA if batch.startswith("extra") else TRACKS
    subset, first = re.match(r"(\D+)(\d+)", batch).groups()
    last = re.search(r"\d+$", batch)[0]
    numbers = range(int(first), int(last) + 1)
    return [tracks[f"{subset}{number:03d}"] for number in numbers]


def kind_of_training(system):
    """Which prepared data a recipe trains on: with all stems or not, and at which rate where that is not the data set's."""
    recipe = recipe_of(system)
    rate_hz = recipe.front_end.sample_rate_hz
    stems = FOUR if set(recipe.sources) - {"vocals", "background"} else ""
    return stems + (f"-{rate_hz}" if rate_hz != DATASET.sample_rate_hz else "")


def prepared_training(system):
    """Manifests of the tracks that a recipe trains on."""
    subsets = (
        ["train", "extra"] if recipe_of(system).training.extra_tracks else ["train"]
    )
    names = [name for subset in subsets for name in batch_names("prepare", subset)]
    return expand(
        f"results/prepared{kind_of_training(system)}/{{batch}}.json", batch=names
    )


def signals_of(kind, batch):
    """What prepared tracks hold, in this order: for training the mixture and the stems, for tests the accompaniment, too."""
    stems = STEMS if FOUR in kind else ["vocals"]
    return ["mixture", *stems, *(["accompaniment"] if batch.startswith("test") else [])]


def rate_of(kind):
    """Sample rate in Hz of prepared tracks; None is the data set's."""
    digits = kind.removeprefix(FOUR).removeprefix("-")
    return int(digits) if digits else None


def slugs_of(batch):
    """Slugs of a job's tracks."""
    return [track.slug for track in tracks_of(batch)]


def jobs_with(stage, slugs):
    """Names of the jobs of a stage that hold any of some tracks of one subset."""
    batch_of = batch_by_slug(stage, TRACKS[slugs[0]].subset)
    return list(dict.fromkeys(batch_of[slug] for slug in slugs))


def prepared_for(system, slugs):
    """Manifests of the prepare jobs that some test tracks come from, with the stems that a system's targets need."""
    stems = FOUR if "drums" in SYSTEM_TARGETS[system] else ""
    return expand(
        f"results/prepared{stems}/{{batch}}.json", batch=jobs_with("prepare", slugs)
    )


def estimates_for(system, slugs):
    """Manifests of the separation jobs that some tracks come from; none for MIX."""
    if system == BASELINE:
        return []
    return expand(
        f"results/{system}/estimates/{{batch}}.json", batch=jobs_with("separate", slugs)
    )


def scoring_mb(system, slugs, engine):
    """Memory in MB to score the longest of some tracks, and of the two Snakemakes of a job of a cluster; museval takes about 18 MB for each second of two stereo targets, 30 of five."""
    longest_s = max(TRACKS[slug].duration_s for slug in slugs)
    museval_mb = 18 if len(SYSTEM_TARGETS[system]) == 2 else 30
    return 1500 + int((museval_mb if engine == "museval" else 4) * longest_s)


def sources(wildcards):
    """Files that a job's tracks are read from."""
    paths = [Path(track.path) for track in tracks_of(wildcards.batch)]
    return [
        str(file)
        for path in paths
        for file in ([path] if path.is_file() else sorted(path.glob("*.wav")))
    ]


def given_estimates(wildcards):
    """Wavs that a job takes from a folder of estimates; none for other systems."""
    folder = EXTERNAL[wildcards.system].estimates
    names = [track.name for track in tracks_of(wildcards.batch)]
    return list(map(str, estimate_files(folder, names))) if folder else []


def recipe_of(system):
    """The recipe of a system, whether it is to be submitted or only trained for another."""
    return RECIPES.get(system) or load_recipe(system, config["overrides"])


def trained_by(system):
    """The system whose training gives the weights of `system`."""
    return RECIPES[system].weights_from or system


def facts_of(name):
    """What a comparison says of a recipe, so that no other change of it draws the figures anew."""
    recipe = RECIPES[name]
    kinds = {"is_blind", "additional_training_data"}
    return {
        "name": recipe.name,
        "separation": {"framing": recipe.separation.framing},
        "description": recipe.description.model_dump(include=kinds),
    }


cluster_has_gpus = cache(offers_gpus)  # known when jobs are planned, asked once


def gpu_job(wildcards):
    """GPUs of a job that uses them; with `device: auto` one where there is any, here or on a cluster's nodes."""
    found = GPUS or workflow.non_local_exec and cluster_has_gpus()
    return int(config["device"] == "cuda" or config["device"] == "auto" and found)


def minutes(tracks, factor):
    """Time limit in minutes on a cluster of a job that works `factor` minutes, at the very most, on a minute of audio."""
    return 10 + int(factor * sum(track.duration_s for track in tracks) / 60)


def couplings_figure(name, label):
    """A figure of a system's couplings, for the report."""
    return report(
        f"results/{{system}}/couplings/{name}.svg",
        caption="../report/couplings.rst",
        category="{system}",
        labels={"figure": label},
    )


def any_of(names):
    """A pattern that exactly these names fit, which may be none."""
    return "|".join(map(re.escape, names)) or "(?!)"


try:
    SCHEMA = Path(workflow.basedir) / "workflow/schemas/config.schema.yaml"
    config.update(typed(config, SCHEMA))
    check_config(config, SCHEMA)
    DATASET = DATASETS.get(config["dataset"], MUSDB18)  # the sample is one of MUSDB18
    RECIPES, EXTERNAL = find_systems()
    SUBMISSIONS = {recipe.short_name: name for name, recipe in RECIPES.items()}
    if len(SUBMISSIONS) < len(RECIPES):
        raise InputError(
            "systems: two of the recipes have the same short_name; each submission needs its own."
        )
    check_rates()
    check_targets()
    check_coupled()
    SYSTEMS = [name for name in config["systems"] if name != BASELINE]
    FINGERPRINTS = {
        name: fingerprint(external.separator)
        for name, external in EXTERNAL.items()
        if external.separator
    }
    SAMPLE = config["musdb_root"] or "results/musdb-sample"
    TRACKS = find_data()
    SYSTEM_TARGETS = (
        {name: targets_of(name) for name in [*SYSTEMS, BASELINE]} if TRACKS else {}
    )
    EXTRA = find_extra() if TRACKS else {}
    VALIDATION = validation() if TRACKS else []
except InputError as error:
    sys.exit(
        f"ERROR: {error}"
    )  # a plain line; an exception would come with a trace of this file

PROTOCOL = "mir1k" if DATASET is MIR1K else "sisec"
TEST = [slug for slug, track in TRACKS.items() if track.subset == "test"]
SCORING = config["scoring"]
AUDITED = sorted(
    random.Random(SCORING["audit_seed"]).sample(
        TEST, min(SCORING["audit_tracks"], len(TEST))
    )
)
TRAINED = [name for name, recipe in RECIPES.items() if recipe.weights_from is None]
GPUS = len(list_gpus())
if GPUS and "gpu" not in workflow.global_resources:
    workflow.register_resource(
        "gpu", GPUS
    )  # no more GPU jobs at once than there are GPUs


wildcard_constraints:
    batch=r"(train|test|extra)\d\d\d+(-(train|test|extra)\d\d\d+)?",
    kind=rf"({FOUR})?(-\d+)?",
    system="|".join(map(re.escape, {*SYSTEMS, *map(trained_by, RECIPES), BASELINE})),
    name="|".join(SUBMISSIONS),
