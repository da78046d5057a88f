"""The command line: what a person types, each verb one call into the package.

Each module of this folder holds a few verbs and registers them on `madsep.cli.base.app`. All modules are imported here.
"""

import importlib
import pkgutil
import sys

from typer.exceptions import TyperException

from madsep.cli.base import app, mistake
from madsep.core.logs import job_log, log
from madsep.core.signals import interruptible

__all__ = ["app", "main"]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)


def main() -> None:
    """Run the command line; what a user can mend ends as a plain line and exit status 1, a defect as one and status 2.

    A mistake in the command line itself ends as a plain line and exit status 2, too.
    """
    with job_log(prefix="madsep: "), interruptible():
        try:
            status = app(prog_name="madsep", standalone_mode=False)
        except TyperException as error:
            log.error("%s", mistake(error))
            status = error.exit_code
        sys.exit(status)
