"""A whole run that is killed again and again: the documented command makes of it, byte for byte, what an undisturbed run makes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from flow import ROOT, TINY, left_behind
from systems_flow import systems_config

from madsep.synth import make_dataset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
SEED, N_KILLS = int(os.environ.get("MADSEP_TEST_SEED", "1")), 30
HALF = "def half(audio, rate):\n    return {'vocals': audio / 2}\n"
# what differs between undisturbed runs, too: times, and the digests of files that hold times
OF_TIMES = ("logs", "benchmarks", "tensorboard", "digests.json", "provenance.yaml", "jobs/train.json", "records/weights.json")
WAIT_S = 600


class Runs:
    """Runs of one config, each in a folder of its own."""

    def __init__(self, root: Path) -> None:
        make_dataset(root / "musdb", 1, 2, 1.5, seed=3)
        external = {"HALF": {"separator": "half:half", "targets": ["vocals", "accompaniment"]}}
        config: dict[str, Any] = systems_config(root, systems=["MDL1", "HALF"], external=external, overrides={"MDL1": TINY})
        (root / "mine.yaml").write_text(yaml.safe_dump(config))
        self.root = root

    def folder(self, name: str) -> Path:
        (self.root / name).mkdir()
        (self.root / name / "half.py").write_text(HALF)
        return self.root / name

    def start(self, folder: Path, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start Snakemake in `folder`, in a session of its own; what it prints goes to a file."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile"]
        command += [ROOT / "config.yaml", self.root / "mine.yaml", "--cores", "2", *arguments]
        dated = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}  # of pages that tell when they were made
        with (folder / "printed.txt").open("ab") as printed:
            output: dict[str, Any] = {"stdout": printed, "stderr": subprocess.STDOUT, "start_new_session": True}
            return subprocess.Popen(list(map(str, command)), env=dated, **output)

    def run(self, folder: Path, *arguments: str) -> None:
        status = self.start(folder, *arguments).wait(WAIT_S)
        assert status == 0, (folder / "printed.txt").read_text(errors="replace")[-5000:]


def made(folder: Path) -> dict[str, bytes]:
    """All results by path, without those of times."""
    files = [path for name in ("results", "submission") for path in (folder / name).rglob("*") if path.is_file()]
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name != ".snakemake_timestamp"}
    return {path: data for path, data in found.items() if not any(f"/{word}" in path for word in OF_TIMES)}


def jobs_of(snakemake: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    """The processes that a Snakemake has started, and those that these have."""
    try:
        return psutil.Process(snakemake.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def disturb(snakemake: "subprocess.Popen[bytes]", rng: random.Random, kills: list[str], n_kills: int) -> bool:
    """Kill jobs, and Snakemake at last, alone or with all that it has started; whether it was Snakemake that was killed."""
    for number in range(n_kills):
        while snakemake.poll() is None and not jobs_of(snakemake):
            time.sleep(0.02)
        time.sleep(rng.uniform(0, 4))
        if snakemake.poll() is not None:
            return False
        if number == n_kills - 1 and rng.random() < 0.7:
            alone = rng.random() < 0.5
            kills.append("Snakemake" if alone else "all")
            (os.kill if alone else os.killpg)(snakemake.pid, signal.SIGKILL)
            snakemake.wait()
            return True
        if victims := jobs_of(snakemake):
            victim = rng.choice(victims)
            kills.append("job")
            victim.kill()
    snakemake.wait(WAIT_S)
    return False


def test_thirty_kills_change_nothing(tmp_path: Path) -> None:
    runs, rng, kills = Runs(tmp_path), random.Random(SEED), list[str]()
    undisturbed = runs.folder("undisturbed")
    runs.run(undisturbed)
    expected = made(undisturbed)
    assert {"results/table.txt", "results/compare/index.html", "submission/MDL1/description.md"} <= expected.keys()
    number = 0
    while len(kills) < N_KILLS:
        folder = runs.folder(f"killed{number}")
        number, again = number + 1, ()
        while len(kills) < N_KILLS:
            snakemake = runs.start(folder, "--keep-going", *again)
            if disturb(snakemake, rng, kills, min(rng.randrange(1, 5), N_KILLS - len(kills))):
                runs.run(folder, "--unlock")
            again = ("--rerun-incomplete",)
            if (folder / "results/compare/index.html").exists() and snakemake.returncode == 0:
                break
        runs.run(folder, "--rerun-incomplete")
        assert left_behind(folder) == []
        found = made(folder)
        assert found.keys() == expected.keys()
        assert [path for path in expected if found[path] != expected[path]] == []
    assert {"Snakemake", "all", "job"} == set(kills)
