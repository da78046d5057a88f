"""`madsep run`: the config and the data are looked at first, then the repository's workflow is started by Snakemake."""

import contextlib
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.files import scratch_folder, write_json
from madsep.workflow.locks import is_locked
from madsep.workflow.make import make_plan
from madsep.workflow.settings import merged, parse_change, read_settings

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


def prepare_run(wanted: Wanted) -> list[str]:
    """Check the config, the folder and the data, write the settings into results/run.json, and return Snakemake's command.

    Raises InputError for each thing that is wrong, before anything is started.
    """
    root = repository()
    schema = root / "workflow/schemas/config.schema.yaml"
    config = read_settings([root / "config.yaml", *_own(wanted.directory, root), *wanted.files])
    for change in wanted.changes:
        config = merged(config, parse_change(change, schema))
    folder = wanted.directory.absolute()
    if is_locked(folder) and not set(STARTERS) & set(wanted.arguments):
        raise InputError(
            f"{folder}: a run is active in this folder. Wait for it. If there is none because Snakemake was killed, run the same command "
            "once with `-- --unlock` at its end, then once with `-- --rerun-incomplete`."
        )
    _check_writable(folder)
    with contextlib.chdir(folder):
        make_plan(dict(config), schema, is_main=True)
        if not is_locked(folder):
            write_json(SETTINGS, config)
    return _command(wanted, root, folder)


def repository() -> Path:
    """Return the folder of the repository that this package lies in. Raises InputError if its Snakefile is not there."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "Snakefile").is_file():
        raise InputError(
            f"{root / 'Snakefile'}: is not there; `madsep run` needs the repository. Clone it, and install madsep from it: pip install -e ."
        )
    return root


def _own(directory: Path, root: Path) -> list[Path]:
    """The run's own config.yaml, which Snakemake reads as well."""
    own = directory / "config.yaml"
    return [own] if own.is_file() and not own.samefile(root / "config.yaml") else []


def _check_writable(folder: Path) -> None:
    """Raise InputError unless the folders of the run and of Snakemake can be written."""
    for name in ("results", "submission", ".snakemake"):
        with scratch_folder(folder / name):
            pass


def _command(wanted: Wanted, root: Path, folder: Path) -> list[str]:
    command = ["--snakefile", str(root / "Snakefile"), "--directory", str(folder), "--configfile", str(folder / SETTINGS)]
    if wanted.profile is not None:
        places = (Path(wanted.profile), root / wanted.profile, root / "workflow/profiles" / wanted.profile)
        command += ["--profile", next((str(path.absolute()) for path in places if path.is_dir()), wanted.profile)]
    if wanted.cores is not None or wanted.profile is None:
        command += ["--cores", wanted.cores or "all"]
    return [sys.executable, "-m", "snakemake", *command, *wanted.arguments]


def shown(command: Sequence[str]) -> str:
    """Return Snakemake's command as a person types it."""
    return shlex.join(["snakemake", *command[3:]])
