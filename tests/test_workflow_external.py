"""Systems made elsewhere in runs of the workflow: what makes them be separated again, what they may be called, and how they fail."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow import Run, final_faults, left_behind, run
from systems_flow import ALONE, install_plugin, job_of, read_int16, systems_config

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("external")]
HALF = "def separate(audio, rate):\n    return {'vocals': audio / 2}\n"
THIRD = HALF.replace("2", "3")
ODD_NAMES = ("../x", "br{a}ce", "MIX", "COMPARE")
FAILING = """
import os

def dies(audio, rate):
    os._exit(0)

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


def estimated(songs: Path, *systems: str) -> list[str]:
    return [f"results/{system}/estimates/jobs/{job_of(songs / 'musdb/test')}.json" for system in systems]


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
    return Run(folder, config, run(folder, config, *estimated(songs, *config["systems"])))


def planned(finished: Run, songs: Path) -> set[str]:
    """The systems that a dry run would separate."""
    outcome = run(finished.folder, finished.config, "--dry-run", *estimated(songs, *finished.config["systems"]))
    assert outcome.status == 0, outcome.text
    return set(re.findall(r"^ +output: results/([\w-]+)/estimates/", outcome.text, re.MULTILINE))


def test_only_systems_whose_code_or_wavs_have_changed_are_separated_again(
    separated: Run, songs: Path, site: Path, names: list[str]
) -> None:
    assert separated.outcome.jobs == {"prepare": 1, "separate_external": 7}
    assert planned(separated, songs) == set()
    folder = separated.folder
    (folder / "edited.py").write_text(THIRD)
    rewritten = folder / "rewritten/test" / names[1] / "vocals.wav"
    rewritten.write_bytes(rewritten.read_bytes()[:-2] + b"\1\2")
    shutil.rmtree(folder / "lacking/test" / names[2])
    (site / "recoded/__init__.py").write_text(THIRD)
    (site / "renewed-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: renewed\nVersion: 1.3\n")
    assert planned(separated, songs) == {"EDITED", "REWRITTEN", "LACKING", "RECODED", "RENEWED"}


# failures


def test_jobs_that_fail_each_end_in_a_plain_line_and_a_callable_may_change_the_folder(
    songs: Path, names: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "failing.py").write_text(FAILING)
    external = {name.upper(): {"separator": f"failing:{name}"} for name in ("dies", "moves", "stems")}
    config = systems_config(songs, systems=list(external), external=external)
    faults = final_faults(run(folder, config, "--keep-going", *estimated(songs, *external)))
    ends = {
        "dies": "the callable ended its process with exit status 0 instead of returning; the fault is in the separator.",
        "stems": "returned vocals, drums, bass, other, but no targets were declared, so vocals and accompaniment were expected; set "
        'its attribute madsep_targets = ("vocals", "drums", "bass", "other"), or targets: [vocals, drums, bass, other] '
        "in its entry of external.",
    }
    expected = [f"separator failing:{system}, {name}: {end}" for system, end in ends.items() for name in names]
    assert sorted(line.removeprefix("ERROR: ") for line in faults) == sorted(expected)
    for name in names:
        vocals, mixture = (
            read_int16(path / name / f"{signal}.wav")
            for path, signal in ((folder / "results/MOVES/estimates/test", "vocals"), (songs / "musdb/test", "mixture"))
        )
        assert abs(2 * vocals - mixture).max() <= 1
    assert left_behind(folder) == []
