"""Check that madsep and its tools can write results, temporary files and caches."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from madsep.core.errors import one_line


def unwritable(results: Path) -> Iterator[tuple[str, str]]:
    """Yield a line and a remedy for each place that cannot be written: the results, temporary files, and the caches of the tools."""
    yield from _fault("results", results, "work in a folder that you may write to, on a disk with free space")
    try:
        yield from _fault("temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder that you may write to")
    except OSError as error:  # no temporary folder exists
        yield f"temporary files: {one_line(error)}", "set TMPDIR to a folder that you may write to"
    remedy = "set XDG_CACHE_HOME and MPLCONFIGDIR to folders that you may write to"
    for tool, folder in _caches().items():
        yield from _fault(f"{tool}'s cache", folder, remedy)


def _caches() -> dict[str, Path]:
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home folder
        cache = Path("~/.cache")
    return {"Snakemake": cache / "snakemake", "Matplotlib": Path(os.environ.get("MPLCONFIGDIR") or cache / "matplotlib")}


def _fault(what: str, folder: Path, remedy: str) -> Iterator[tuple[str, str]]:
    """Yield a fault if no file can be created in `folder` or, if it does not exist, in its nearest existing parent."""
    try:
        existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        with tempfile.TemporaryFile(dir=existing):
            return
    except OSError as error:
        yield f"{what}: {folder} cannot be written ({error.strerror or one_line(error)})", remedy
