"""How many segments are separated at a time."""

import pytest
import torch
from tiny import tiny_checkpoint

from madsep.models.checkpoint import Checkpoint
from madsep.separation.batches import BYTES_OF_A_BIN, FASTEST_ON_GPU, SMALLEST, batch_size

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def auto() -> Checkpoint:
    return tiny_checkpoint(separation={"batch_size": "auto"})


def with_free_memory(monkeypatch: pytest.MonkeyPatch, n_bytes: int) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (n_bytes, n_bytes))


def test_a_number_of_the_recipe_is_taken_everywhere() -> None:
    checkpoint = tiny_checkpoint(separation={"batch_size": 5})
    assert batch_size(checkpoint, CPU, 2) == batch_size(checkpoint, GPU, 2) == 5


def test_a_cpu_takes_the_smallest() -> None:
    assert batch_size(auto(), CPU, 2) == SMALLEST


@pytest.mark.parametrize("n_channels", [1, 2])
def test_a_gpu_takes_the_fastest_that_half_of_its_memory_holds(monkeypatch: pytest.MonkeyPatch, n_channels: int) -> None:
    recipe = auto().recipe
    of_one = n_channels * recipe.segments.n_frames * recipe.front_end.n_bins * BYTES_OF_A_BIN
    for n_segments, expected in ((10_000, FASTEST_ON_GPU), (100, 100), (3, SMALLEST), (0, SMALLEST)):
        with_free_memory(monkeypatch, 2 * n_segments * of_one)
        assert batch_size(auto(), GPU, n_channels) == expected


def test_inference_over_a_batch_keeps_its_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its results depend on them."""
    with_free_memory(monkeypatch, 10**12)
    inference = {"max_iterations": 3, "tolerance": 1e-3, "stop": "batch"}
    network = {"n_encoder_bins": 20, "n_denoiser_hidden": 16, "recurrent_inference": inference}
    assert batch_size(tiny_checkpoint(network=network, separation={"batch_size": "auto"}), GPU, 2) == SMALLEST
