"""Where a result comes from, against git, the package metadata and the system's own figures."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

import madsep
from madsep.core import provenance
from madsep.core.provenance import git_commit, hardware, list_gpus, versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", "-C", str(folder), *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_commit_of_a_clean_and_of_a_changed_repository(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "folder").mkdir()
    assert git_commit(repository) == git_commit(repository / "folder") == commit
    (repository / "file").write_text("2")
    assert git_commit(repository) == f"{commit}-dirty"


def test_a_tag_does_not_hide_the_commit(repository: Path) -> None:
    git(repository, "tag", "-am", "release", "v1.0")
    assert git_commit(repository) == git(repository, "rev-parse", "HEAD")


def test_no_commit_outside_a_repository_or_without_git(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(outside.parent))
    assert git_commit(outside) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(repository) is None


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "numpy", "no-such-package"))
    ffmpeg = shutil.which("ffmpeg") and subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    assert versions() == {
        "madsep": madsep.__version__,
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
        "numpy": importlib.metadata.version("numpy"),
        "no-such-package": None,
        "ffmpeg": ffmpeg.removeprefix("ffmpeg version ").split(" ")[0] if ffmpeg else None,
    }
    monkeypatch.setenv("PATH", "")
    assert versions()["ffmpeg"] is None


def test_hardware_is_what_the_system_says() -> None:
    found = hardware()
    assert found["cores"] == os.cpu_count()
    assert found["memory_gib"] == pytest.approx(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, abs=0.1)
    assert found["system"] == platform.platform()
    assert found["processor"].strip()


def fake_nvidia_smi(folder: Path, script: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


def test_gpus_are_the_drivers_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_gpus() == []
    fake_nvidia_smi(tmp_path, 'echo "GPU 0: A (UUID: x)"; echo "GPU 1: B (UUID: y)"; echo "  MIG 1g: z"')
    assert list_gpus() == ["GPU 0: A (UUID: x)", "GPU 1: B (UUID: y)"]
    fake_nvidia_smi(tmp_path, 'echo "NVIDIA-SMI has failed"; exit 9')
    assert list_gpus() == []
