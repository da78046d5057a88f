"""Recipes of the built-in systems: one YAML file each in recipes/, merged and checked.

A recipe may build on another. An overlay makes variants of recipes for another data set. The config may override single keys. Nothing here
loads PyTorch, so that a run can be planned without it.
"""

from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Self, TypeVar

from pydantic import Field

from madsep.core.errors import InputError, nearest
from madsep.core.settings import Description, FrontEnd, Segments, Separation, Settings, Target, Training
from madsep.systems.coverage import check_front_end
from madsep.systems.families import FAMILIES
from madsep.systems.families.family import Family
from madsep.systems.overlays import Variant, laid_over, read, stems, variants
from madsep.systems.sizes import Sizes

RECIPES = resources.files("madsep.systems") / "recipes"
MAX_BATCH = 1 << 28  # 1 GiB
MAX_READS = 256
TRAINED_BY = ("family", "sources", "front_end", "segments", "network", "target", "loss", "training")


class System(Settings):
    """A system as stored in a checkpoint: everything that determines its weights and estimates, and nothing else."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*\+?$")]
    family: str = Field(description="model family of the registry")
    sources: tuple[str, ...] = Field(description="sources used in training; background: the mixture without the vocals")
    front_end: FrontEnd
    segments: Segments
    network: Settings
    target: Target
    loss: Settings
    training: Training
    separation: Separation

    @property
    def trained_family(self) -> Family[Any]:
        """The description of this system's family, without its network."""
        return FAMILIES[self.family]

    @property
    def sizes(self) -> Sizes:
        """The sizes that the network takes from other sections of the recipe."""
        return Sizes(self.front_end.n_bins, self.segments.n_frames, self.segments.n_context, len(self.sources))

    @property
    def estimated(self) -> tuple[str, ...]:
        """The sources that the network estimates: the vocals, or all four stems. The accompaniment is derived from these."""
        return self.sources if self.sources[1:] and "background" not in self.sources else ("vocals",)

    def check_stack(self, where: str) -> None:
        """Raise InputError unless the network contains a stack of dense layers on single frames."""
        if not self.trained_family.has_stack:
            having = ", ".join(name for name, family in FAMILIES.items() if family.has_stack)
            raise InputError(
                f"{where}: its family {self.family} has no dense layers on single frames; expected one of {having}, or layers by their "
                "names."
            )

    def training_half(self) -> dict[str, Any]:
        """Return the plain values that determine the weights."""
        return self.model_dump(mode="json", include=set(TRAINED_BY), serialize_as_any=True)

    def system_values(self) -> dict[str, Any]:
        """Return the plain values that determine weights and estimates."""
        return self.model_dump(mode="json", include=set(System.model_fields), serialize_as_any=True)


class Recipe(System):
    """A complete recipe, merged with its base: the system, and the information for its submission."""

    short_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,4}$")] = Field(description="name of the submission, at most 4 characters")
    weights_from: str | None = Field(default=None, description="recipe whose trained weights are used instead of training")
    description: Description

    def values(self) -> dict[str, Any]:
        """Return the plain values of the whole recipe."""
        return self.model_dump(mode="json", serialize_as_any=True)

    def with_seed(self, seed: int) -> Self:
        """Return the same recipe with another training seed."""
        return self.model_copy(update={"training": self.training.model_copy(update={"seed": seed})})


AnySystem = TypeVar("AnySystem", bound=System)


def recipe_names() -> list[str]:
    """Return the sorted names of all recipes, including variants with an overlay."""
    return sorted([*stems(RECIPES), *_variants()])


def load_recipe(name: str, overrides: Mapping[str, Any]) -> Recipe:
    """Return recipe `name`. `overrides` ({recipe: {section: {key: value}}}) replace values in it and in the recipes it builds on.

    Raises InputError for an unknown recipe, family or key, or a value out of range.
    """
    for other in overrides:
        _check_name(other, "overrides")
    values = _merged(name, overrides, ())
    if (source := values.get("weights_from")) is not None:
        changed = set(overrides.get(name) or {}) & set(TRAINED_BY)
        if changed:
            raise InputError(
                f"overrides.{name}: '{sorted(changed)[0]}' decides the weights, which {name} takes from {source}; override {source}."
            )
        trained = _merged(source, overrides, ())
        if trained.get("weights_from") is not None:
            raise InputError(f"recipe {name}: weights_from is {source}, which itself uses the weights of {trained['weights_from']}.")
        values |= {section: trained[section] for section in TRAINED_BY}
    return parse_recipe(values, f"recipe {name}")


def parse_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """Return a recipe from plain values, with network and loss checked against the family.

    Raises InputError naming `where` and the key.
    """
    return _parse(Recipe, values, where)


def parse_system(values: Mapping[str, Any], where: str) -> System:
    """Return a system from the plain values in a checkpoint. Raises InputError as `parse_recipe` does."""
    return _parse(System, values, where)


