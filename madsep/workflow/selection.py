"""Select the systems of a run, determine their targets, and check that they fit the data set."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from madsep.core.errors import InputError, nearest
from madsep.data.datasets import TARGETS, Dataset
from madsep.separation.external import External, external_names, external_targets, find_external
from madsep.systems.recipe import Recipe, load_recipe, recipe_names

BASELINE = "MIX"  # every run scores it; it estimates each source as a quarter of the mixture
# names that the run itself uses in results/
RESERVED = r"benchmarks|compare|listen|logs|musdb-sample|prepared|trainings"


@dataclass(frozen=True)
class Selection:
    """The systems of a run by name: recipes and external systems."""

    recipes: Mapping[str, Recipe]
    externals: Mapping[str, External]
    trained: Mapping[str, Recipe]  # for each recipe, the one that its weights are trained with

    @property
    def names(self) -> list[str]:
        """All systems except the baseline."""
        return [*self.recipes, *self.externals]

    @property
    def submissions(self) -> dict[str, str]:
        """Systems to submit, by the name of the submission's folder. Only the first training of each recipe is submitted."""
        return {recipe.short_name: name for name, recipe in self.recipes.items() if name == recipe.name}


def select_systems(config: Mapping[str, Any], dataset: Dataset) -> Selection:
    """Return the systems that the config names.

    Raises InputError for a name that is unknown, reserved or used twice, and for a recipe or a coupling that does not fit the data set.
    """
    recipes: dict[str, Recipe] = {}
    externals: dict[str, External] = {}
    for name in config["external"]:
        _check_name(name, f"external: '{name}'")
    for name in config["systems"]:
        if name in recipe_names():
            recipes |= _trainings(load_recipe(name, config["overrides"]), config["seeds"])
        elif (found := find_external(name, config["external"])) is not None:
            _check_name(name, f"systems: '{name}' ({found.origin})")
            externals[name] = found
        elif name != BASELINE:
            known = [*recipe_names(), *external_names(config["external"])]
            raise InputError(f"systems: there is no system '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    if twice := sorted(recipes.keys() & externals.keys()):
        raise InputError(f"systems: {twice[0]} names a training of a recipe, because of `seeds`; give the external system another name.")
    sources = {name: load_recipe(recipe.weights_from or recipe.name, config["overrides"]) for name, recipe in recipes.items()}
    trained = {name: source.with_seed(recipes[name].training.seed) for name, source in sources.items()}
    selection = Selection(recipes, externals, trained)
    _check_short_names(selection)
    for name, recipe in recipes.items():
        _check_data(name, recipe, dataset)
    for name in config["couplings"]:
        _check_coupled(name, selection, dataset)
    return selection


def targets_of(name: str, selection: Selection, dataset: Dataset, test_tracks: Sequence[str]) -> tuple[str, ...]:
    """Return the targets of a system: vocals or all four stems, and the accompaniment. MIX has the targets that any system has.

    `test_tracks` are names, not slugs. Raises InputError if the targets of a system cannot be determined.
    """
    if name == BASELINE:
        return max((targets_of(other, selection, dataset, test_tracks) for other in selection.names), key=len, default=TARGETS)
    if name in selection.recipes:
        return (*selection.recipes[name].estimated, "accompaniment")
    external = selection.externals[name]
    try:
        targets = external_targets(external, test_tracks)
    except InputError as error:
        raise InputError(f"{name} ({external.origin}): {error}") from None
    return targets if set(targets) <= {*dataset.stems, *TARGETS} else TARGETS


def _trainings(recipe: Recipe, seeds: Sequence[int]) -> dict[str, Recipe]:
    """Return the trainings of a recipe: NAME with the first seed, NAME-seedSEED with each other. No `seeds`: its own seed."""
    names = [recipe.name, *(f"{recipe.name}-seed{seed}" for seed in seeds[1:])]
    return {name: recipe.with_seed(seed) for name, seed in zip(names, seeds or [recipe.training.seed], strict=True)}


def _check_name(name: str, where: str) -> None:
    """Refuse a name that is reserved, or that is not fit for a folder in results/."""
    if name == "":
        fault = "it is empty"
    elif not re.fullmatch(r"[\w+-]+", name):
        fault = "it has characters other than letters, digits, +, - and _"
    elif name in recipe_names():
        fault = "a recipe has this name"
    elif name == BASELINE:
        fault = f"this name is reserved for the {BASELINE} baseline"
    elif re.fullmatch(RESERVED, name, re.IGNORECASE):
        fault = f"the run keeps its own files in results/{name.lower()}"
    else:
        return
    raise InputError(f"{where} cannot be the name of a system: {fault}; choose another name in external.")


def _check_short_names(selection: Selection) -> None:
    if len(selection.submissions) < len({recipe.name for recipe in selection.recipes.values()}):
        raise InputError("systems: two of the recipes have the same short_name; each submission needs its own.")


def _check_data(name: str, recipe: Recipe, dataset: Dataset) -> None:
    """Refuse a recipe that needs a higher sampling rate or other stems than the data set has."""
    rate_hz = recipe.front_end.sample_rate_hz
    if rate_hz > dataset.sample_rate_hz:
        raise InputError(
            f"systems: {name} works at {rate_hz} Hz, {dataset.title} has {dataset.sample_rate_hz} Hz; choose a recipe made for it "
            "('madsep systems' lists them), or override its front_end."
        )
    missing = {*recipe.sources} - {*dataset.stems, "background"}
    if missing:
        raise InputError(
            f"systems: {name} needs the stems {', '.join(recipe.sources)}; {dataset.title} has no {', '.join(sorted(missing))}."
        )


def _check_coupled(name: str, selection: Selection, dataset: Dataset) -> None:
    """Refuse couplings of a system that is no recipe of the run, lacks dense layers on single frames, or has another rate."""
    if name not in selection.recipes:
        raise InputError(f"couplings: {name} is not among the recipes of `systems`{nearest(name, selection.recipes)}; name it there, too.")
    recipe = selection.recipes[name]
    recipe.check_stack(f"couplings: {name}")
    rate_hz = recipe.front_end.sample_rate_hz
    if rate_hz != dataset.sample_rate_hz:
        raise InputError(
            f"couplings: {name} works at {rate_hz} Hz, {dataset.title} has {dataset.sample_rate_hz} Hz; choose a recipe made for it."
        )
