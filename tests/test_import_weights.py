"""The authors' published weights: their code's numbers from their files, and what is refused without being run."""

import io
import os
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch
from numpy.testing import assert_allclose

from madsep import cli
from madsep.core.errors import InputError
from madsep.core.files import sha256
from madsep.models.checkpoint import load_checkpoint
from madsep.models.import_weights import import_weights
from madsep.separation.songs import separate_songs
from madsep.systems.recipe import Recipe, load_recipe

FILES = {"encoder": ("gruEncF", "gruEncB"), "decoder": ("gruDec",), "sp_decoder": ("ffDec",), "se": ("ffSe_enc", "ffSe_dec")}
LAYERS = {
    "enc_forward": "gruEncF",
    "enc_backward": "gruEncB",
    "dec": "gruDec",
    "mask": "ffDec",
    "denoiser_enc": "ffSe_enc",
    "denoiser_dec": "ffSe_dec",
}
SIZES = {
    "front_end": {"window_length": 128, "fft_length": 128, "hop_length": 32},  # 65 bins
    "segments": {"n_frames": 20, "n_context": 3},
    "network": {"n_encoder_bins": 1, "n_denoiser_hidden": 1},  # not those of any tensors here
}
Tensors = dict[str, torch.Tensor]


def small(name: str = "GRU-RIS-l") -> Recipe:
    """A recipe at the sizes of the reference vectors."""
    return load_recipe(name, {name: SIZES})


def reference(path: Path) -> Tensors:
    """The authors' tensors of a file of reference vectors, by their names."""
    vectors = np.load(path)
    tensors = {}
    for key in vectors.files:
        if key.startswith("w/"):
            _, layer, tensor = key.split("/")
            tensors[f"{LAYERS[layer]}.{tensor}"] = torch.from_numpy(vectors[key])
    return tensors


