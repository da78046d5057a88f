"""Systems made elsewhere in runs of the workflow: what makes them be separated again, what they may be called, and how they fail."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flow import Run, final_faults, left_behind, own_lines, run, side_by_side
from systems_flow import ALONE, BATCH, install_plugin, read_int16, systems_config

HALF = "def separate(audio, rate):\n    return {'vocals': audio / 2}\n"
THIRD = HALF.replace("2", "3")
ODD_NAMES = ("../x", "br{a}ce", "MIX", "COMPARE")
FAILING = """
import os

def dies(audio, rate):
    os._exit(3)

def moves(audio, rate):
    os.chdir("/")
    return {"vocals": audio / 2}

def stems(audio, rate):
    return {name: audio / 4 for name in ("vocals", "drums", "bass", "other")}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of installed packages, for the runs of this module."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield folder


def manifests(*systems: str) -> list[str]:
    return [f"results/{system}/estimates/{BATCH}.json" for system in systems]


# again


@pytest.fixture(scope="module")
def separated(songs: Path, site: Path, names: list[str], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Estimates by modules of the run's folder, of installed packages and of folders."""
    folder = tmp_path_factory.mktemp("separated") / "run"
    folder.mkdir()
    for module in ("edited", "kept"):
        (folder / f"{module}.py").write_text(HALF)
    for root in ("rewritten", "lacking", "2019"):
        for name in names:
            (folder / root / "test" / name).mkdir(parents=True)
            shutil.copy(songs / "musdb/test" / name / "vocals.wav", folder / root / "test" / name)
    for package in ("recoded", "renewed"):
        install_plugin(site, package, {package.upper(): "separate"}, HALF)
    targets = list(ALONE)  # with these no module is imported when the run is planned
    external = {name.upper(): {"separator": f"{name}:separate", "targets": targets} for name in ("edited", "kept")}
    external |= {"REWRITTEN": {"estimates": "rewritten"}, "LACKING": {"estimates": "lacking"}, "2024": {"estimates": "2019"}}
    config = systems_config(songs, systems=[*external, "RECODED", "RENEWED"], external=external)
    return Run(folder, config, run(folder, config, *manifests(*config["systems"])))


def planned(finished: Run) -> set[str]:
    """The systems that a dry run would separate."""
    outcome = run(finished.folder, finished.config, "--dry-run", *manifests(*finished.config["systems"]))
    assert outcome.status == 0, outcome.text
    return set(re.findall(r"^ +output: results/([\w-]+)/estimates/", outcome.text, re.MULTILINE))


def test_only_systems_whose_code_or_wavs_have_changed_are_separated_again(separated: Run, site: Path, names: list[str]) -> None:
    assert separated.outcome.jobs == {"prepare": 1, "separate_external": 7}
    assert planned(separated) == set()
    folder = separated.folder
    (folder / "edited.py").write_text(THIRD)
    rewritten = folder / "rewritten/test" / names[1] / "vocals.wav"
    rewritten.write_bytes(rewritten.read_bytes()[:-2] + b"\1\2")
    shutil.rmtree(folder / "lacking/test" / names[2])
    (site / "recoded/__init__.py").write_text(THIRD)
    (site / "renewed-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: renewed\nVersion: 1.3\n")
    assert planned(separated) == {"EDITED", "REWRITTEN", "LACKING", "RECODED", "RENEWED"}


# failures


def test_jobs_that_fail_each_end_in_a_plain_line_and_a_callable_may_change_the_folder(
    songs: Path, names: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "failing.py").write_text(FAILING)
    external = {name.upper(): {"separator": f"failing:{name}"} for name in ("dies", "moves", "stems")}
    config = systems_config(songs, systems=list(external), external=external)
    faults = final_faults(run(folder, config, "--keep-going", *manifests(*external)))
    assert sorted(faults) == [
        f"ERROR: results/logs/separate/DIES/{BATCH}.log: the job ended without a message (killed, or out of memory?); "
        "last line: INFO: estimates by separator failing:dies (config)",
        f"ERROR: separator failing:stems, {names[0]}: returned vocals, drums, bass, other, but its targets, which nobody has set, are "
        'vocals and accompaniment; set its attribute madsep_targets = ("vocals", "drums", "bass", "other"), or targets: '
        "[vocals, drums, bass, other] in its entry of external.",
    ]
    for name in names:
        vocals, mixture = (
            read_int16(path / name / f"{signal}.wav")
            for path, signal in ((folder / "results/MOVES/estimates/test", "vocals"), (songs / "musdb/test", "mixture"))
        )
        assert abs(2 * vocals - mixture).max() <= 1
    assert left_behind(folder) == []


# refusals


@pytest.fixture(scope="module")
def refused(songs: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Name of a mistake -> the lines that end the run before anything is done."""
    root = tmp_path_factory.mktemp("mistakes")
    (root / "old/test/0 not a track").mkdir(parents=True)
    install_plugin(site, "odd_names", dict.fromkeys(ODD_NAMES, "separate"), HALF)
    install_plugin(site, "broken", {"BROKEN": "separate"}, "raise OSError('no weights')\n")
    folder = {"estimates": str(root / "old")}
    changes: dict[str, dict[str, Any]] = {name: {"systems": [name]} for name in (*ODD_NAMES, "BROKEN")}
    changes |= {
        f"external {name}": {"systems": ["MDL1"], "external": {name: folder}} for name in ("", "my sep", "MIX", "HEL1", "prepared-four")
    }
    changes["number"] = {"systems": ["MDL1"], "external": {2024: folder}}
    changes["no tracks"] = {"systems": ["2024"], "external": {"2024": folder}}
    changes["absent"] = {"systems": ["OLD"], "external": {"OLD": {"estimates": "2019", "targets": ["vocals"]}}}
    folders = [root / f"run-{number}" for number in range(len(changes))]
    outcomes = side_by_side(run, folders, [systems_config(songs, **change) for change in changes.values()])
    assert all(outcome.status != 0 for outcome in outcomes)
    assert all([path.name for path in folder.iterdir()] == [".snakemake"] for folder in folders)
    return {name: own_lines(outcome) for name, outcome in zip(changes, outcomes, strict=True)}


OF_PACKAGE = "(package odd_names 1.2) cannot be the name of a system here: "
CHARACTERS = "it holds other characters than letters, digits, +, - and _; "


@pytest.mark.parametrize(
    ("mistake", "beginning"),
    [
        ("../x", f"systems: '../x' {OF_PACKAGE}{CHARACTERS}"),
        ("br{a}ce", f"systems: 'br{{a}}ce' {OF_PACKAGE}{CHARACTERS}"),
        ("MIX", f"systems: 'MIX' {OF_PACKAGE}it is that of the floor, which every run scores; "),
        ("COMPARE", f"systems: 'COMPARE' {OF_PACKAGE}the run keeps files of its own in results/compare; "),
        (
            "BROKEN",
            "BROKEN (package broken 1.2): separator broken:separate: importing broken failed: OSError: no weights",
        ),
        ("external ", "external: '' cannot be the name of a system here: it is empty; "),
        ("external my sep", f"external: 'my sep' cannot be the name of a system here: {CHARACTERS}"),
        ("external MIX", "external: 'MIX' cannot be the name of a system here: it is that of the floor, "),
        ("external HEL1", "external: 'HEL1' cannot be the name of a system here: it is that of a recipe; "),
        ("external prepared-four", "external: 'prepared-four' cannot be the name of a system here: the run keeps files of its own in "),
        ("number", "config: 'external': the name 2024 is not text to YAML; put it in quotes."),
        ("no tracks", "2024 (config): estimates "),
        ("absent", "OLD (config): 2019: no such folder; expected test/<track>/<target>.wav, as museval reads them."),
    ],
)
def test_mistakes_end_in_one_plain_line(refused: dict[str, list[str]], mistake: str, beginning: str) -> None:
    (line,) = refused[mistake]
    assert line.startswith(f"ERROR: {beginning}")
