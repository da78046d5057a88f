"""The type of the fixture `madsep`, which runs a command line."""

from collections.abc import Callable

Call = Callable[..., tuple[int, str, list[str]]]  # exit status, what is printed, lines on stderr
