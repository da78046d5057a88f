"""The wheel and the sdist: what they hold, and the workflow run from an installed wheel in an empty folder."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import soundfile as sf
from flow import ROOT

pytestmark = pytest.mark.slow


def built(source: Path, folder: Path, *arguments: str) -> list[Path]:
    """Build distributions of a source tree."""
    pytest.importorskip("build")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *arguments, source]
    completed = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, which is built from the sdist, and the sdist."""
    wheel, sdist = built(ROOT, tmp_path_factory.mktemp("dist"))
    return wheel, sdist


@pytest.fixture(scope="module")
def installed(distributions: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment with the wheel, which borrows all other packages."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, symlinks=True)
    python = folder / "bin/python"
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", distributions[0]]
    subprocess.run(list(map(str, command)), check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "borrowed.pth").write_text(f"{Path(sf.__file__).parent}\n")
    return folder / "bin"


def run(program: Path, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [program, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, encoding="utf-8")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


def tracked(*places: str) -> set[str]:
    """Files of the repository in these places that git would keep."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", *places], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def test_the_wheel_holds_the_package_and_the_workflow_alone(distributions: tuple[Path, Path]) -> None:
    found = contents(distributions[0])
    workflow = {f"madsep/_workflow/{name}": name for name in tracked("Snakefile", "config.yaml", "workflow")}
    code = {name for name in found if ".dist-info/" not in name}
    assert code == tracked("madsep") | workflow.keys()
    for name, origin in workflow.items():
        assert found[name] == (ROOT / origin).read_bytes()


def test_the_sdist_builds_the_same_wheel(distributions: tuple[Path, Path], tmp_path: Path) -> None:
    (direct,) = built(ROOT, tmp_path, "--wheel")
    assert contents(direct) == contents(distributions[0])
    with tarfile.open(distributions[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"Makefile", "README.md", "hatch_build.py", "requirements.txt", "tests/test_wheel.py", ".ci/run"} <= names
    assert not any(name.startswith(("results/", "submission/", ".venv")) and not name.endswith(".gitkeep") for name in names)


def test_an_installed_wheel_runs_its_workflow_in_an_empty_folder(installed: Path, musdb: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    folder = tmp_path / "mine"
    assert run(installed / "madsep", "init", folder=folder).stdout == "config.yaml\n"
    options = ["--musdb-root", musdb, "--systems", "IRM1", "--set", "allow_partial=true", "--set", "scoring.engine=fast", "--cores", 2]
    outcome = run(installed / "madsep", "run", *options, "--", "results/table.txt", folder=folder)
    assert outcome.returncode == 0, outcome.stderr
    (command, system, *_) = outcome.stdout.splitlines()
    assert f"--snakefile {installed.parent}/lib/" in command and "/site-packages/madsep/_workflow/Snakefile --directory" in command
    assert system == "IRM1" and "index.html" not in outcome.stdout  # the pages were not asked for
    lines = outcome.stderr.splitlines()
    assert "7 jobs: 1 prepare" in outcome.stderr
    assert [line.split(":")[0] for line in lines if " of 7: " in line] == [f"{number} of 7" for number in range(1, 8)]
    assert "INFO:" not in outcome.stderr and lines[-1].startswith("7 of 7: table, ")
    assert sorted(path.name for path in folder.iterdir() if path.name[0] != ".") == ["config.yaml", "results", "submission"]


def test_profiles_of_an_installed_wheel_are_found_by_name(installed: Path, musdb: Path, tmp_path: Path) -> None:
    options = ["--musdb-root", musdb, "--systems", "IRM1", "--set", "allow_partial=true", "--profile", "local", "-n"]
    outcome = run(installed / "madsep", "run", *options, folder=tmp_path)
    assert outcome.returncode == 0 and "jobs: 1 prepare" in outcome.stderr
    assert "/site-packages/madsep/_workflow/workflow/profiles/local" in outcome.stdout
