"""`madsep run`: the config and the data are looked at first, then the workflow is started by Snakemake."""

import contextlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from madsep.core.errors import InputError, require
from madsep.core.files import scratch_folder, write_json
from madsep.core.yaml_files import read_yaml
from madsep.workflow.locks import is_locked
from madsep.workflow.make import make_plan
from madsep.workflow.settings import merged, parse_change, read_settings
from madsep.workflow.shipped import CONFIG, shipped

SETTINGS = "results/run.json"  # what a run was started with: all of its settings
STARTERS = ("--unlock", "--dry-run", "--dryrun", "-n", "--cleanup-metadata")  # of Snakemake: what a lock does not forbid


@dataclass(frozen=True)
class Wanted:
    """What `madsep run` was asked for; paths are relative to the current folder."""

    files: Sequence[Path]  # laid over config.yaml, the last one on top
    changes: Sequence[str]  # KEY=VALUE with dotted keys and YAML values, on top of the files
    directory: Path  # of results/ and submission/
    cores: str | None
    profile: str | None
    arguments: Sequence[str]  # Snakemake's own
    verbose: bool = False  # show all of Snakemake's lines and those of the jobs; otherwise one line per finished job


def prepare_run(wanted: Wanted) -> list[str]:
    """Check the config, the folder and the data, write the settings into results/run.json, and return Snakemake's command.

    Raises InputError for each thing that is wrong, before anything is started.
    """
    require("snakemake", "madsep run")
    config = read_settings([shipped(CONFIG), *_own(wanted.directory), *wanted.files])
    for change in wanted.changes:
        config = merged(config, parse_change(change))
    folder = wanted.directory.absolute()
    if is_locked(folder) and not set(STARTERS) & set(wanted.arguments):
        raise InputError(
            f"{folder}: a run is active in this folder. Wait for it. If there is none because Snakemake was killed, run the same command "
            "once with `-- --unlock` at its end, then once with `-- --rerun-incomplete`."
        )
    _check_writable(folder)
    with contextlib.chdir(folder):
        make_plan(dict(config), is_main=True)
        if not is_locked(folder):
            write_json(SETTINGS, config)
    return _command(wanted, folder)


def _own(directory: Path) -> list[Path]:
    """The run's own config.yaml, which Snakemake reads as well."""
    own = directory / CONFIG
    return [own] if own.is_file() and not own.samefile(shipped(CONFIG)) else []


def _check_writable(folder: Path) -> None:
    """Raise InputError unless the folders of the run and of Snakemake can be written."""
    for name in ("results", "submission", ".snakemake"):
        with scratch_folder(folder / name):
            pass


def _command(wanted: Wanted, folder: Path) -> list[str]:
    # --quiet takes all words up to the next option
    command = [*([] if wanted.verbose else ["--quiet", "rules", "host"]), "--snakefile", str(shipped("Snakefile"))]
    command += ["--directory", str(folder), "--configfile", str(folder / SETTINGS)]
    if wanted.profile is not None:
        command += ["--profile", _profile(wanted.profile)]
    if wanted.cores is not None or wanted.profile is None:
        command += ["--cores", wanted.cores or "all"]
    return [sys.executable, "-m", "snakemake", *command, *wanted.arguments]


def _profile(name: str) -> str:
    """Return the path of a profile: a folder, or the name of one that ships. Raises InputError if the plugin of its executor is missing."""
    places = (Path(name), shipped(name), shipped("workflow/profiles", name))
    found = next((path.absolute() for path in places if path.is_dir()), None)
    if found is None:
        return name  # which Snakemake looks for in its own places
    settings = found / "config.yaml"
    executor = read_yaml(settings).get("executor") if settings.is_file() else None
    require(f"snakemake_executor_plugin_{executor}".replace("-", "_"), f"the profile {name}")
    return str(found)


def shown(command: Sequence[str]) -> str:
    """Return Snakemake's command as a person types it."""
    return shlex.join(["snakemake", *command[3:]])
