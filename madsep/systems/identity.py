"""Identities of trainings and systems: digests of the recipe and of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

from madsep.core.files import digest
from madsep.systems.recipe import TRAINED_BY, System


def training_identity(recipe: System, data: Mapping[str, str], validation: Sequence[str]) -> str:
    """Return the digest of everything that determines a training's weights.

    `data` maps the slug of each training track to the identity of its prepared audio. `validation` lists the slugs that are held out.
    """
    return training_identity_of(recipe.training_half(), data, validation)


def training_identity_of(settings: Mapping[str, Any], data: Mapping[str, str], validation: Sequence[str]) -> str:
    """Return the same as `training_identity` from the plain values of a recipe."""
    half = {key: settings[key] for key in TRAINED_BY}
    return digest({"recipe": half, "data": dict(data), "validation": sorted(validation)})


def system_identity(recipe: System, training: str) -> str:
    """Return the digest of everything that determines a system's estimates: the identity of its training and its own settings."""
    return system_identity_of(recipe.system_values(), training)


def system_identity_of(settings: Mapping[str, Any], training: str) -> str:
    """Return the same as `system_identity` from the plain values of a recipe."""
    return digest({"training": training, "system": {key: settings[key] for key in System.model_fields}})
