"""YAML that a person may have edited: written so that every text comes back as text, read so that nothing in it can do harm."""

import math
from pathlib import Path
from typing import Any

import yaml

from madsep.core.errors import InputError
from madsep.core.files import write_text

MAX_DEPTH = 20
MAX_CHARACTERS = 10_000_000
KINDS = ("null", "bool", "int", "float")  # what an unquoted scalar may be besides text


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """Refuses aliases, tags, deep nesting, keys that are not text or stand twice, and numbers that are not finite."""

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
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key is not text", key)
            if key.tag != "tag:yaml.org,2002:str":
                raise _fault(f"the key {key.value!r} is not text; put it in quotes", key)
            if key.value in seen:
                raise _fault(f"the key {key.value!r} stands there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_int(self, node: Any) -> int:
        try:
            return int(self.construct_yaml_int(node))
        except (ValueError, IndexError):  # such as 0b_, and numbers of thousands of digits
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
    """Put text in quotes if any reader of YAML, not only PyYAML, might take it for a number, or break its lines."""
    style = "'" if _is_numeric(text) else None if text.isprintable() else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def write_yaml(path: Path, values: dict[str, Any]) -> None:
    """Write plain values as YAML, whole or not at all; keys keep their order."""
    write_text(path, yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a mapping from YAML.

    Raises InputError, in one line, for a file that cannot be read, is not YAML or not a mapping, or holds anything that `_Loader` refuses.
    """
    try:
        values = parse_yaml(_text(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name}: cannot be read as YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path.name}: is not a mapping")
    return values


def parse_yaml(text: str) -> Any:
    """Parse YAML. Raises InputError, in one line, as `read_yaml` does."""
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"it has {len(text)} characters; expected at most {MAX_CHARACTERS}")
    try:
        return yaml.load(text, _Loader)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(" ".join(str(error).split()) or type(error).__name__) from None


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"line {line}: the byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8") from None


def _fault(problem: str, where: Any) -> yaml.YAMLError:
    return yaml.YAMLError(f"line {where.start_mark.line + 1}: {problem}")


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text[:2].lower() in ("0o", "0x", "0b")
    return True
