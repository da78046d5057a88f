"""A trained system in one file: tensors as safetensors, recipe and provenance as JSON metadata. Nothing is ever unpickled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from madsep.core.errors import InputError
from madsep.core.files import atomic
from madsep.models import NETWORKS
from madsep.models.network import Network
from madsep.systems.recipe import System, parse_system

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A network ready to separate, with the recipe that made it and where it came from."""

    recipe: System
    network: Network
    provenance: Mapping[str, Any]


def write_tensors(path: Path, tensors: Tensors, metadata: Mapping[str, Any]) -> None:
    """Write named tensors and JSON-able metadata, whole or not at all; equal contents give equal bytes."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as temporary:
        save_file(flat, temporary, {"madsep": json.dumps(metadata, sort_keys=True)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote. Raises InputError when the file is missing, truncated, a pickle or of another kind."""
    try:
        with path.open("rb") as stream:
            head = stream.read(9)
        # a safetensors file begins with its header's length, which may be any 8 bytes, and the header's brace
        if head[8:] != b"{" and head.startswith((b"PK", b"\x80")):
            raise InputError(
                f"{path}: is a pickled PyTorch file, which could run code; expected a .safetensors checkpoint written by madsep."
            )
        with safe_open(path, framework="pt") as stored:
            metadata = stored.metadata() or {}
            if "madsep" not in metadata:
                raise InputError(f"{path}: was not written by madsep; expected a checkpoint from results/<system>/checkpoint.safetensors.")
            return {name: stored.get_tensor(name) for name in stored.keys()}, json.loads(metadata["madsep"])  # noqa: SIM118
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except SafetensorError as error:
        raise InputError(f"{path}: is damaged or truncated, or no checkpoint at all ({error}).") from None


def build_network(recipe: System) -> Network:
    """Return the recipe's network, not yet initialised."""
    return NETWORKS[recipe.family](recipe.network, recipe.sizes)


def write_checkpoint(weights: Path, recipe: System, path: Path) -> None:
    """Join trained weights with the recipe's way to separate. Raises InputError when they were trained by another recipe."""
    tensors, metadata = read_tensors(weights)
    if "trained" not in metadata:
        raise InputError(f"{weights}: holds no trained weights (a training state or a checkpoint?); remove it and train again.")
    if metadata["trained"] != recipe.training_half():
        raise InputError(
            f"{weights}: was trained by other settings than recipe {recipe.name} now says; train again, or restore the recipe."
        )
    write_tensors(path, tensors, {"recipe": recipe.system_values(), "provenance": metadata["provenance"]})


def load_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Rebuild the network from the file alone. Raises InputError when the file is damaged or holds another network's tensors."""
    tensors, metadata = read_tensors(path)
    if "recipe" not in metadata:
        raise InputError(f"{path}: holds no recipe (a training state or bare weights?); expected results/<system>/checkpoint.safetensors.")
    recipe = parse_system(metadata["recipe"], str(path))
    with torch.device("meta"):
        network = build_network(recipe)
    expected = {name: (tensor.dtype, *tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: (tensor.dtype, *tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise InputError(
                f"{path}: is of another network: tensor '{name}' is {found.get(name)}, but its recipe needs {expected.get(name)}."
            )
    network.load_state_dict(tensors, strict=True, assign=True)
    return Checkpoint(recipe, network.to(device).eval(), metadata["provenance"])
