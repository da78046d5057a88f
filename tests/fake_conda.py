"""A stand-in for conda. An environment is a venv with links to exactly those installed packages that its file names.

Run as a program, it answers the conda commands that Snakemake calls.
"""

import json
import re
import sys
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from itertools import pairwise
from pathlib import Path

import yaml
from packaging.requirements import Requirement


def pip_pins(file: Path) -> set[str]:
    """Return the packages of a conda environment that come from PyPI, as name==version."""
    *_, packages = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
    return set(packages["pip"])


def with_dependencies(names: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed packages of these names and everything that they require, by name."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = package = distribution(name)
        except PackageNotFoundError:
            continue  # importing a pinned package that is not installed fails later
        requirements = map(Requirement, package.requires or [])
        waiting += [r.name for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    return found


def create(file: Path, prefix: Path) -> None:
    """Create the environment of `file`: a Python with only the packages that `file` names."""
    venv.EnvBuilder(symlinks=True).create(prefix)
    (site,) = prefix.glob("lib/python*/site-packages")
    for package in with_dependencies(pin.partition("==")[0] for pin in pip_pins(file)).values():
        for name in {path.parts[0] for path in package.files or []} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(package.locate_file(name))


def install(folder: Path) -> None:
    """Write an executable `conda` to `folder`/bin."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/activate").write_text('PATH="$1/bin:$PATH"\n')
    program = folder / "bin/conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "{folder}" "$@"\n')
    program.chmod(0o755)


if __name__ == "__main__":
    folder, command, *arguments = sys.argv[1:]
    if command == "env":
        options = dict(pairwise(arguments))
        create(Path(options["--file"]), Path(options["--prefix"]))
    else:
        answers = {
            "--version": "conda 26.1.0",
            "config": json.dumps({"get": {"channel_priority": "strict"}}),
            "info": json.dumps({"conda_prefix": folder, "platform": "linux-64"}),
        }
        print(answers.get(command, ""))
