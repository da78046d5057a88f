"""Export of a checkpoint's network to a file for other programs: TorchScript, ONNX, or PyTorch's exported program.

The network maps the mixture's magnitudes (B, T, N) to those of its estimates (B, E, T - 2L, N), as `Network.estimate` does. The number of
sequences B is free; T and N are the recipe's. The caller provides STFT, segments and phase. The entry `madsep` of the file holds their
settings as JSON.
"""

import copy
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from madsep.core.errors import require
from madsep.core.files import atomic, refuse_inputs
from madsep.models.checkpoint import Checkpoint, load_checkpoint
from madsep.models.gru import Gru

Format = Literal["torchscript", "onnx", "exported-program"]
ENTRY = "madsep"
N_EXAMPLE = 2  # sequences; with one, PyTorch would fix their number
NEEDED = ("onnx", "onnxscript")


def export(checkpoint: Path, path: Path, form: Format) -> None:
    """Write the network of a checkpoint as `form`, whole or not at all.

    Raises InputError if the checkpoint is damaged or would be overwritten, or if the packages that ONNX needs are missing.
    """
    refuse_inputs([path], [checkpoint])
    loaded = load_checkpoint(checkpoint, torch.device("cpu"))
    network, recipe = _Estimates(loaded).eval(), loaded.recipe
    example = torch.rand(N_EXAMPLE, recipe.segments.n_frames, recipe.front_end.n_bins, generator=torch.Generator().manual_seed(0))
    write = {"torchscript": _torchscript, "onnx": _onnx, "exported-program": _exported_program}[form]
    with atomic(path) as temporary, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, about its own internals
        write(network, example, temporary, json.dumps(_about(loaded), sort_keys=True))


class _Estimates(nn.Module):
    """A network's `estimate` as a module. PyTorch's own GRUs replace those used for training."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.network, self.separation = copy.deepcopy(checkpoint.network), checkpoint.recipe.separation
        for module in self.network.modules():
            if isinstance(module, Gru):
                module.__class__ = _PlainGru

    def forward(self, mixture: Tensor) -> Tensor:
        return self.network.estimate(mixture, self.separation)


class _PlainGru(Gru):
    def forward(self, inputs: Tensor) -> Tensor:  # type: ignore[override]  # states only
        states: Tensor = nn.GRU.forward(self, inputs)[0]
        return states


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return what a caller needs: sizes, front end, and the order of the estimates."""
    values, recipe = checkpoint.recipe.system_values(), checkpoint.recipe
    return {key: values[key] for key in ("name", "front_end", "segments")} | {"estimates": list(recipe.estimated)}


def _torchscript(network: nn.Module, example: Tensor, path: Path, about: str) -> None:
    traced = torch.jit.trace(network, example, check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={ENTRY: about})


def _exported_program(network: nn.Module, example: Tensor, path: Path, about: str) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes={"mixture": {0: torch.export.Dim("n_sequences")}})
    with path.open("wb") as stream:  # PyTorch would require a suffix of a path
        torch.export.save(program, stream, extra_files={ENTRY: about})


def _onnx(network: nn.Module, example: Tensor, path: Path, about: str) -> None:
    for package in NEEDED:
        require(package, "writing ONNX")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    shapes = {"mixture": {0: torch.export.Dim("n_sequences")}}
    names: dict[str, Any] = {"input_names": ["mixture"], "output_names": ["estimates"]}
    program = torch.onnx.export(network, (example,), dynamo=True, dynamic_shapes=shapes, verbose=False, **names)
    assert program is not None
    program.model.metadata_props[ENTRY] = about
    program.save(str(path))
