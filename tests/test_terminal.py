"""madsep in a terminal: bars, Ctrl-C at any moment, completion."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from flow import ROOT, tiny_config
from terminal import CTRL_C, Terminal
from tiny import tiny_checkpoint
from wavs import noise_stems, save_checkpoint, write_track

from madsep.core.temporary import TEMPORARY

MADSEP = [sys.executable, "-m", "madsep"]
PROMISE = "madsep: ERROR: interrupted; nothing half-written is left"


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def check_interrupted(terminal: Terminal, folder: Path) -> None:
    """It has ended with the promised line, and neither temporary files nor processes that work in the folder are left."""
    assert terminal.wait() == 130, terminal.text
    assert "Traceback" not in terminal.text
    assert PROMISE in terminal.text.splitlines()[-1], terminal.text
    assert not list(folder.rglob(f"{TEMPORARY}*"))
    at_work = [found.info["cmdline"] for found in psutil.process_iter(["cwd", "cmdline"]) if found.info["cwd"] == str(folder)]
    assert at_work == []


def test_ctrl_c_while_the_command_line_is_loaded() -> None:
    code = (
        "import sys\n"
        "class Slow:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from madsep.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", f"{PROMISE}\n")


@pytest.mark.slow
def test_scores_of_two_processes_in_a_terminal(tmp_path: Path) -> None:
    for number, name in enumerate(("A [live]", "B")):
        write_track(tmp_path / "data/test" / name, noise_stems(number, 4.0))
    command = [*MADSEP, "score", "data", "data", "-o", "scores", "--jobs", "2"]
    stopped = Terminal(command, tmp_path, PYTHONPATH=str(ROOT))
    stopped.wait_for("scoring")
    stopped.type(CTRL_C)
    check_interrupted(stopped, tmp_path)
    assert not (tmp_path / "scores").exists() or all(name.endswith(".json") for name in files_in(tmp_path / "scores"))
    whole = Terminal(command, tmp_path, PYTHONPATH=str(ROOT))
    assert whole.wait() == 0, whole.text
    assert "2/2" in whole.text and "A [live]" in whole.text and "vocals" in whole.text
    # each line of the log is a line: what stood there is erased first
    assert all(before.endswith(("\x1b[2K", "\n")) for before in whole.text.split("madsep: INFO: scored")[:-1])


@pytest.mark.slow
def test_a_separation_stopped_half_way(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tiny_checkpoint(), tmp_path / "checkpoint.safetensors")
    write_track(tmp_path / "song", noise_stems(0, 60.0))
    command = [*MADSEP, "separate", checkpoint, "song/mixture.wav", "-o", "out", "--device", "cpu"]
    stopped = Terminal(command, tmp_path, PYTHONPATH=str(ROOT))
    stopped.wait_for("separating mixture.wav")
    stopped.type(CTRL_C)
    check_interrupted(stopped, tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_stopped_and_resumed(tmp_path: Path, musdb: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiny_config(musdb, systems=["MDL1"])))
    command = [*MADSEP, "run", "--config-file", "mine.yaml", "--cores", "2"]
    for moment in ("snakemake --quiet", " jobs: ", "1 of "):  # Snakemake loads, the first jobs load, the first is finished
        stopped = Terminal(command, tmp_path, PYTHONPATH=str(ROOT))
        stopped.wait_for(moment)
        stopped.type(CTRL_C)
        check_interrupted(stopped, tmp_path)
        assert "failed: " not in stopped.text and "RuleException" not in stopped.text
        assert not [*tmp_path.glob(".snakemake/locks/*")]
    whole = Terminal(command, tmp_path, PYTHONPATH=str(ROOT))
    assert whole.wait() == 0, whole.text
    assert "submission: " in whole.text


@pytest.mark.slow
def test_completion_in_bash(tmp_path: Path) -> None:
    program = tmp_path / "bin/madsep"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m madsep "$@"\n')
    program.chmod(0o755)
    variables = {"HOME": str(tmp_path), "PATH": f"{program.parent}:/usr/bin:/bin", "PS1": "$ "}
    subprocess.run([program, "--install-completion", "bash"], env=variables, check=True, capture_output=True)
    shell = Terminal(["/bin/bash", "--noprofile", "-i"], tmp_path, **variables)
    shell.type(b"madsep sepa\t")
    shell.wait_for("madsep separate ", 30)
    shell.type(b"-h\n")
    shell.wait_for("Usage: madsep separate", 30)
    shell.type(b"exit\n")
    assert shell.wait() == 0
