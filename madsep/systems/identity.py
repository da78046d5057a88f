"""What a training and a system are known by: digests of the recipe and of the data."""

from collections.abc import Mapping, Sequence

from madsep.core.files import digest
from madsep.systems.recipe import System


def training_identity(recipe: System, data: Mapping[str, str], validation: Sequence[str]) -> str:
    """Return the digest of all that decides a training's weights.

    `data` maps the slug of each training track to the identity of its prepared audio; `validation` lists the slugs held out.
    """
    return digest({"recipe": recipe.training_half(), "data": dict(data), "validation": sorted(validation)})


def system_identity(recipe: System, training: str) -> str:
    """Return the digest of all that decides a system's estimates: the identity of its training and its own settings."""
    return digest({"training": training, "system": recipe.system_values()})
