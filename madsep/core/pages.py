"""Self-contained HTML pages: a shared frame, escaped values, and a footer with their origin."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

import madsep
from madsep.core.provenance import git_commit

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, folder: Path, **values: Any) -> str:
    """Return a template of `folder` as HTML. It may extend page_base.html, the frame that all pages share.

    Values are escaped wherever a template shows them. Raises jinja2.UndefinedError if the template uses a value that was not passed.
    """
    loader = jinja2.FileSystemLoader([folder, TEMPLATES])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # keys keep their order
    return environment.get_template(template).render(origin=origin(), **values)


def origin() -> dict[str, str]:
    """Return the origin of a page as text: madsep's version, its commit if it runs from a repository, and the date (UTC).

    If SOURCE_DATE_EPOCH (seconds since 1970) is set, the date is taken from it, so that equal runs give equal bytes
    (reproducible-builds.org).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return {
        "version": madsep.__version__,
        "commit": git_commit(Path(madsep.__file__).parent) or "not a repository",
        "date": f"{date:%Y-%m-%d %H:%M} UTC",
    }
