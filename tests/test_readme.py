"""The generated parts of README and docs are those that the generator writes."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("part", ["keys", "systems", "needs", "demo", "scoring", "training", "separation"])
def test_pages_hold_what_the_generator_writes(part: str) -> None:
    spec = importlib.util.spec_from_file_location("make_readme", ROOT / "docs/make_readme.py")
    assert spec and spec.loader
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert f"<!-- {part} -->\n{generator.parts()[part]}\n<!-- /{part} -->" in "".join(
        page.read_text(encoding="utf-8") for page in generator.PAGES
    )
