"""`madsep run`: check the config and the data, then start the workflow with Snakemake."""

import contextlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from madsep.core.errors import InputError, require
from madsep.core.files import scratch_folder, write_json
from madsep.core.yaml_files import read_yaml
from madsep.workflow.config import check_config
from madsep.workflow.locks import is_locked
from madsep.workflow.make import make_plan
from madsep.workflow.settings import keys_in, merged, parse_change, places, read_settings
from madsep.workflow.shipped import CONFIG, shipped

SETTINGS = "results/run.json"  # all settings of the last run
STARTERS = ("--unlock", "--dry-run", "--dryrun", "-n", "--cleanup-metadata")  # options of Snakemake that a lock allows


@dataclass(frozen=True)
class Wanted:
    """Options of `madsep run`. Paths are relative to the current folder."""

    files: Sequence[Path]  # override config.yaml and the files before them
    changes: Sequence[str]  # KEY=VALUE with dotted keys and YAML values; override the files
    directory: Path  # holds results/ and submission/
    cores: str | None
    profile: str | None
    arguments: Sequence[str]  # for Snakemake
    verbose: bool = False  # show all output of Snakemake and of the jobs instead of one line per finished job


def prepare_run(wanted: Wanted) -> list[str]:
    """Check the config, the folder and the data, write the settings into results/run.json, and return Snakemake's command.

    Raises InputError if anything is wrong, before any job starts.
    """
    require("snakemake", "madsep run")
    files = [*_own(wanted.directory), *map(_settings_file, wanted.files)]
    config = read_settings([shipped(CONFIG), *files])
    where = places(files)
    for change in wanted.changes:
        settings = parse_change(change)
        config = merged(config, settings)
        where.update(dict.fromkeys(keys_in(settings), f"--set {change}"))
    check_config(config, where)
    folder = wanted.directory.absolute()
    if is_locked(folder) and not set(STARTERS) & set(wanted.arguments):
        raise InputError(
            f"{folder}: a run is active in this folder. Wait for it. If there is none because Snakemake was killed, run the same command "
            "once with `-- --unlock` at its end, then once more without."
        )
    _check_writable(folder)
    with contextlib.chdir(folder):
        make_plan(dict(config), is_main=True)
        if not is_locked(folder):
            write_json(SETTINGS, config)
    return _command(wanted, folder)


def _settings_file(path: Path) -> Path:
    """Return the file of settings at `path`, or the one that ships at that place, such as workflow/configs/mir1k.yaml."""
    of_package = shipped(str(path))
    return of_package if not path.exists() and of_package.is_file() else path


def _own(directory: Path) -> list[Path]:
    """Return the config.yaml in the folder of the run, if there is one. Snakemake reads it as well."""
    own = directory / CONFIG
    return [own] if own.is_file() and not own.samefile(shipped(CONFIG)) else []


def _check_writable(folder: Path) -> None:
    """Raise InputError unless the folders of the run and of Snakemake are writable."""
    for name in ("results", "submission", ".snakemake"):
        with scratch_folder(folder / name):
            pass


def _command(wanted: Wanted, folder: Path) -> list[str]:
    # --quiet takes all words up to the next option. Snakemake takes a job that ends while its run is stopped for unfinished
    command = [*([] if wanted.verbose else ["--quiet", "rules", "host"]), "--rerun-incomplete", "--snakefile", str(shipped("Snakefile"))]
    command += ["--directory", str(folder), "--configfile", str(folder / SETTINGS)]
    if wanted.profile is not None:
        command += ["--profile", _profile(wanted.profile)]
    if wanted.cores is not None or wanted.profile is None:
        command += ["--cores", wanted.cores or "all"]
    return [sys.executable, "-m", "madsep.workflow", *command, *wanted.arguments]


def _profile(name: str) -> str:
    """Return the path of a profile, given as a folder or by name. Raises InputError if the plugin of its executor is missing."""
    places = (Path(name), shipped(name), shipped("workflow/profiles", name))
    found = next((path.absolute() for path in places if path.is_dir()), None)
    if found is None:
        return name  # Snakemake searches its own folders for it
    settings = found / "config.yaml"
    executor = read_yaml(settings).get("executor") if settings.is_file() else None
    require(f"snakemake_executor_plugin_{executor}".replace("-", "_"), f"the profile {name}")
    return str(found)


def shown(command: Sequence[str]) -> str:
    """Return Snakemake's command as a user would type it."""
    return shlex.join(["snakemake", *command[3:]])
