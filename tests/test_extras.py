"""Packages of extras: what the commands say that need one which is not installed, and what works without any."""

import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from madsep.core.errors import InputError, plain, require
from madsep.core.extras import EXTRAS, is_installed, missing

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# a Python in which the packages of the extras cannot be found
WITHOUT = f"""
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(EXTRAS)}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Absent())
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name.partition(".")[0] in {set(EXTRAS)} else find_spec(name, package)
from madsep.cli import main
sys.argv[0] = "madsep"
main()
"""


def without_extras(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `madsep` where only the base dependencies are installed."""
    command = [sys.executable, "-c", WITHOUT, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, encoding="utf-8")


def test_every_extra_installs_its_package() -> None:
    for package, (_, extra) in EXTRAS.items():
        lines = PROJECT["optional-dependencies"][extra]
        assert any(line.replace("-", "_").startswith(package) for line in lines), package
        assert not any(line.replace("-", "_").startswith(package) for line in PROJECT["dependencies"])


def test_all_installs_every_extra_that_people_need() -> None:
    (line,) = PROJECT["optional-dependencies"]["all"]
    assert set(line.removeprefix("madsep[").removesuffix("]").split(",")) == {extra for _, extra in EXTRAS.values()}


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_installed("torch") and missing("torch.nn") is None and missing("a_stranger") is None
    require("torch", "training")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = "training needs PyTorch, which is not installed: pip install 'madsep[train]'"
    assert missing("torch.nn", "training") == line
    with pytest.raises(InputError, match="training needs PyTorch"):
        require("torch", "training")
    assert str(plain(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))) == line.replace("training", "this")
    assert plain(ModuleNotFoundError("No module named 'a_stranger'", name="a_stranger")) is None


@pytest.mark.parametrize(
    ("arguments", "title", "extra"),
    [
        (["separate", "checkpoint.safetensors", "song.wav", "-o", "out"], "PyTorch", "train"),
        (["couplings", "checkpoint.safetensors", "song.wav", "-o", "out"], "PyTorch", "train"),
        (["import-weights", "folder", "mad.safetensors"], "PyTorch", "train"),
        (["run", "--musdb-root", "musdb"], "Snakemake", "workflow"),
    ],
)
def test_commands_that_need_an_extra_say_so_in_one_line(tmp_path: Path, arguments: list[str], title: str, extra: str) -> None:
    completed = without_extras(*arguments, folder=tmp_path)
    (line,) = completed.stderr.splitlines()
    assert completed.returncode == 1 and line.endswith(f" needs {title}, which is not installed: pip install 'madsep[{extra}]'")
    assert list(tmp_path.iterdir()) == []
