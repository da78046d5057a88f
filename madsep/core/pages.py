"""HTML pages that need no other file: one look for all of them, every value escaped, and a foot that says what made them."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

import madsep
from madsep.core.provenance import git_commit

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, folder: Path, **values: Any) -> str:
    """Return a template of `folder` as HTML; it may extend page_base.html, the frame that all pages share.

    Values are escaped wherever a template shows them. A value that a template asks for and does not get raises jinja2.UndefinedError.
    """
    loader = jinja2.FileSystemLoader([folder, TEMPLATES])
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False}  # keys keep their order
    return environment.get_template(template).render(origin=origin(), **values)


def origin() -> dict[str, str]:
    """Return what made a page, in words: madsep's version, its commit if it runs from a repository, and the date (UTC).

    The date is that of SOURCE_DATE_EPOCH if it is set, in seconds since 1970, so that the same run gives the same bytes
    (reproducible-builds.org).
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    date = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdecimal() else datetime.now(UTC)
    return {
        "version": madsep.__version__,
        "commit": git_commit(Path(madsep.__file__).parent) or "not a repository",
        "date": f"{date:%Y-%m-%d %H:%M} UTC",
    }
