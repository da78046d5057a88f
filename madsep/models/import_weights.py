"""Import of the weights that the authors of the Masker-and-Denoiser published, into a checkpoint that can separate.

Their code (github.com/Js-Mim/mss_pytorch, Mimilakis et al., ICASSP 2018) saves a model as four state dicts:
torch_sps_{encoder,decoder,sp_decoder,se}_<which>.pytorch. Tensors are recognised by their names in these
files. The names of the files do not matter.
"""

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from madsep.core.errors import InputError
from madsep.core.files import refuse_inputs, sha256
from madsep.core.logs import log
from madsep.core.provenance import versions
from madsep.core.reading import visible
from madsep.models.archives import check_pickle
from madsep.models.checkpoint import build_network, write_tensors
from madsep.systems.recipe import System, parse_system

SUFFIXES = (".pytorch", ".pt", ".pth")
EXPECTED = "the authors' four state dicts, torch_sps_{encoder,decoder,sp_decoder,se}_<which>.pytorch"
GRUS = {"gruEncF": "enc_forward", "gruEncB": "enc_backward", "gruDec": "dec"}
DENSE = {"ffDec": "mask", "ffSe_enc": "denoiser_enc", "ffSe_dec": "denoiser_dec"}
GRU_TENSORS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
DENSE_TENSORS = ("weight", "bias")
TENSORS = {f"{layer}.{tensor}": f"{ours}.{tensor}_l0" for layer, ours in GRUS.items() for tensor in GRU_TENSORS} | {
    f"{layer}.{tensor}": f"{ours}.{tensor}" for layer, ours in DENSE.items() for tensor in DENSE_TENSORS
}  # from the authors' names to those of madsep.models.mad.Mad
# what torch.load raises for files that are damaged or hold no tensors
UNREADABLE = (
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error),
    pickle.UnpicklingError,
)


def import_weights(folder: Path, out: Path, recipe: System) -> None:
    """Write the checkpoint `out` from the state dicts in `folder`. Sizes come from the tensors.

    The network is the variant that the authors' code builds: the encoder's residual is fed back into its recurrence, and recurrent
    inference, if the recipe has it, stops by the mean over a batch. If the denoiser is as wide as the spectrum, the variant is that of
    their later branch nmr_eval. Everything else comes from the recipe, except that the checkpoint separates in fp32, as their code does.

    Only tensors are unpickled. Raises InputError if a file holds anything else; if a tensor is missing, unknown, present twice, not finite,
    or of a shape that does not fit the other tensors or the recipe's front end; if the recipe is of another family; or if it has recurrent
    inference and the decoder is too narrow for it.
    """
    if recipe.family != "mad":
        raise InputError(f"recipe {recipe.name}: is of family {recipe.family}; expected one of family mad, such as GRU-RIS-l.")
    if out.is_dir():
        raise InputError(f"{out}: is a folder; name the file to write, such as {out / 'checkpoint.safetensors'}.")
    paths = _find(folder)
    refuse_inputs([out], paths)
    files = {path: _load(path) for path in paths}
    found = _joined(folder, files)
    system = _system(found, recipe, folder)
    _check_shapes(found, system, folder)
    sources = {path.name: sha256(path) for path in files}
    provenance = {"imported": {"from": "github.com/Js-Mim/mss_pytorch", "sha256": sources}, "versions": versions()}
    tensors = {TENSORS[name]: tensor.clone() for name, tensor in found.items()}  # two names may share one storage
    write_tensors(out, tensors, {"recipe": system.system_values(), "provenance": provenance})
    for path, state in files.items():
        log.info("%s: %s", path, ", ".join(sorted({name.split(".")[0] for name in state})))
    log.info("%s: recipe %s with network %s", out, system.name, system.network.model_dump(mode="json"))