def made_up(n_bins: int = 65, n_low: int = 5, n_hidden: int = 32) -> Tensors:
    """Tensors of the authors' names and shapes; the values mean nothing."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, size in (("gruEncF", n_low), ("gruEncB", n_low), ("gruDec", 2 * n_low)):
        shapes |= {f"{layer}.weight_{kind}": (3 * size, size) for kind in ("ih", "hh")}
        shapes |= {f"{layer}.bias_{kind}": (3 * size,) for kind in ("ih", "hh")}
    for layer, n_in, n_out in (("ffDec", 2 * n_low, n_bins), ("ffSe_enc", n_bins, n_hidden), ("ffSe_dec", n_hidden, n_bins)):
        shapes |= {f"{layer}.weight": (n_out, n_in), f"{layer}.bias": (n_out,)}
    generator = torch.Generator().manual_seed(0)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def save(state: Mapping[str, Any], path: Path) -> None:
    torch.save(OrderedDict(state), path)


def write(tensors: Tensors, folder: Path, which: str = "_40_m3_i10", writer: Callable[[Tensors, Path], None] = save) -> Path:
    """Write four files named as the authors' code names them; a tensor of another layer goes with the decoder's."""
    folder.mkdir(exist_ok=True)
    known = {layer for layers in FILES.values() for layer in layers}
    for part, layers in FILES.items():
        state = {k: v for k, v in tensors.items() if k.split(".")[0] in layers or (part == "decoder" and k.split(".")[0] not in known)}
        writer(state, folder / f"torch_sps_{part}{which}.pytorch")
    return folder


def save_as_in_2017(state: Tensors, path: Path) -> None:
    """As PyTorch 0.2 under Python 2 wrote the state dict of a network on a GPU: byte strings, cuda storages, no version of tensors."""

    class Python2(pickle._Pickler):
        dispatch = pickle._Pickler.dispatch.copy()

        def save_str(self, text: str) -> None:
            self.write(pickle.SHORT_BINSTRING + struct.pack("<B", len(text)) + text.encode())
            self.memoize(text)

        def persistent_id(self, value: object) -> tuple[Any, ...] | None:
            if not isinstance(value, torch.FloatStorage):
                return None
            storages[key := str(value.data_ptr())] = value
            return ("storage", torch.cuda.FloatStorage, key, "cuda:0", value.size(), None)

        def save_tensor(self, tensor: torch.Tensor) -> None:
            self.save_reduce(torch._utils._rebuild_tensor, (tensor.storage(), 0, tuple(tensor.shape), tensor.stride()), obj=tensor)

    Python2.dispatch |= {str: Python2.save_str, torch.Tensor: Python2.save_tensor}
    storages: dict[str, Any] = {}
    stream = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    for header in (0x1950A86A20F9469CFC6C, 1001, system):
        Python2(stream, 2).dump(header)
    Python2(stream, 2).dump(OrderedDict((name, tensor.contiguous()) for name, tensor in state.items()))
    Python2(stream, 2).dump(sorted(storages))
    for key in sorted(storages):
        values = np.asarray(storages[key].tolist(), "<f4")
        stream.write(struct.pack("<q", len(values)) + values.tobytes())
    path.write_bytes(stream.getvalue())


def close(actual: torch.Tensor, expected: np.ndarray) -> None:
    assert_allclose(actual.detach().numpy(), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("writer", [save, save_as_in_2017])
@pytest.mark.parametrize(("recipe", "prefix"), [("GRU-RIS-l", "ris_l/"), ("GRU-RIS-s", "ris_s/"), ("GRU-NRI", "")])
def test_icassp_weights_give_the_authors_numbers(
    shared: Path, tmp_path: Path, recipe: str, prefix: str, writer: Callable[[Tensors, Path], None]
) -> None:
    vectors = np.load(shared / "data/reference/mad_icassp2018_code.npz")
    folder = write(reference(shared / "data/reference/mad_icassp2018_code.npz"), tmp_path / "published", writer=writer)
    import_weights(folder, tmp_path / "mad.safetensors", small(recipe))
    network = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu")).network
    output = network(torch.from_numpy(vectors["x"]))
    close(output.h_enc, vectors["h_enc"])
    close(output.h_dec, vectors[f"{prefix}h_dec"])
    close(output.denoised, vectors[f"{prefix}denoised"])


def test_weights_of_the_later_branch_give_its_numbers(shared: Path, tmp_path: Path) -> None:
    vectors = np.load(shared / "data/reference/mad_nmr_eval_code.npz")
    folder = write(reference(shared / "data/reference/mad_nmr_eval_code.npz"), tmp_path / "published", "_KL50")
    import_weights(folder, tmp_path / "mad.safetensors", small("MDL1-branch"))
    output = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu")).network(torch.from_numpy(vectors["x"]))
    close(output.h_dec, vectors["h_dec"])
    close(output.denoised, vectors["denoised"])


def test_the_checkpoint_says_what_it_is_and_where_it_comes_from(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write(made_up(), tmp_path / "published")
    with caplog.at_level("INFO"):
        import_weights(folder, tmp_path / "mad.safetensors", small())
    checkpoint = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu"))
    settings = checkpoint.recipe.network.model_dump()
    assert (settings["n_encoder_bins"], settings["n_denoiser_hidden"], settings["decoder_width"]) == (5, 32, 2)
    assert (settings["encoder_residual"], settings["decoder_residual"]) == ("recurrent", "none")
    assert settings["recurrent_inference"] == {"max_iterations": 10, "tolerance": 1e-3, "stop": "batch"}
    assert checkpoint.provenance["imported"]["sha256"] == {path.name: sha256(path) for path in folder.iterdir()}
    assert f"{folder / 'torch_sps_se_40_m3_i10.pytorch'}: ffSe_dec, ffSe_enc" in caplog.messages


def test_an_imported_checkpoint_separates_songs(tmp_path: Path, torch_settings_restored: None) -> None:
    recipe = load_recipe("GRU-RIS-l", {"GRU-RIS-l": SIZES | {"separation": {"griffin_lim_iterations": 0}}})
    import_weights(write(made_up(), tmp_path / "published"), tmp_path / "mad.safetensors", recipe)
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (1500, 2))
    sf.write(tmp_path / "song.wav", song, 44_100)
    separate_songs(tmp_path / "mad.safetensors", [tmp_path / "song.wav"], tmp_path / "out", "cpu", 1)
    estimates = {target: sf.read(tmp_path / "out/song" / f"{target}.wav")[0] for target in ("vocals", "accompaniment")}
    assert estimates["vocals"].shape == song.shape and np.abs(estimates["vocals"]).max() > 0.01
    assert_allclose(sum(estimates.values()), song, atol=1e-4)


def narrow() -> Tensors:
    """Tensors of the code's other setting, which it has without recurrent inference only: F units in the decoder instead of 2F."""
    sizes = {
        "gruDec.weight_ih": (15, 10),
        "gruDec.weight_hh": (15, 5),
        "gruDec.bias_ih": (15,),
        "gruDec.bias_hh": (15,),
        "ffDec.weight": (65, 5),
    }
    return made_up() | {name: torch.full(size, 0.1) for name, size in sizes.items()}


def test_a_narrow_decoder_is_known_by_its_size(tmp_path: Path) -> None:
    import_weights(write(narrow(), tmp_path / "published", ""), tmp_path / "mad.safetensors", small("GRU-NRI"))
    checkpoint = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu"))
    assert checkpoint.recipe.network.model_dump()["decoder_width"] == 1
    output = checkpoint.network(torch.rand(2, 20, 65))
    assert output.h_dec.shape == (2, 14, 5) and output.denoised.shape == (2, 14, 65) and output.denoised.isfinite().all()


