"""YAML files that users may edit. Text survives writing and reading, and reading untrusted files is safe."""

import math
from pathlib import Path
from typing import Any

import yaml

from madsep.core.errors import InputError, one_line
from madsep.core.files import write_text
from madsep.core.reading import read_text

MAX_DEPTH = 20
MAX_BYTES = 2_000_000  # PyYAML takes seconds per megabyte; the provenance of 150 tracks has a twentieth of this
KINDS = ("null", "bool", "int", "float")  # types that an unquoted scalar may have besides text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Refuses aliases, tags, deep nesting, non-text or duplicate keys, text that is not Unicode, and non-finite numbers."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _fault("aliases are not allowed", event)
        if event.tag not in (None, "!"):
            raise _fault(f"the tag {event.tag!r} is not allowed", event)
        if self.depth == MAX_DEPTH:
            raise _fault(f"more than {MAX_DEPTH} levels are nested", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise _fault(f"{node.value!a} is not valid text", event)
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key is not text", key)
            if key.tag != "tag:yaml.org,2002:str":
                raise _fault(f"the key {key.value!r} is not text; put it in quotes", key)
            if key.value in seen:
                raise _fault(f"the key {key.value!r} occurs twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        try:
            return int(self.construct_yaml_int(node))
        except (ValueError, IndexError):  # for example 0b_ or a number with thousands of digits
            raise _fault("not a number that can be read", node) from None

    def construct_finite(self, node: Any) -> float:
        try:
            number = float(self.construct_yaml_float(node))
        except ValueError:
            raise _fault(f"{node.value} is not a number", node) from None
        if not math.isfinite(number):
            raise _fault(f"{node.value} is not a finite number", node)
        return number


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in KINDS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_finite)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quote text that any YAML reader, not only PyYAML, might take for a number, or whose lines it might break."""
    style = "'" if _is_numeric(text) else None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as YAML, whole or not at all. The order of keys is kept."""
    write_text(path, yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML.

    Raises InputError, in one line, if the file cannot be read, is not YAML or not a mapping, or contains anything that `_Loader` refuses.
    """
    text = read_text(path, MAX_BYTES)
    try:
        values = parse_yaml(text)
    except InputError as error:
        raise InputError(f"{path}: cannot be read as YAML ({error})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: is not a mapping")
    return values


def parse_yaml(text: str) -> Any:
    """Parse YAML. Raises InputError, in one line, for anything that `read_yaml` refuses."""
    try:
        return yaml.load(text, _Loader)
    except (ValueError, ArithmeticError, LookupError, RecursionError, yaml.YAMLError) as error:
        raise InputError(one_line(error)) from None


def _fault(problem: str, where: Any) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {where.start_mark.line + 1}: {problem}")


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text[:2].lower() in ("0o", "0x", "0b")
    return True
