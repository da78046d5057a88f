"""What mkdocs.yml fills in while it builds the site."""

from pathlib import Path
from typing import Any

from madsep.workflow.config import describe_keys

ROOT = Path(__file__).resolve().parent.parent
KEYS = "<!-- keys -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the table of all settings in the place of its marker."""
    if KEYS not in markdown:
        return markdown
    return markdown.replace(KEYS, describe_keys(ROOT / "config.yaml"))
