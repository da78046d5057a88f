"""Which processor computes, with and without GPUs."""

import contextlib
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from madsep.core.devices import claim
from madsep.core.errors import InputError

pytestmark = pytest.mark.usefixtures("torch_settings_restored")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where the locks lie
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=f"GPU-{index}"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "a GPU")
    monkeypatch.setattr(torch.cuda, "device", lambda index: contextlib.nullcontext())


@pytest.mark.parametrize("wanted", ["auto", "cpu"])
def test_the_cpu_computes_where_there_is_no_gpu(no_gpu: None, wanted: str) -> None:
    with claim(wanted, 3) as device:
        assert device == torch.device("cpu")
        assert torch.get_num_threads() == 3
        assert torch.are_deterministic_algorithms_enabled()


def test_cuda_without_a_gpu_is_refused_plainly(no_gpu: None) -> None:
    with pytest.raises(InputError, match=r"device: 'cuda' requires a GPU, but PyTorch sees none; set device: auto"), claim("cuda", 1):
        raise AssertionError("never reached")


def test_each_job_has_a_gpu_of_its_own(two_gpus: None) -> None:
    with claim("auto", 1) as first, claim("cuda", 1) as second:
        assert (first, second) == (torch.device("cuda", 0), torch.device("cuda", 1))
        with claim("auto", 1) as third:  # more jobs than GPUs
            assert third == torch.device("cuda", 0)
    with claim("auto", 1) as again:
        assert again == torch.device("cuda", 0)


def test_a_gpu_is_given_back_by_a_job_that_fails(two_gpus: None) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), claim("auto", 1):
        raise RuntimeError("out of memory")
    with claim("auto", 1) as device:
        assert device == torch.device("cuda", 0)


def test_the_cpu_computes_where_it_is_asked_for(two_gpus: None) -> None:
    with claim("cpu", 1) as device:
        assert device == torch.device("cpu")