def _find(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with {EXPECTED}.")
    paths = [path for path in visible(folder) if path.suffix in SUFFIXES]
    if not paths:
        raise InputError(f"{folder}: no {', '.join(SUFFIXES)} files in it; expected {EXPECTED}.")
    return paths


def _load(path: Path) -> Mapping[str, Tensor]:
    """Return the state dict of a file. Raises InputError if it is damaged or holds anything but known, dense, finite float32 tensors."""
    check_pickle(path)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise InputError(f"{path}: is no plain state dict; it asks for {refused[1]}. None of it was run: do not trust it.") from None
        raise InputError(f"{path}: cannot be read as a PyTorch state dict; copy or download it again.") from None
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"{path}: holds no state dict (names and tensors); expected {EXPECTED}.")
    for name, tensor in state.items():
        fault = _fault(name, tensor)
        if fault:
            raise InputError(f"{path}: tensor '{name}' {fault}")
    return state


def _fault(name: str, tensor: Tensor) -> str | None:
    """Return what is wrong with a tensor on its own, or None."""
    if name not in TENSORS:
        return f"does not belong to the model, whose layers are {', '.join((*GRUS, *DENSE))}; expected {EXPECTED}."
    if tensor.layout != torch.strided or tensor.is_meta:
        return f"is {'without values (meta)' if tensor.is_meta else tensor.layout}; expected a dense tensor."
    n_axes = 1 if "bias" in name else 2
    if tensor.dim() != n_axes or not tensor.numel():
        return f"is of shape {tuple(tensor.shape)}; expected {n_axes} axes, none of them empty."
    if tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
        return f"is of shape {tuple(tensor.shape)}, which needs more values than the file holds."
    if tensor.dtype != torch.float32:
        return f"is {tensor.dtype}; expected torch.float32."
    if not tensor.isfinite().all():
        return "has values that are not finite; copy or download the file again."
    return None


def _joined(folder: Path, files: Mapping[Path, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the files' tensors in one mapping. Raises InputError unless each is in exactly one file."""
    for name in TENSORS:
        holders = [path.name for path, state in files.items() if name in state]
        if not holders:
            raise InputError(f"{folder}: tensor '{name}' is missing in {', '.join(path.name for path in files)}; expected {EXPECTED}.")
        if holders[1:]:
            raise InputError(f"{folder}: tensor '{name}' is in {' and in '.join(holders)}; keep only the files of one model.")
    return {name: tensor for state in files.values() for name, tensor in state.items()}


def _system(found: Mapping[str, Tensor], recipe: System, folder: Path) -> System:
    """Return the recipe with the network that fits the tensors. Its variant is that of the code that wrote them."""
    n_low, n_latent = (found[f"{layer}.weight_hh"].shape[1] for layer in ("gruEncF", "gruDec"))
    n_hidden = found["ffSe_enc.weight"].shape[0]
    if n_latent not in (n_low, 2 * n_low):
        raise InputError(f"{folder}: tensor 'gruDec.weight_hh' has {n_latent} columns; expected gruEncF's {n_low} or twice as many.")
    values = recipe.system_values()
    if n_latent == n_low and values["network"]["recurrent_inference"] is not None:
        raise InputError(
            f"{folder}: the decoder has {n_low} units, as many as the encoder. Recurrent inference, which recipe {recipe.name} uses, "
            "needs twice as many. Use --recipe GRU-NRI."
        )
    later_branch = n_hidden == recipe.front_end.n_bins
    values["network"] |= {
        "n_encoder_bins": n_low,
        "n_denoiser_hidden": n_hidden,
        "decoder_width": n_latent // n_low,
        "encoder_residual": "output" if later_branch else "recurrent",
        "realign_backward": False,
        "decoder_residual": "enc_recurrent" if later_branch else "none",
    }
    if values["network"]["recurrent_inference"] is not None:
        values["network"]["recurrent_inference"]["stop"] = "batch"
    values["separation"]["precision"] = "fp32"  # the authors' code rounds nothing
    return parse_system(values, f"{folder}, as recipe {recipe.name}")


def _check_shapes(found: Mapping[str, Tensor], system: System, folder: Path) -> None:
    with torch.device("meta"):
        expected = build_network(system).state_dict()
    for name, ours in TENSORS.items():
        shape, needed = tuple(found[name].shape), tuple(expected[ours].shape)
        if shape != needed:
            raise InputError(
                f"{folder}: tensor '{name}' is of shape {shape}; expected {needed} from "
                f"the other tensors and the {system.front_end.n_bins} bins of recipe {system.name}."
            )
