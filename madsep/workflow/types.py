"""Types of settings and of their entries, read from annotations."""

from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel


def known(kind: Any) -> list[str] | None:
    """Return the keys of settings, or None for a type without fixed keys."""
    return next((list(option.model_fields) for option in _options(kind) if _is_settings(option)), None)


def entry_type(kind: Any, key: str) -> Any:
    """Return the type of a value in settings or in a mapping, by its key. Any if it is unknown."""
    for option in _options(kind):
        if _is_settings(option) and key in option.model_fields:
            return option.model_fields[key].annotation
        if get_origin(option) is dict:
            return get_args(option)[1]
    return Any


def item_type(kind: Any) -> Any:
    """Return the type of the items of a list or tuple. Any if it is unknown."""
    return next((get_args(option)[0] for option in _options(kind) if get_origin(option) in (list, tuple)), Any)


def takes_text(kind: Any) -> bool:
    """Whether a type accepts any text."""
    return str in _options(kind)


def takes_null(kind: Any) -> bool:
    """Whether a type accepts null."""
    return NoneType in _options(kind)


def _options(kind: Any) -> list[Any]:
    """Return the members of a union, or the type itself, stripped of constraints."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if isinstance(kind, type) or get_origin(kind) in (list, dict, tuple):
        return [kind]
    return [option for member in get_args(kind) if not isinstance(member, str) for option in _options(member)]


def _is_settings(option: Any) -> bool:
    return isinstance(option, type) and issubclass(option, BaseModel)