def _parse(kind: type[AnySystem], values: Mapping[str, Any], where: str) -> AnySystem:
    values = dict(values)
    family = FAMILIES.get(values.get("family", ""))
    if family is None:
        raise InputError(
            f"{where}: unknown model family {values.get('family')!r}{nearest(str(values.get('family')), FAMILIES)} ({', '.join(FAMILIES)})"
        )
    sections = (("network", family.network_settings), ("loss", family.loss_settings))
    parsed = {key: settings.parse(values.get(key) or {}, f"{where}: {key}") for key, settings in sections}
    recipe = kind.parse(values | parsed, where)
    check_front_end(recipe.front_end, where)
    _check_sections(recipe, family, where)
    _check_amounts(recipe, where)
    try:
        family.check(recipe.network, recipe.sizes)
    except InputError as error:
        raise InputError(f"{where}: network: {error}") from None
    return recipe


def _check_sections(recipe: System, family: Family[Any], where: str) -> None:
    """Raise InputError if sections are inconsistent with each other or with the family."""
    segments = recipe.segments
    if segments.step < 1:
        least = 2 * segments.n_context + segments.overlap
        raise InputError(f"{where}: segments.n_frames is {segments.n_frames}; expected more than 2 * n_context + overlap = {least}.")
    if recipe.sources != family.sources:
        found, expected = ", ".join(recipe.sources), ", ".join(family.sources)
        raise InputError(f"{where}: sources are [{found}]; family {recipe.family} expects [{expected}].")
    if recipe.separation.channels == "mean" and not family.masks:
        raise InputError(f"{where}: separation.channels is 'mean', but family {recipe.family} has no masks; expected 'each'.")
    if segments.overlap and recipe.separation.framing == "legacy":
        raise InputError(f"{where}: separation.framing 'legacy' does not support segments.overlap; expected 'full', or overlap 0.")
    if recipe.training.augmentation and set(recipe.sources) - {"vocals", "background"}:
        raise InputError(f"{where}: training.augmentation mixes vocals and accompaniment; expected null, or sources [vocals].")
    if recipe.training.selection == "best" and not recipe.training.validation:
        raise InputError(f"{where}: training.selection is 'best', which needs training.validation: true.")
    if recipe.training.plateau and recipe.training.final_learning_rate:
        raise InputError(f"{where}: training has both a plateau and a final_learning_rate; expected null for one of them.")


def _check_amounts(recipe: System, where: str) -> None:
    """Raise InputError if a batch would contain more than MAX_BATCH magnitudes, or if each frame would be read too often."""
    segments, sizes = recipe.segments, {"segments.n_frames": recipe.segments.n_frames, "bins": recipe.front_end.n_bins}
    batches = {"separation.batch_size": recipe.separation.batch_size, "training.batch_size": recipe.training.batch_size}
    for key, size in batches.items():
        if size != "auto" and size * segments.n_frames * recipe.front_end.n_bins > MAX_BATCH:
            raise InputError(f"{where}: {key} is {size}, with {sizes}; expected at most {MAX_BATCH} magnitudes in a batch.")
    if segments.n_frames > MAX_READS * segments.step:
        found = f"sequences of {segments.n_frames} frames every {segments.step}"
        raise InputError(f"{where}: segments gives {found}, so each frame is read more than {MAX_READS} times; expected fewer.")


def _merged(name: str, overrides: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """Return a recipe's plain values merged with those of its bases and with overrides.

    Overrides of a recipe also apply to the recipes that build on it.
    """
    _check_name(name, above[-1] if above else "systems")
    if name in above:
        raise InputError(f"recipe {name}: builds on itself ({' -> '.join((*above, name))}).")
    above = (*above, name)
    if (variant := _variants().get(name)) is not None:
        return _merged_variant(variant, overrides, above)
    values = dict(read(RECIPES / f"{name}.yaml"))
    base = values.pop("base", None)
    below = _merged(base, overrides, above) if base else {}
    return laid_over(laid_over(below, values), overrides.get(name) or {})


def _merged_variant(variant: Variant, overrides: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    """Return the merged values of a recipe with an overlay.

    Overrides of a variant also apply to the same overlay's variants of recipes that build on its recipe.
    """
    values = variant.overlay.over(variant.recipe, _merged(variant.recipe, overrides, above))
    for recipe in _lineage(variant.recipe):
        values = laid_over(values, overrides.get(f"{recipe}-{variant.overlay.name}") or {})
    return values


def _lineage(name: str) -> list[str]:
    """Return a recipe's bases, lowest first, followed by the recipe itself."""
    base = None if name in _variants() else read(RECIPES / f"{name}.yaml").get("base")
    return [*(_lineage(base) if base else []), name]


def _variants() -> dict[str, Variant]:
    return variants(RECIPES / "overlays")


def _check_name(name: str, where: str) -> None:
    known = recipe_names()
    if name not in known:
        raise InputError(f"{where}: there is no recipe '{name}'{nearest(name, known)} (known: {', '.join(known)})")
