"""Make the plan of a run: check the config, select the systems, find the tracks and compute their digests."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from madsep.core.errors import InputError, nearest, require
from madsep.core.temporary import sweep
from madsep.data.datasets import DATASETS, MUSDB18, Dataset
from madsep.data.extra import find_extra_tracks
from madsep.data.inventory import Digests, read_inventory, with_digests, write_inventory
from madsep.data.medleydb import LAYOUT
from madsep.data.sample import sample_is_there
from madsep.data.tracks import Track, find_tracks, validation_names
from madsep.scoring.protocols import protocol_of
from madsep.workflow.config import check_config, typed
from madsep.workflow.locks import is_locked
from madsep.workflow.plan import Plan
from madsep.workflow.selection import BASELINE, Selection, select_systems, targets_of
from madsep.workflow.settings import merged, read_settings
from madsep.workflow.shipped import CONFIG, shipped

INVENTORY = Path("results/inventory.json")
DIGESTS = Path("results/digests.json")
SAMPLE = "results/musdb-sample"


def make_plan(config: dict[str, Any], is_main: bool) -> Plan | None:
    """Return the plan of the run in the current folder, or None if its sample of MUSDB18 has not been downloaded yet.

    The main process of a run reads the data set and writes results/inventory.json, which the processes of its jobs read. `config` is
    completed in place: missing keys get the defaults of the shipped config.yaml, and text that stands for a number becomes one. Raises
    InputError for a faulty config, data set or choice of systems.
    """
    config.update(merged(read_settings([shipped(CONFIG)]), typed(config)))
    check_config(config)
    dataset = DATASETS.get(config["dataset"], MUSDB18)  # the sample is part of MUSDB18
    protocol_of(config["protocol"], dataset)
    selection = select_systems(config, dataset)
    if is_main and config["dataset"] == "sample" and not sample_is_there(sample_root(config)):
        return None
    tracks = _find(config, dataset, selection) if is_main else read_inventory(INVENTORY)
    slugs = {track.name: slug for slug, track in tracks.items() if track.subset == "test"}
    targets = {name: targets_of(name, selection, dataset, list(slugs)) for name in [*selection.names, BASELINE]}
    for name in config["listen"]["tracks"]:
        if name not in slugs:
            raise InputError(f"listen.tracks: '{name}' is not among the test tracks{nearest(name, slugs)}.")
    digests = Digests(DIGESTS)
    ingredients = {}
    for name, external in selection.externals.items():
        found = external.ingredients(list(slugs), targets[name], digests.of)
        ingredients[name] = {slugs[track]: made_from for track, made_from in found.items()}
    return Plan(config, dataset, selection, tracks, targets, _validation(config, selection, tracks), ingredients)


def check_packages(plan: Plan) -> None:
    """Raise InputError if jobs that run in this Python need a package that is not installed."""
    for name in plan.selection.recipes:
        require("torch", f"systems: {name}")


def sample_root(config: Mapping[str, Any]) -> str:
    """Return the folder of the sample of MUSDB18."""
    root: str = config["musdb_root"] or SAMPLE
    return root


def _find(config: Mapping[str, Any], dataset: Dataset, selection: Selection) -> dict[str, Track]:
    """Find the tracks of the run, compute their missing digests and write the inventory.

    Files that killed processes left are removed. If another run is active, its files and the inventory are left alone.
    """
    is_sample = config["dataset"] == "sample"
    root = sample_root(config) if is_sample else config["musdb_root"]
    if root is None:
        raise InputError(
            f"musdb_root is not set: run madsep run --musdb-root /path/to/{dataset.name}, or snakemake --cores all --config "
            f"musdb_root=/path/to/{dataset.name}, or set it in config.yaml; {dataset.how_to_get}."
        )
    found = find_tracks(root, dataset, config["allow_partial"] or is_sample)
    found += _find_extra(config, dataset, selection, [track.name for track in found])
    tracks = with_digests(found, Digests(DIGESTS))
    if not is_locked(Path.cwd()):  # the jobs of another run read the inventory
        for folder in ("results", "submission"):
            sweep(folder)
        write_inventory(tracks, INVENTORY)
    return {track.slug: track for track in tracks}


def _find_extra(config: Mapping[str, Any], dataset: Dataset, selection: Selection, known: Sequence[str]) -> list[Track]:
    """Find the additional training tracks if a recipe trains on them."""
    asking = [name for name, recipe in selection.trained.items() if recipe.training.extra_tracks]
    if not asking:
        return []
    if config["extra_root"] is None:
        raise InputError(
            f"systems: {asking[0]} trains on additional tracks; set extra_root to a folder with train/<track>/<stem>.wav "
            "or with MedleyDB's songs."
        )
    found = find_extra_tracks(config["extra_root"], dataset, known)
    four = [name for name in asking if set(selection.trained[name].sources) - {"vocals", "background"}]
    if four and any(track.layout == LAYOUT for track in found):
        raise InputError(f"systems: {four[0]} trains on drums and bass, but songs in MedleyDB's layout have no such stems.")
    return found


def _validation(config: Mapping[str, Any], selection: Selection, tracks: Mapping[str, Track]) -> tuple[str, ...]:
    """Return the slugs of the training tracks that recipes with validation hold out: those in the config, or else the default choice.

    Raises InputError if the config names an unknown track, or if a recipe with validation would have no tracks left to train on.
    """
    slugs = {track.name: slug for slug, track in tracks.items() if track.subset == "train"}
    for name in config["validation_tracks"]:
        if name not in slugs:
            raise InputError(f"validation_tracks: '{name}' is not among the training tracks{nearest(name, slugs)}.")
    names = config["validation_tracks"] or validation_names(list(slugs))
    asking = [name for name, recipe in selection.trained.items() if recipe.training.validation]
    has_extra = any(track.subset == "extra" for track in tracks.values())
    if asking and not has_extra and set(names) == set(slugs):
        raise InputError(
            f"systems: {asking[0]} holds out all {len(slugs)} training tracks for validation, so none are left to train on; "
            "add training tracks, or choose fewer in validation_tracks."
        )
    return tuple(slugs[name] for name in names)
