"""Which way a device computes."""

import importlib.util
import logging
from collections.abc import Iterator

import pytest
import torch

from madsep.models import gpu
from madsep.models.gpu import kernels_serve

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    kernels_serve.cache_clear()
    yield
    kernels_serve.cache_clear()


def test_a_cpu_runs_no_kernels_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert not kernels_serve(torch.device("cpu")) and not kernels_serve(torch.device("meta")) and not caplog.messages


def test_without_triton_the_other_way_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not kernels_serve(GPU) and not kernels_serve(GPU)
    (said,) = caplog.messages
    assert said.startswith("Triton kernels cannot run (Triton is not installed). The GPU uses the slower operations of cuDNN")


def test_a_gpu_without_bfloat16_runs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert gpu._reason_against(GPU) == "the GPU is too old"


def test_a_kernel_that_cannot_be_tried_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without a C compiler; here for want of a GPU, or of Triton."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert "\n" not in gpu._reason_against(GPU) and gpu._reason_against(GPU)


def test_kernels_that_run_are_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(gpu, "_reason_against", lambda device: "")
    with caplog.at_level(logging.INFO, "madsep"):
        assert kernels_serve(GPU) and kernels_serve(GPU)
    assert len(caplog.messages) == 1
