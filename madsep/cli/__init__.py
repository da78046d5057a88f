"""The command line. Each command is one call into the package.

The modules of this folder define the commands and register them with `madsep.cli.base.app`. All of them are imported here.
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
    """Run the command line and end the process. Errors are shown as plain lines.

    The exit status is 1 for an error that the user can fix, and 2 for a defect of madsep or a mistake in the command line.
    """
    with job_log(prefix="madsep: "), interruptible():
        try:
            status = app(prog_name="madsep", standalone_mode=False)
        except TyperException as error:
            log.error("%s", mistake(error))
            status = error.exit_code
        sys.exit(status)
