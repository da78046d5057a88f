"""The command line: what a person types, each verb one call into the package.

Each module of this folder holds a few verbs and registers them on `madsep.cli.base.app`. All modules are imported here.
"""

import importlib
import pkgutil

from madsep.cli.base import app
from madsep.core.logs import job_log
from madsep.core.signals import interruptible

__all__ = ["app", "main"]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)


def main() -> None:
    """Run the command line; what a user can mend ends as a plain line and exit status 1, a defect as one and status 2."""
    with job_log(prefix="madsep: "), interruptible():
        app()
