"""Five hundred damaged files of each kind, by seed: only right results or plain lines come of them, soon and with little memory."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from flow import ROOT
from fuzzing import KINDS, damaged

SEED, COUNT = int(os.environ.get("MADSEP_TEST_SEED", "1")), 500
LIMIT_S = 300  # for all variants of a kind


def fuzz(kind: str, folder: Path, seed: int = SEED, count: int = COUNT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests/fuzzing.py"), kind, str(seed), str(count), str(folder)]
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    return subprocess.run(command, env=variables, capture_output=True, encoding="utf-8", timeout=LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_does_more_than_a_plain_line(tmp_path: Path, kind: str) -> None:
    completed = fuzz(kind, tmp_path)
    assert completed.returncode == 0, completed.stderr
    faults = [json.loads(line) for line in completed.stdout.splitlines()]
    assert faults == [], "\n".join(f"{fault['variant']}: {fault['fault']}" for fault in faults)


def test_the_same_seed_gives_the_same_damage_and_another_one_other_damage() -> None:
    data = bytes(range(256))
    found = [damaged(data, random.Random(f"wav {seed} 0"), 100) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2] and found[0] != data


@pytest.mark.slow
def test_the_fuzz_finds_what_it_looks_for(tmp_path: Path) -> None:
    """With a reader that is broken in each of the ways that count."""
    code = """
import json, logging, sys, time
from pathlib import Path
import fuzzing
from madsep.core.errors import InputError

def broken(path):
    number = int(path.parent.name)
    if number == 1:
        raise InputError("somewhere")
    if number == 2:
        raise KeyError("x")
    if number == 3:
        time.sleep(60)
    if number == 4:
        bytes([1]) * 1_200_000_000

fuzzing.HANG_S = 15
make = lambda folder: fuzzing.Kind(lambda place, rng: place / "file", broken)
fuzzing.KINDS["broken"] = make
fuzzing.main("broken", 1, 6, Path(sys.argv[1]))
"""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])}
    completed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "f")], env=variables, capture_output=True, encoding="utf-8")
    faults = {fault["variant"]: fault["fault"] for fault in map(json.loads, completed.stdout.splitlines())}
    assert faults.keys() == {1, 2, 3, 4}, completed.stderr
    assert "file's name: somewhere" in faults[1] and "KeyError: 'x'" in faults[2] and "Hang: took" in faults[3] and "MB" in faults[4]
