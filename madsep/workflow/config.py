"""The run's config against its schema: every fault at once, misspelt keys with the nearest right one."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError

from madsep.core.errors import InputError, nearest


def check_config(config: Mapping[str, Any], schema: Path) -> None:
    """Raise InputError with one line for each fault of `config` under the JSON schema (YAML) in `schema`."""
    validator = Draft202012Validator(yaml.safe_load(schema.read_text(encoding="utf-8")))
    lines = dict.fromkeys(line for error in validator.iter_errors(config) for line in _lines(error))
    if lines:
        raise InputError("\n".join(lines))


def typed(config: Mapping[str, Any], schema: Path) -> dict[str, Any]:
    """Return `config` with texts that are numbers or truth values to YAML as such; Snakemake's --config gives text.

    They stay text if the JSON schema (YAML) in `schema` expects text.
    """
    values: dict[str, Any] = _typed(config, yaml.safe_load(schema.read_text(encoding="utf-8")))
    return values


def _typed(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties") or {}
        return {key: _typed(entry, known.get(key, others)) for key, entry in value.items()}
    if isinstance(value, list):
        return [_typed(entry, schema.get("items", {})) for entry in value]
    if not isinstance(value, str) or "string" in schema.get("type", ()) or not re.fullmatch(r"[\w.+-]+", value):
        return value
    read = yaml.safe_load(value)
    return read if isinstance(read, (bool, int, float)) else value


def describe_keys(schema: Path, defaults: Path) -> str:
    """Return a Markdown table of all keys: name, default, meaning; from the schema and the config file that ships."""
    keys = yaml.safe_load(schema.read_text(encoding="utf-8"))
    values = yaml.safe_load(defaults.read_text(encoding="utf-8"))
    rows = [f"| `{path}` | `{value}` | {text} |" for path, value, text in _rows(keys, values, "")]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *rows])


def _lines(error: ValidationError) -> Iterator[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = schema["properties"]
        for key in sorted(map(str, set(instance) - set(known))):
            path = f"{where}.{key}".lstrip(".")
            yield f"config: unknown key '{path}'{_nested(key, known) or nearest(key, known)} (known: {', '.join(known)})"
    elif "propertyNames" in error.absolute_schema_path:
        yield f"config: '{where}': YAML does not read the name {instance!r} as text. Quote it."
    elif error.validator == "required":
        for key in schema["required"]:
            if key not in instance:
                yield f"config: key '{f'{where}.{key}'.lstrip('.')}' is missing."
    else:
        yield f"config: '{where}': {error.message}."


def _nested(key: str, known: Iterable[str]) -> str:
    """What to write instead of a key with dots."""
    outer, *inner = key.split(".")
    if outer not in known or not all(inner) or not inner:
        return ""
    return f"; write {outer}: {'{'}{': {'.join(inner)}: VALUE{'}' * len(inner)}, or type madsep run --set {key}=VALUE"


def _rows(schema: Mapping[str, Any], values: Any, prefix: str) -> Iterator[tuple[str, str, str]]:
    for key, entry in schema["properties"].items():
        if "properties" in entry:
            yield from _rows(entry, values[key], f"{prefix}{key}.")
        else:
            shown = yaml.safe_dump(values[key], default_flow_style=True).removesuffix("...\n").strip()
            yield f"{prefix}{key}", shown, entry["description"]
