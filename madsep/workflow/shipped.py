"""Files of the workflow that come with the package: Snakefile, config.yaml and the folder workflow/."""

from pathlib import Path

from madsep.core.errors import InputError
from madsep.core.files import write_text

CONFIG = "config.yaml"
PACKAGE = Path(__file__).resolve().parents[1]


def shipped(*parts: str) -> Path:
    """Return the path of a file or folder of the workflow, such as shipped("Snakefile").

    An installed package has them in madsep/_workflow, a checkout or an editable install at the top of the repository.
    Raises InputError if they are in neither place.
    """
    for root in (PACKAGE / "_workflow", PACKAGE.parent):
        if (root / "Snakefile").is_file():
            return root.joinpath(*parts)
    raise InputError(f"{PACKAGE}: the workflow's Snakefile was not found in this folder or next to it; install madsep again.")


def write_config(folder: Path) -> Path:
    """Copy the shipped config.yaml with its comments into a folder and return its path. Raises InputError if there is one."""
    path = folder / CONFIG
    if path.exists() or path.is_symlink():
        raise InputError(f"{path}: exists already and was not changed. To start again from the defaults, move it away first.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, shipped(CONFIG).read_text(encoding="utf-8"))
    return path