@pytest.mark.parametrize("recipe", ["GRU-RIS-l", "GRU-RIS-s"])
def test_a_narrow_decoder_without_its_recipe_is_refused(tmp_path: Path, recipe: str) -> None:
    folder = write(narrow(), tmp_path / "published")
    refuse(folder, "the decoder has 5 units", f"which recipe {recipe} uses, needs twice as many. Use", recipe=small(recipe))


def test_tensors_that_share_their_memory_are_taken(tmp_path: Path) -> None:
    """As where one name's tensor is another's, or a part of it."""
    tensors = made_up()
    tensors["gruEncB.weight_ih"] = tensors["gruEncF.weight_ih"]
    tensors["gruEncB.bias_ih"] = tensors["ffDec.bias"][3:18]
    folder = tmp_path / "published"
    folder.mkdir()
    save(tensors, folder / "all.pt")
    import_weights(folder, tmp_path / "mad.safetensors", small())
    network = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu")).network
    for gru in (network.enc_forward, network.enc_backward):
        assert torch.equal(gru.weight_ih_l0, tensors["gruEncF.weight_ih"])
    assert torch.equal(network.enc_backward.bias_ih_l0, tensors["ffDec.bias"][3:18])


@pytest.mark.parametrize("recipe", ["GRU-RIS-l", "GRU-NRI"])
def test_published_weights_separate_in_single_precision_as_their_code(tmp_path: Path, recipe: str) -> None:
    assert small(recipe).separation.precision == "bf16"
    import_weights(write(made_up(), tmp_path / "published"), tmp_path / "mad.safetensors", small(recipe))
    separation = load_checkpoint(tmp_path / "mad.safetensors", torch.device("cpu")).recipe.separation
    assert separation == small(recipe).separation.model_copy(update={"precision": "fp32"})


def refuse(folder: Path, *expected: str, recipe: Recipe | None = None) -> None:
    """Importing ends with one line that holds each of `expected`, and leaves nothing behind."""
    out = folder.parent / "mad.safetensors"
    with pytest.raises(InputError) as refused:
        import_weights(folder, out, recipe or small())
    message = str(refused.value)
    assert "\n" not in message and all(part in message for part in expected), message
    assert not out.exists() and not list(folder.parent.glob(".mad*"))


