"""Check the config of a run. All faults are reported at once, and a misspelt key with the nearest known one."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from madsep.core.errors import InputError
from madsep.core.settings import fault_line, known_keys
from madsep.core.yaml_files import read_yaml
from madsep.workflow.keys import Config
from madsep.workflow.types import entry_type, item_type, takes_text

Keys = tuple[int | str, ...]  # from the outermost to the innermost, and indices of lists


def check_config(config: Mapping[str, Any], places: Mapping[Keys, str] = MappingProxyType({})) -> None:
    """Raise InputError with one line per fault if `config` is not valid. `places` says where keys are set."""
    try:
        Config.model_validate(config)
    except ValidationError as error:
        raise InputError("\n".join(f"{_place(fault['loc'], places)}: {_line(fault)}" for fault in error.errors())) from None


def _place(keys: Keys, places: Mapping[Keys, str]) -> str:
    """Return the place of the longest known start of `keys`."""
    starts = (keys[:n] for n in range(len(keys), 0, -1))
    return next((places[start] for start in starts if start in places), "config")


def typed(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return `config` with text parsed as numbers and truth values, because Snakemake's --config passes text.

    Text stays text if the settings expect text.
    """
    values: dict[str, Any] = _typed(config, Config)
    return values


def _typed(value: Any, kind: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _typed(entry, entry_type(kind, key)) for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry, item_type(kind)) for entry in value]
    if not isinstance(value, str) or takes_text(kind) or not re.fullmatch(r"[\w.+-]+", value):
        return value
    read = yaml.safe_load(value)
    return read if isinstance(read, (bool, int, float)) else value


def describe_keys(defaults: Path) -> str:
    """Return a Markdown table of all keys with default and meaning. `defaults` is the shipped config.yaml."""
    rows = [f"| `{path}` | `{value}` | {text} |" for path, value, text in _rows(Config, read_yaml(defaults), "")]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _line(fault: Any) -> str:
    *folder, key = fault["loc"] or ("",)
    if key == "[key]":
        return f"'{'.'.join(map(str, folder[:-1]))}': YAML does not read the name {fault['input']!r} as text. Quote it."
    if fault["type"] == "extra_forbidden" and (hint := _nested(str(key), known_keys(Config, folder))):
        return f"unknown key '{'.'.join(map(str, fault['loc']))}'{hint} (known: {', '.join(known_keys(Config, folder))})"
    return fault_line(Config, fault)


def _nested(key: str, known: list[str]) -> str:
    """Return a hint on what to write instead of a key with dots."""
    outer, *inner = key.split(".")
    if outer not in known or not all(inner) or not inner:
        return ""
    return f"; write {outer}: {'{'}{': {'.join(inner)}: VALUE{'}' * len(inner)}, or type madsep run --set {key}=VALUE"


def _rows(settings: type[BaseModel], values: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, field in settings.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, values[key], f"{prefix}{key}.")
        else:
            shown = yaml.safe_dump(values[key], default_flow_style=True).removesuffix("...\n").strip()
            yield f"{prefix}{key}", shown, field.description or ""
