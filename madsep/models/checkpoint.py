"""A trained system in one file: tensors as safetensors, recipe and provenance as JSON metadata. Nothing is ever unpickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import atomic
from madsep.core.reading import reading
from madsep.models import NETWORKS
from madsep.models.network import Network
from madsep.systems.identity import system_identity
from madsep.systems.recipe import System, parse_system

KEY = "madsep"  # in a file's header
WEIGHTS = "weights"  # name of the record of a training's weights, and of their file without its suffix
REMEDY = "Remove it and run the same command again."

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to separate, with its recipe and its provenance."""

    recipe: System
    network: Network
    provenance: Mapping[str, Any]


def write_tensors(path: Path, tensors: Tensors, metadata: Mapping[str, Any]) -> None:
    """Write named tensors and JSON-able metadata with the SHA-256 of both, whole or not at all. Equal contents give equal bytes.

    Raises DiskFull if the disk is full, InputError if the folder cannot be written.
    """
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # one key, because safetensors writes several in random order
    text = json.dumps({"metadata": metadata, "sha256": _digest(flat, metadata)}, sort_keys=True)
    with atomic(path) as temporary:
        temporary.write_bytes(save(flat, {KEY: text}))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and metadata that `write_tensors` wrote.

    Raises InputError if the file is missing, truncated, a pickle or of another kind, or if its content is not what was written.
    """
    with reading(path, "a checkpoint", REMEDY, (SafetensorError,)):
        _refuse_pickle(path)
        with safe_open(path, framework="pt") as stored:
            text = (stored.metadata() or {}).get(KEY)
            if text is None:
                raise InputError(f"{path}: was not written by madsep; expected a checkpoint such as results/MDL1/checkpoint.safetensors.")
            metadata, sha256 = _parsed(text, path)
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        is_whole = _digest(tensors, metadata) == sha256
    if not is_whole:
        raise InputError(f"{path}: was changed after it was written: its SHA-256 is not that of its content. {REMEDY}")
    return tensors, metadata


def _refuse_pickle(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(9)
    # a safetensors file begins with its header's length, which may be any 8 bytes, and the header's brace
    if head[8:] != b"{" and head.startswith((b"PK", b"\x80")):
        raise InputError(f"{path}: is a pickled PyTorch file, which could run code; expected a .safetensors file written by madsep.")


def _parsed(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """Return the metadata and the SHA-256 that a file's header holds as JSON."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: its metadata is not valid JSON ({error}). {REMEDY}") from None
    if not isinstance(values, dict) or values.keys() != {"metadata", "sha256"} or not isinstance(values["metadata"], dict):
        raise InputError(f"{path}: holds no SHA-256 of its content, so another version of madsep wrote it. {REMEDY}")
    return values["metadata"], values["sha256"]


def _digest(tensors: Tensors, metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the metadata and of each tensor's name, type, shape and bytes, in the order of the names."""
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def build_network(recipe: System) -> Network:
    """Return the recipe's network, not yet initialised."""
    return NETWORKS[recipe.family](recipe.network, recipe.sizes)


def write_checkpoint(training: Path, recipe: System, path: Path) -> None:
    """Write the checkpoint `path` from the weights in the folder of a finished training and the recipe.

    Raises InputError if the training is not finished, its weights were changed, or they were trained with another recipe.
    """
    record = Stage(training).checked(WEIGHTS)
    weights = training / f"{WEIGHTS}.safetensors"
    tensors, metadata = read_tensors(weights)
    identity = record.made_from["training"]
    if (metadata.get("trained"), metadata.get("identity")) != (recipe.training_half(), identity):
        raise InputError(f"{weights}: was trained with different settings from those in recipe {recipe.name}; train again.")
    provenance = {**metadata["provenance"], "weights_sha256": record.files[weights.name]}
    values = {"recipe": recipe.system_values(), "identity": system_identity(recipe, identity), "training": identity}
    write_tensors(path, tensors, {**values, "provenance": provenance})


def load_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Rebuild the network from the file alone. Raises InputError if the file is damaged or holds another network's tensors."""
    tensors, metadata = read_tensors(path)
    recipe, network = _untrained(metadata, path)
    expected = {name: (tensor.dtype, *tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: (tensor.dtype, *tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"{path}: is of another network: tensor '{name}' is {found.get(name)}, but its recipe needs {expected.get(name)}."
            )
    network.load_state_dict(tensors, strict=True, assign=True)
    return Checkpoint(recipe, network.to(device).eval(), metadata["provenance"])


def _untrained(metadata: Mapping[str, Any], path: Path) -> tuple[System, Network]:
    """Return the recipe in a checkpoint's metadata and its network without weights.

    Raises InputError if there is no recipe or this version cannot read it.
    """
    if not isinstance(metadata.get("recipe"), dict) or not isinstance(metadata.get("provenance"), dict):
        raise InputError(f"{path}: holds no recipe (a training state or bare weights?); expected results/<system>/checkpoint.safetensors.")
    # refuses malformed sections, and sizes beyond what PyTorch can count
    with reading(path, "a recipe of this version", REMEDY, (RuntimeError,)), torch.device("meta"):
        recipe = parse_system(metadata["recipe"], str(path))
        return recipe, build_network(recipe)
