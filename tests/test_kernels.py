"""The GPU's kernels: by Triton's interpreter on a CPU against PyTorch's operations, and on a GPU against cuDNN."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from madsep.models.dense import Dense
from madsep.models.gru import Gru, encode, recurrent_residual
from madsep.models.losses import generalised_kl

INTERPRETED = Path(__file__).with_name("interpreted.py")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_interpreted_kernels_are_pytorchs_operations() -> None:
    """Values and gradients to 1e-6 of the largest, at sizes that divide into nothing, and one frame and one unit."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(INTERPRETED)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    deviations = json.loads(done.stdout)
    assert len(deviations) > 20 and {name: found for name, found in deviations.items() if not found <= 1e-6} == {}


def test_nothing_of_a_cpu_imports_triton() -> None:
    code = "import sys, madsep.training.train, madsep.separation.network; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


# --- on a GPU


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products without autocast are in float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


Net = Callable[[Tensor], Tensor]


def norms(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest relative distance."""
    return max(float((one - other).detach().norm() / other.detach().norm()) for one, other in zip(found, expected, strict=True))


def with_gradients(net: Net, inputs: Tensor, weights: list[nn.Parameter], autocast: bool) -> list[Tensor]:
    given = inputs.clone().requires_grad_()
    with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
        outputs = net(given)
    return [outputs.detach(), *torch.autograd.grad(outputs.square().sum(), [given, *weights])]


@needs_gpu
@pytest.mark.parametrize("size", [(1, 2, 3, 8), (16, 12, 129, 120), (300, 3, 40, 129)], ids=str)
@pytest.mark.parametrize("net", ["one", "two", "stopping early", "residual"])
def test_on_a_gpu_states_and_gradients_are_cudnns_to_bfloat16(exact: None, size: tuple[int, ...], net: str) -> None:
    n_sequences, n_frames, n_inputs, n_hidden = size
    torch.manual_seed(n_hidden)
    if net != "one":
        n_hidden = n_inputs
    grus = [Gru(n_inputs, n_hidden).cuda() for _ in range(2 if net in ("two", "stopping early") else 1)]
    nets: dict[str, Net] = {
        "one": grus[0],
        "two": lambda x: encode(grus[0], grus[-1], x),
        "stopping early": lambda x: encode(grus[0], grus[-1], x, n_unread=n_frames - 2),
        "residual": lambda x: recurrent_residual(grus[0], x),
    }
    run = nets[net]
    weights = [weight for gru in grus for weight in gru.parameters()]
    inputs = torch.randn(n_sequences, n_frames, n_inputs, device="cuda")
    expected = with_gradients(run, inputs, weights, autocast=False)
    found = with_gradients(run, inputs, weights, autocast=True)
    assert 0 < norms(found, expected) < 2e-2
    assert all(tensor.dtype == torch.float32 for tensor in found)


@needs_gpu
def test_on_a_gpu_a_captured_run_is_the_run() -> None:
    torch.manual_seed(0)
    gru, inputs = Gru(72, 72).cuda(), torch.randn(16, 9, 72, device="cuda")

    def step() -> list[Tensor]:
        return with_gradients(lambda x: encode(gru, gru, x), inputs, list(gru.parameters()), autocast=True)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        found = step()
    inputs.neg_()
    graph.replay()
    inputs.neg_()
    for _ in range(20):
        graph.replay()
    torch.cuda.synchronize()
    assert all(map(torch.equal, found, expected))


@needs_gpu
@pytest.mark.parametrize("sizes", [(16, 24), (40, 2049), (2049, 40)])
def test_on_a_gpu_dense_layers_are_pytorchs_to_bfloat16(exact: None, sizes: tuple[int, int]) -> None:
    torch.manual_seed(0)
    layer, inputs = Dense(*sizes).cuda(), torch.randn(4, 6, sizes[0], device="cuda")
    magnitudes = torch.rand(4, 9, sizes[1], device="cuda")[:, 2:8]
    weights = list(layer.parameters())
    for net in (layer, lambda x: layer.masking(x, magnitudes)[1]):
        found, expected = (with_gradients(net, inputs, weights, autocast) for autocast in (True, False))
        assert 0 < norms(found, expected) < 2e-2


@needs_gpu
def test_on_a_gpu_the_divergence_is_that_of_a_cpu() -> None:
    target, estimate = torch.rand(3, 5, 2049), torch.rand(3, 5, 2049, requires_grad=True)
    expected = generalised_kl(target, estimate)
    found = generalised_kl(target.cuda(), estimate.cuda())
    assert norms([found.cpu()], [expected]) < 1e-5
    assert norms([torch.autograd.grad(found, estimate)[0]], [torch.autograd.grad(expected, estimate)[0]]) < 1e-5
