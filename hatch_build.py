"""Build hook that puts the workflow's files into the wheel, in madsep/_workflow and with the same layout."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES = ("Snakefile", "config.yaml", "workflow")
LEFT_OUT = {".sif", ".pyc"}  # a locally built image, caches


class Workflow(BuildHookInterface):
    """Adds the workflow to the wheel. An editable install uses the files of the repository."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the workflow's files to the files that the wheel includes."""
        if version == "standard":
            root = Path(self.root)
            found = [path for place in PLACES for path in (root / place, *(root / place).rglob("*"))]
            names = [path.relative_to(root).as_posix() for path in found if path.is_file() and path.suffix not in LEFT_OUT]
            build_data["force_include"] |= {name: f"madsep/_workflow/{name}" for name in names}
