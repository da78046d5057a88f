"""Exported networks give the network's own numbers, for any number of sequences, in programs that know nothing of madsep."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_checkpoint
from wavs import save_checkpoint

from madsep.core import extras
from madsep.core.errors import InputError
from madsep.models import export as module
from madsep.models.checkpoint import load_checkpoint
from madsep.models.export import Format, export

N_SEQUENCES = 5  # another number than it was exported with
Loaded = tuple[Callable[[torch.Tensor], torch.Tensor], str]
SLOW = pytest.mark.slow
NETWORKS: dict[str, dict[str, Any]] = {
    "one pass": {},
    "recurrent inference": {"recurrent_inference": {"max_iterations": 4, "tolerance": 1e-4, "stop": "sequence"}},
    "recurrent inference of a batch": {"recurrent_inference": {"max_iterations": 4, "tolerance": 1e-4, "stop": "batch"}},
    "recurrent residual": {"encoder_residual": "recurrent"},
}


def torchscript(path: Path) -> Loaded:
    files = {"madsep": ""}
    network = torch.jit.load(str(path), _extra_files=files)
    return network, files["madsep"]


def exported_program(path: Path) -> Loaded:
    files = {"madsep": ""}
    with path.open("rb") as stream:
        return torch.export.load(stream, extra_files=files).module(), files["madsep"]


def onnx(path: Path) -> Loaded:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(["estimates"], {"mixture": x.numpy()})[0]), session.get_modelmeta().custom_metadata_map[
        "madsep"
    ]


CASES = [
    *(("torchscript", torchscript, kind) for kind in NETWORKS),
    *(pytest.param("exported-program", exported_program, kind, marks=SLOW) for kind in ("one pass", "recurrent inference")),
    *(pytest.param("onnx", onnx, kind, marks=SLOW) for kind in ("one pass", "recurrent inference")),
]


@pytest.mark.parametrize(("form", "load", "kind"), CASES)
def test_the_numbers_are_those_of_the_network(tmp_path: Path, form: Format, load: Callable[[Path], Loaded], kind: str) -> None:
    if form == "onnx":
        for package in module.NEEDED:
            pytest.importorskip(package)
    checkpoint = save_checkpoint(tiny_checkpoint(network=NETWORKS[kind]), tmp_path / "checkpoint.safetensors")
    export(checkpoint, tmp_path / "network", form)
    network, about = load(tmp_path / "network")
    loaded = load_checkpoint(checkpoint, torch.device("cpu"))
    recipe = loaded.recipe
    mixture = torch.rand(N_SEQUENCES, recipe.segments.n_frames, recipe.front_end.n_bins, generator=torch.Generator().manual_seed(1))
    mixture[1:] *= torch.tensor([0.01, 0.1, 10.0, 0.5]).view(-1, 1, 1)  # so that sequences converge after different numbers of passes
    with torch.no_grad():
        expected, found = loaded.network.estimate(mixture, recipe.separation), network(mixture)
    assert found.shape == (N_SEQUENCES, 1, recipe.segments.n_estimated, recipe.front_end.n_bins)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=2e-6 * expected.max())
    told = json.loads(about)
    assert told["front_end"]["hop_length"] == recipe.front_end.hop_length and told["estimates"] == ["vocals"]


def test_onnx_needs_its_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "is_installed", lambda package: package != "onnxscript")
    checkpoint = save_checkpoint(tiny_checkpoint(), tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match=r"^writing ONNX needs ONNX Script, which is not installed: pip install 'madsep\[export\]'$"):
        export(checkpoint, tmp_path / "network.onnx", "onnx")
    assert not (tmp_path / "network.onnx").exists()
