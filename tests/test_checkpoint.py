"""Checkpoints: read back as written, refused when they are anything else, and never unpickled."""

import errno
import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import SIZES, tiny_checkpoint, tiny_recipe

from madsep.core.artefacts import Stage
from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.models.checkpoint import build_network, load_checkpoint, read_tensors, write_checkpoint, write_tensors
from madsep.systems.identity import system_identity
from madsep.systems.recipe import Recipe, load_recipe
from madsep.training.state import TrainingState

CPU = torch.device("cpu")
IDENTITY = 64 * "a"  # of the training
PROVENANCE = {"data": "abc", "versions": {"torch": "2"}}


def write_training(folder: Path, recipe: Recipe, seed: int = 1) -> torch.nn.Module:
    """Write initialised weights and their record as a finished training does; return the network."""
    network = build_network(recipe)
    network.initialise(torch.Generator().manual_seed(seed))
    path = folder / "weights.safetensors"
    with Stage(folder).making("weights", {"training": IDENTITY}) as made:
        metadata = {"trained": recipe.training_half(), "identity": IDENTITY, "provenance": PROVENANCE}
        write_tensors(path, network.state_dict(), metadata)
        made["files"] = [path]
    return network.eval()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A good checkpoint of the tiny recipe."""
    path = tmp_path / "checkpoint.safetensors"
    write_training(tmp_path, tiny_recipe())
    write_checkpoint(tmp_path, tiny_recipe(), path)
    return path


@pytest.mark.parametrize("name", ["MDL1", "GRU-RIS-s", "MDLT"])
def test_a_checkpoint_gives_the_same_outputs_from_the_file_alone(tmp_path: Path, name: str) -> None:
    recipe, path = tiny_recipe(name), tmp_path / "checkpoint.safetensors"
    network = write_training(tmp_path, tiny_recipe() if name == "MDLT" else recipe)
    write_checkpoint(tmp_path, recipe, path)
    weights_sha256 = sha256(tmp_path / "weights.safetensors")
    (tmp_path / "weights.safetensors").unlink()
    loaded = load_checkpoint(path, CPU)
    assert loaded.recipe.system_values() == recipe.system_values() and type(loaded.recipe.network) is type(recipe.network)
    assert loaded.provenance == PROVENANCE | {"weights_sha256": weights_sha256}
    assert not loaded.network.training
    mixture = torch.rand(2, 12, 257, generator=torch.Generator().manual_seed(2))
    for ours, theirs in zip(loaded.network(mixture), network(mixture), strict=True):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_knows_its_training(written: Path) -> None:
    metadata = read_tensors(written)[1]
    assert metadata["training"] == IDENTITY and metadata["identity"] == system_identity(tiny_recipe(), IDENTITY)


def test_tensors_and_metadata_are_read_back(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {"transposed": whole.T, "double": whole.double(), "empty": torch.zeros(0), "scalar": torch.tensor(3.5)}
    metadata = {"text": "Größe", "number": 0.1 + 0.2, "nested": {"list": [1, None]}}
    write_tensors(tmp_path / "x.safetensors", tensors, metadata)
    found, found_metadata = read_tensors(tmp_path / "x.safetensors")
    assert found_metadata == metadata
    assert set(found) == set(tensors)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    metadata = {"y": {"d": 1, "c": 2}, "x": 3}
    write_tensors(tmp_path / "1.safetensors", tensors, metadata)
    turned = {"x": 3, "y": {"c": 2, "d": 1}}
    write_tensors(tmp_path / "2.safetensors", dict(reversed(tensors.items())), turned)
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()


def test_the_files_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x.safetensors", {"a": torch.ones(1)}, {})
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("n_header", [*range(640, 1024, 8), int.from_bytes(b"PK", "little")])
def test_a_file_is_no_pickle_whatever_its_headers_length(tmp_path: Path, n_header: int) -> None:
    """The length stands first in the file; some lengths' bytes are those that a pickle or a zip archive begins with."""
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(1)}, {"text": ""})
    n_bare = int.from_bytes(path.read_bytes()[:8], "little")
    text = "x" * (n_header // 8 * 8 - n_bare)
    write_tensors(path, {"a": torch.ones(1)}, {"text": text})
    assert path.read_bytes()[:8] == n_header.to_bytes(8, "little")
    assert read_tensors(path)[1] == {"text": text}


@pytest.mark.parametrize("kept", [0.0, 1e-4, 1e-3, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(written: Path, kept: float) -> None:
    content = written.read_bytes()
    written.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"checkpoint.safetensors: cannot be read as a checkpoint"):
        load_checkpoint(written, CPU)


def test_a_flipped_bit_never_gives_other_values(tmp_path: Path) -> None:
    """600 bits of a small file: of the header's length, the header, its metadata and the tensors."""
    path = tmp_path / "x.safetensors"
    kinds = {"f": torch.ones(3), "b": torch.ones(2).bfloat16(), "i": torch.arange(2), "t": torch.tensor([True]), "s": torch.tensor(3.5)}
    write_tensors(path, kinds, {"text": "Größe", "nested": {"list": [0.5, None]}})
    content, whole, n_refused = path.read_bytes(), contents(path), 0
    for bit in random.Random(1).sample(range(8 * len(content)), 600):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert contents(path) == whole
        except InputError as error:
            n_refused += 1
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    assert n_refused > 590


def contents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Type, shape and values of each tensor, and the metadata."""
    tensors, metadata = read_tensors(path)
    return {name: (tensor.dtype, tensor.tolist()) for name, tensor in tensors.items()}, metadata


@pytest.mark.parametrize("number", range(40))
def test_a_checkpoint_with_a_flipped_bit_is_refused(written: Path, number: int) -> None:
    content = bytearray(written.read_bytes())
    bit = random.Random(number).randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    written.write_bytes(content)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: ") as error:
        load_checkpoint(written, CPU)
    assert "\n" not in str(error.value)


ODD_METADATA = {
    "no JSON": "{",
    "a list": "[]",
    "null": "null",
    "nested deeply": 5_000 * "[" + 5_000 * "]",
    "nested deeply in place": '{"sha256": "", "metadata": {"a": ' + 5_000 * "[" + 5_000 * "]" + "}}",
    "nested as deeply as JSON is read": '{"sha256": "", "metadata": {"a": ' + 900 * "[" + 900 * "]" + "}}",
    "a number too long": "9" * 5_000,
    "no digest": '{"recipe": {}}',
    "metadata that are none": '{"metadata": [], "sha256": ""}',
    "a digest that is none": '{"metadata": {}, "sha256": []}',
}


@pytest.mark.parametrize("name", ODD_METADATA)
def test_odd_metadata_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.ones(1)}, path, {"madsep": ODD_METADATA[name]})
    with pytest.raises(InputError, match=r"^[^\n]*x\.safetensors: [^\n]*$"):
        read_tensors(path)


@pytest.mark.parametrize("n_bytes", [2**20, 2**40, 2**63])
def test_sizes_beyond_the_file_are_refused(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"a": {"dtype": "U8", "shape": [n_bytes], "data_offsets": [0, n_bytes]}}).encode()
    for n_header in (len(header), n_bytes):
        path.write_bytes(n_header.to_bytes(8, "little") + header + b"0000")
        with pytest.raises(InputError, match=r"x\.safetensors: cannot be read as a checkpoint"):
            read_tensors(path)


ODD_CHECKPOINTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a recipe that is a list": lambda values: values.update(recipe=[]),
    "a recipe without a family": lambda values: values["recipe"].pop("family"),
    "a family that is a list": lambda values: values["recipe"].update(family=[]),
    "a network that is text": lambda values: values["recipe"].update(network="gru"),
    "a network without end": lambda values: values["recipe"]["network"].update(n_denoiser_hidden=10**30),
    "training that is a list": lambda values: values["recipe"].update(training=[1]),
    "an unknown key": lambda values: values["recipe"].update(colour="red"),
    "no provenance": lambda values: values.pop("provenance"),
}


@pytest.mark.parametrize("name", ODD_CHECKPOINTS)
def test_metadata_that_hold_no_system_are_refused(written: Path, name: str) -> None:
    tensors, metadata = read_tensors(written)
    ODD_CHECKPOINTS[name](metadata)
    write_tensors(written, tensors, metadata)
    with pytest.raises(InputError, match=r"checkpoint\.safetensors: ") as error:
        load_checkpoint(written, CPU)
    assert "\n" not in str(error.value)


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["torch", "torch, old format", "pickle", "pickle, protocol 0"])
def test_a_pickle_is_refused_and_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    path, marker = tmp_path / "model.pt", tmp_path / "exploded"
    if kind.startswith("torch"):
        torch.save({"bomb": Bomb(marker)}, path, _use_new_zipfile_serialization=kind == "torch")
    else:
        path.write_bytes(pickle.dumps(Bomb(marker), protocol=0 if kind.endswith("0") else None))
    forbid_unpickling(monkeypatch)
    message = "cannot be read as a checkpoint" if kind == "pickle, protocol 0" else "is a pickled PyTorch file"
    with pytest.raises(InputError, match=f"model.pt: {message}"):
        load_checkpoint(path, CPU)
    assert not marker.exists()


def forbid_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was unpickled")

    for module, name in ((pickle, "Unpickler"), (pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)


def test_a_good_checkpoint_is_loaded_without_unpickling(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_unpickling(monkeypatch)
    load_checkpoint(written, CPU)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"weight": torch.ones(3)}, tmp_path / "foreign.safetensors", metadata)
    with pytest.raises(InputError, match=r"foreign.safetensors: was not written by madsep"):
        load_checkpoint(tmp_path / "foreign.safetensors", CPU)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.safetensors: cannot be read \(No such file"):
        load_checkpoint(tmp_path / "none.safetensors", CPU)
    with pytest.raises(InputError, match=r"is a folder; expected a file"):
        load_checkpoint(tmp_path, CPU)


def test_a_training_state_or_bare_weights_are_no_checkpoint(tmp_path: Path, written: Path) -> None:
    recipe = tiny_recipe()
    TrainingState(build_network(recipe), recipe).save(tmp_path / "state.safetensors", "abc")
    for name in ("state.safetensors", "weights.safetensors"):
        with pytest.raises(InputError, match=rf"{name}: holds no recipe \(a training state or bare weights\?\)"):
            load_checkpoint(tmp_path / name, CPU)


def rename(tensors: dict[str, torch.Tensor]) -> None:
    tensors["mask.weights"] = tensors.pop("mask.weight")


def reshape(tensors: dict[str, torch.Tensor]) -> None:
    tensors["mask.weight"] = tensors["mask.weight"].T


def drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["mask.weight"]


def add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["mask.scale"] = torch.ones(1)


@pytest.mark.parametrize(
    ("change", "named"), [(rename, "mask.weight"), (reshape, "mask.weight"), (drop, "mask.weight"), (add, "mask.scale")]
)
def test_another_networks_tensors_are_refused(written: Path, change: Callable[[dict[str, torch.Tensor]], None], named: str) -> None:
    tensors, metadata = read_tensors(written)
    change(tensors)
    write_tensors(written, tensors, metadata)
    with pytest.raises(InputError, match=rf"checkpoint.safetensors: is of another network: tensor '{named}' is "):
        load_checkpoint(written, CPU)


def test_a_recipe_that_this_version_does_not_know_is_refused(written: Path) -> None:
    tensors, metadata = read_tensors(written)
    metadata["recipe"]["network"]["attention"] = True
    write_tensors(written, tensors, metadata)
    with pytest.raises(InputError, match=r"checkpoint.safetensors: network: unknown key 'attention'"):
        load_checkpoint(written, CPU)


@pytest.mark.parametrize("changes", [{"training": {"seed": 5}}, {"network": {"n_denoiser_hidden": 17}}, {"loss": {"latent_l1": 0.5}}])
def test_weights_trained_with_other_settings_are_refused(tmp_path: Path, changes: dict[str, dict[str, object]]) -> None:
    write_training(tmp_path, tiny_recipe())
    with pytest.raises(InputError, match=r"weights.safetensors: was trained with different settings from those in recipe MDL1"):
        write_checkpoint(tmp_path, tiny_recipe(**changes), tmp_path / "checkpoint.safetensors")
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_weights_that_no_training_finished_are_refused(tmp_path: Path) -> None:
    write_training(tmp_path, tiny_recipe())
    weights = tmp_path / "weights.safetensors"
    write_tensors(weights, *read_tensors(weights)[:1], {})
    with pytest.raises(InputError, match=r"weights\.safetensors: was changed after it was written"):
        write_checkpoint(tmp_path, tiny_recipe(), tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"weights\.json: is missing"):
        write_checkpoint(tmp_path, tiny_recipe(), tmp_path / "checkpoint.safetensors")


def test_the_way_to_separate_may_change_without_training(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    write_training(tmp_path, tiny_recipe())
    write_checkpoint(tmp_path, load_recipe("MDLT", {"MDL1": SIZES, "MDLT": {"separation": {"griffin_lim_iterations": 7}}}), path)
    separation = load_checkpoint(path, CPU).recipe.separation
    assert (separation.latent_threshold, separation.griffin_lim_iterations) == (0.2, 7)


def test_a_full_disk_is_told_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(InputError, match=r"x.safetensors: the disk is full"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.ones(100_000)}, {})
    assert list(tmp_path.iterdir()) == []


def test_tensors_given_are_not_modified(tmp_path: Path) -> None:
    network = tiny_checkpoint().network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    write_tensors(tmp_path / "x.safetensors", network.state_dict(), {})
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
