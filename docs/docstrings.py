"""Docstrings as Markdown for the API page: examples become code, and <names> stay text."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\n).*)*", re.MULTILINE)


def as_markdown(text: str) -> str:
    """Return a docstring with its examples in code blocks and its angle brackets escaped."""
    parts, end = [], 0
    for example in EXAMPLE.finditer(text):
        parts += [_escaped(text[end : example.start()]), f"```pycon\n{example[0]}\n```"]
        end = example.end()
    return "".join([*parts, _escaped(text[end:])])


def _escaped(text: str) -> str:
    return "".join(part if part.startswith("`") else re.sub(r"<(?=\w)", "&lt;", part) for part in re.split("(`[^`]*`)", text))


class Markdown(griffe.Extension):
    """Griffe extension that converts every docstring."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Convert the docstring of an object when it has been read."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)