class Malicious:
    """What a pickle would run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    folder, ran = write(made_up(), tmp_path / "published"), tmp_path / "ran"
    victim = folder / "torch_sps_decoder_40_m3_i10.pytorch"
    torch.save({"gruDec.weight_ih": Malicious(ran)}, victim, _use_new_zipfile_serialization=zipped)
    refuse(folder, str(victim), "asks for posix.system", "None of it was run")
    assert not ran.exists()
    torch.load(victim, weights_only=False)
    assert ran.exists()  # it would have run


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gruDec.bias_hh": None}, ["'gruDec.bias_hh' is missing"]),
        ({"gruDec.bias_xx": torch.ones(3)}, ["torch_sps_decoder", "'gruDec.bias_xx' does not belong to the model"]),
        ({"gruEncB.weight_hh": torch.ones(15, 4)}, ["'gruEncB.weight_hh' is of shape (15, 4)", "expected (15, 5)"]),
        ({"ffSe_dec.bias": torch.ones(64)}, ["'ffSe_dec.bias' is of shape (64,)", "expected (65,)"]),
        ({"gruDec.weight_hh": torch.ones(30, 7)}, ["'gruDec.weight_hh' has 7 columns; expected gruEncF's 5 or twice"]),
        ({"ffDec.weight": torch.ones(650)}, ["torch_sps_sp_decoder", "'ffDec.weight' is of shape (650,)", "2 axes"]),
        ({"ffDec.bias": torch.ones(65, dtype=torch.float64)}, ["'ffDec.bias' is torch.float64; expected torch.float32"]),
        ({"ffDec.bias": torch.full((65,), torch.nan)}, ["'ffDec.bias' has values that are not finite"]),
        ({"ffDec.bias": "text"}, ["torch_sps_sp_decoder", "holds no state dict"]),
        ({"ffDec.bias": torch.ones(65, device="meta")}, ["'ffDec.bias' is without values (meta); expected a dense tensor"]),
        ({"ffDec.weight": torch.ones(65, 10).to_sparse()}, ["'ffDec.weight' is torch.sparse_coo; expected a dense tensor"]),
    ],
)
def test_faulty_tensors_are_named(tmp_path: Path, changes: dict[str, Any], expected: list[str]) -> None:
    tensors = {name: value for name, value in (made_up() | changes).items() if value is not None}
    refuse(write(tensors, tmp_path / "published"), *expected)


def test_other_sizes_than_the_recipes_are_told(tmp_path: Path) -> None:
    """A full-size recipe wants 2049 bins."""
    folder = write(made_up(), tmp_path / "published")
    refuse(
        folder, "'ffDec.weight' is of shape (65, 10)", "2049 bins of recipe GRU-RIS-l", "(2049, 10)", recipe=load_recipe("GRU-RIS-l", {})
    )


def test_files_are_found_by_what_they_hold_and_two_models_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "published"
    refuse(folder, "no such folder", "torch_sps_{encoder,decoder,sp_decoder,se}")
    folder.mkdir()
    (folder / "README.md").write_text("no weights")
    refuse(folder, "no .pytorch, .pt, .pth files")
    save(made_up(), folder / "all.pt")
    import_weights(folder, tmp_path / "other.safetensors", small())
    write(made_up(), folder, "_80")
    refuse(folder, "'gruEncF.weight_ih' is in all.pt and in torch_sps_encoder_80.pytorch", "only the files of one model")


@pytest.mark.parametrize("contents", [b"", b"no weights", b"PK\3\4", bytes(500)])
def test_damaged_files_are_told(tmp_path: Path, contents: bytes) -> None:
    folder = write(made_up(), tmp_path / "published")
    (folder / "torch_sps_se_40_m3_i10.pytorch").write_bytes(contents)
    refuse(folder, "torch_sps_se_40_m3_i10.pytorch", "cannot be read as a PyTorch state dict")


@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_files_are_told_wherever_they_end(tmp_path: Path, zipped: bool) -> None:
    folder = write(made_up(), tmp_path / "published")
    path = folder / "torch_sps_se_40_m3_i10.pytorch"
    state = {name: tensor for name, tensor in made_up().items() if name.startswith("ffSe")}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for end in range(1, len(whole) - 8, len(whole) // 15):
        path.write_bytes(whole[:end])
        refuse(folder, "torch_sps_se_40_m3_i10.pytorch")


def test_what_cannot_be_written_or_built_is_told(tmp_path: Path) -> None:
    folder = write(made_up(), tmp_path / "published")
    with pytest.raises(InputError, match="is a folder; name the file to write"):
        import_weights(folder, tmp_path, small())
    refuse(folder, "recipe HEL1: is of family hel; expected one of family mad", recipe=load_recipe("HEL1", {}))


def test_the_verb_takes_the_full_size_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = write(made_up(n_bins=2049, n_hidden=8), tmp_path / "published"), tmp_path / "mad.safetensors"

    def status(*options: str) -> object:
        monkeypatch.setattr(sys, "argv", ["madsep", "import-weights", str(folder), str(out), *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0

    assert status() == 0
    assert load_checkpoint(out, torch.device("cpu")).recipe.name == "GRU-RIS-l"
    assert status("--recipe", "GRU-RIS-s", "--overwrite") == 0
    assert load_checkpoint(out, torch.device("cpu")).recipe.network.model_dump()["recurrent_inference"]["max_iterations"] == 3
    (folder / "torch_sps_se_40_m3_i10.pytorch").unlink()
    capsys.readouterr()
    assert status("--overwrite") == 1
    assert "'ffSe_enc.weight' is missing" in capsys.readouterr().err


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    folder = write(made_up(), tmp_path / "authors")
    bomb = folder / "torch_sps_se_40_m3_i10.pytorch"
    with zipfile.ZipFile(bomb) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content + bytes(1_000_000))
    with pytest.raises(InputError, match=rf"{bomb.name}: has \d+ bytes and would unpack to \d+"):
        import_weights(folder, tmp_path / "mad.safetensors", load_recipe("GRU-RIS-l", {}))


def test_a_tensor_that_repeats_its_values_is_refused(tmp_path: Path) -> None:
    """Two numbers of a shape within the file's size, and their product is not."""
    tensors = made_up() | {"ffSe_dec.weight": torch.ones(1).expand(30_000, 30_000)}
    folder = write(tensors, tmp_path / "authors")
    for path in folder.iterdir():
        with path.open("ab") as stream:
            stream.write(bytes(50_000))
    with pytest.raises(InputError, match=r"(which needs more values than the file holds|cannot be read|asks for)"):
        import_weights(folder, tmp_path / "mad.safetensors", load_recipe("GRU-RIS-l", {}))


@pytest.mark.parametrize("link", [None, Path.symlink_to, Path.hardlink_to])
def test_the_authors_files_are_never_written_over(tmp_path: Path, link: Callable[[Path, Path], None] | None) -> None:
    folder = write(made_up(), tmp_path / "authors")
    given = folder / "torch_sps_se_40_m3_i10.pytorch"
    out, before = given, given.read_bytes()
    if link is not None:
        link(out := tmp_path / "mad.safetensors", given)
    with pytest.raises(InputError, match=rf"^{out}: is the input {given} itself"):
        import_weights(folder, out, load_recipe("GRU-RIS-l", {}))
    assert given.read_bytes() == before
