"""Read and check settings from files and the command line before Snakemake does. Errors name the file and the line."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from madsep.core.errors import InputError, nearest
from madsep.core.yaml_files import KINDS, parse_yaml, read_yaml
from madsep.workflow.config import Keys, check_config
from madsep.workflow.keys import Config
from madsep.workflow.shipped import CONFIG, shipped
from madsep.workflow.types import entry_type, known, takes_null, takes_text


def read_settings(files: Sequence[Path]) -> dict[str, Any]:
    """Return the merged settings of YAML files. Later files override earlier ones. Raises InputError with file and line of a fault."""
    config: dict[str, Any] = {}
    for path in files:
        values = read_yaml(path)
        try:
            _check_plain(yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        config = merged(config, values)
    return config


def check_settings(path: Path) -> None:
    """Check a settings file that Snakemake will read. Raises InputError with file and line of each fault."""
    check_config(read_settings([shipped(CONFIG), path]), places([path]))


def places(files: Sequence[Path]) -> dict[Keys, str]:
    """Return where each key is set last, as file and line. The files must have been read by `read_settings`."""
    found: dict[Keys, str] = {}
    for path in files:
        lines = _lines(yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader), ())
        found.update({keys: f"{path}: line {line}" for keys, line in lines})
    return found


def _lines(node: yaml.Node | None, above: Keys) -> Iterator[tuple[Keys, int]]:
    """Yield all keys of nested mappings with their lines."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            keys = (*above, key.value)
            yield keys, key.start_mark.line + 1
            yield from _lines(value, keys)


def _check_plain(node: yaml.Node | None) -> None:
    """Raise InputError if a value is a date or anything else than text, a number, a truth value or null."""
    if isinstance(node, yaml.ScalarNode):
        if node.tag.rpartition(":")[2] not in ("str", *KINDS):
            raise InputError(f"line {node.start_mark.line + 1}: YAML reads {node.value} as a date or another object. Quote it")
    elif node is not None:
        for entry in node.value:
            for part in entry if isinstance(entry, tuple) else (entry,):
                _check_plain(part)


def parse_change(change: str) -> dict[str, Any]:
    """Return KEY=VALUE as nested settings: scoring.engine=fast gives {"scoring": {"engine": "fast"}}.

    The value stays text if the settings expect text. Raises InputError unless the key is known and the value is YAML.
    """
    key, equals, text = change.partition("=")
    names = key.split(".")
    if not equals or not all(names):
        raise InputError(f"--set {change}: expected KEY=VALUE, such as scoring.engine=fast.")
    kind: Any = Config
    for name in names:
        keys = known(kind)
        if keys is not None and name not in keys:
            raise InputError(f"--set {change}: unknown key '{name}'{nearest(name, keys)} (known: {', '.join(keys)})")
        kind = entry_type(kind, name)
    try:
        value = parse_yaml(text)
    except InputError as error:
        raise InputError(f"--set {change}: the value is not YAML: {error}") from None
    if takes_text(kind) and not (value is None and takes_null(kind)) and not isinstance(value, str):
        value = text
    for name in reversed(names):
        value = {name: value}
    settings: dict[str, Any] = value
    return settings


def keys_in(settings: Mapping[str, Any], above: Keys = ()) -> Iterator[Keys]:
    """Yield the keys of nested settings at every level."""
    for key, value in settings.items():
        keys = (*above, key)
        yield keys
        if isinstance(value, Mapping):
            yield from keys_in(value, keys)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` overridden by `above`, key by key at every level, as Snakemake merges config files."""
    together = dict(below)
    for key, value in above.items():
        known = together.get(key)
        together[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return together
