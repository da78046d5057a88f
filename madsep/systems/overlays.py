"""Overlays: changes of recipes for another data set, one file per data set. Recipe R with overlay O is called R-O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any

import yaml

from madsep.core.settings import Settings

Values = Mapping[str, Any]


class Overlay(Settings):
    """Values that replace those of recipes, applied in this order: to all recipes, to the recipe's family, to the recipe itself."""

    name: str
    everywhere: dict[str, Any]
    families: dict[str, dict[str, Any]]
    recipes: dict[str, dict[str, Any]]

    def over(self, name: str, values: Values) -> dict[str, Any]:
        """Return the values of recipe `name` with this overlay."""
        laid = dict(values)
        for above in (self.everywhere, self.families.get(values.get("family", ""), {}), self.recipes[name]):
            laid = laid_over(laid, above)
        return laid | {"name": f"{name}-{self.name}"}


@dataclass(frozen=True)
class Variant:
    """A recipe with an overlay."""

    recipe: str
    overlay: Overlay


def variants(folder: Traversable) -> dict[str, Variant]:
    """Return all variants that the overlays in `folder` define, keyed by their names."""
    return {f"{recipe}-{overlay.name}": Variant(recipe, overlay) for overlay in _overlays(folder) for recipe in overlay.recipes}


def laid_over(below: Values, above: Values) -> dict[str, Any]:
    """Return the values of `below`, replaced by those of `above` where both exist. Nested sections are merged."""
    both = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(both.get(key), Mapping)
        both[key] = laid_over(both[key], value) if nested else value
    return both


def stems(folder: Traversable) -> list[str]:
    """Return the names, without suffix, of the YAML files in `folder`. The list is empty if the folder does not exist."""
    return [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")] if folder.is_dir() else []


def read(path: Traversable) -> Values:
    """Return the values of a YAML file. They are cached and must not be modified."""
    return _parsed(path.read_text(encoding="utf-8"))


@cache
def _parsed(text: str) -> Values:
    values: Values = yaml.safe_load(text)
    return values


def _overlays(folder: Traversable) -> Iterator[Overlay]:
    for name in stems(folder):
        yield Overlay.parse({**read(folder / f"{name}.yaml"), "name": name}, f"overlay {name}")
