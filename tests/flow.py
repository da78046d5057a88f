"""Run the whole workflow as a user would, in a separate folder and with a tiny recipe."""

import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "front_end": {"window_length": 257, "fft_length": 512, "hop_length": 256},
    "network": {"n_encoder_bins": 24, "n_denoiser_hidden": 24},
    "segments": {"n_frames": 20, "n_context": 2},
    "training": {"n_epochs": 1, "learning_rate": 1.0e-3},
}
NUMBERS = itertools.count()


def tiny_config(musdb_root: Path, **changes: Any) -> dict[str, Any]:
    """Return the settings of a run on the CPU with one thread per job, so that two jobs run at the same time."""
    return {
        "musdb_root": str(musdb_root),
        "allow_partial": True,
        "device": "cpu",
        "threads": {"train": 1, "separate": 1, "score": 1},
        "bootstrap": {"n_resamples": 200, "seed": 1},
        "overrides": {"MDL1": TINY},
    } | changes


def with_recipe(config: Mapping[str, Any], **sections: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with single keys of the recipe's sections changed."""
    recipe = config["overrides"]["MDL1"]
    return {**config, "overrides": {"MDL1": recipe | {key: recipe.get(key, {}) | value for key, value in sections.items()}}}


class Outcome:
    """Exit status and output of a run."""

    def __init__(self, completed: subprocess.CompletedProcess[str]) -> None:
        self.status, self.text = completed.returncode, completed.stdout
        self.lines = self.text.splitlines()

    @property
    def jobs(self) -> dict[str, int]:
        """Number of jobs by rule, without the target rule and the total. Empty if there was nothing to do."""
        assert self.status == 0, self.text
        if "Nothing to be done" in self.text:
            return {}
        table = self.text.partition("Job stats:\n")[2].partition("\n\n")[0]
        counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
        assert counts.pop("total") == sum(counts.values())
        counts.pop("all", None)
        return counts


def run(folder: Path, config: Mapping[str, Any], *arguments: str) -> Outcome:
    """Run the workflow in `folder` with `config` on top of config.yaml. `arguments` are passed to Snakemake."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder.parent / f"{folder.name}-{next(NUMBERS)}.yaml"
    settings.write_text(yaml.safe_dump(dict(config)))
    files = ["--snakefile", ROOT / "Snakefile", "--directory", folder, "--configfile", ROOT / "config.yaml", settings]
    command = [sys.executable, "-m", "snakemake", *map(str, files), "--cores", "2", *arguments]
    return Outcome(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8"))


def dry_run(folder: Path, config: Mapping[str, Any]) -> Outcome:
    """Start a dry run, which neither locks nor changes `folder`."""
    return run(folder, config, "--dry-run", "--quiet", "rules")


def side_by_side(function: Callable[..., Outcome], *arguments: Sequence[Any]) -> list[Outcome]:
    """Map `function` over `arguments`, two calls at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(function, *arguments))


def own_lines(outcome: Outcome) -> list[str]:
    """Return the workflow's own error lines, which follow Snakemake's line about the config."""
    assert "Traceback" not in outcome.text
    (start,) = (number for number, line in enumerate(outcome.lines) if line.startswith("ERROR: "))
    assert all(line.startswith("Config file") for line in outcome.lines[:start])
    return outcome.lines[start:]


def final_faults(outcome: Outcome) -> list[str]:
    """Return the lines that `onerror` prints after Snakemake has shut down."""
    assert outcome.status != 0
    assert "Traceback" not in outcome.text
    after = outcome.lines[next(i for i, line in enumerate(outcome.lines) if line.startswith("Exiting because")) + 1 :]
    end = next(i for i, line in enumerate(after) if line.startswith("Complete log"))
    return [line for line in after[:end] if line]


def left_behind(folder: Path) -> list[Path]:
    """Return the temporary files below results/ and submission/, except Snakemake's timestamps of folders."""
    hidden = [path for name in ("results", "submission") for path in (folder / name).rglob(".*")]
    return [path for path in hidden if path.name != ".snakemake_timestamp"]


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, settings and outcome."""

    folder: Path
    config: dict[str, Any]
    outcome: Outcome

    @property
    def submission(self) -> Path:
        return self.folder / "submission/MDL1"

    @property
    def provenance(self) -> dict[str, Any]:
        return yaml.safe_load((self.submission / "provenance.yaml").read_text(encoding="utf-8"))
