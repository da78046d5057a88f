"""A user's callable: importing it, detecting changes of its code, calling it, and checking its results."""

import contextlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from madsep.core.errors import InputError, nearest
from madsep.core.files import Hash, digest
from madsep.core.logs import log_traceback
from madsep.data.datasets import ALL_TARGETS

MAX_MESSAGE = 300  # characters of an exception's text that a message shows

Audio = NDArray[np.float32]
Callee = Callable[[Audio, int], Mapping[str, Audio]]


class ForeignError(InputError):
    """A failure of a user's code, with its traceback as text."""

    def __init__(self, message: str, trace: str) -> None:
        super().__init__(message)
        self.trace = trace


def load_separator(text: str) -> Callee:
    """Import the callable named by `text`, package.module:callable. The current folder is importable, as for `python -m`.

    Raises InputError if the text is not such a name, the module is missing or fails, or it has no such callable.
    """
    name = r"\w+(?:\.\w+)*"
    match = re.fullmatch(f"({name}):({name})", text)
    if match is None:
        raise InputError(f"separator '{text}': expected package.module:callable, such as my_package.separation:separate.")
    module = _import(match[1], f"separator {text}")
    try:
        found: Callee = attrgetter(match[2])(module)
    except AttributeError:
        raise InputError(f"separator {text}: module {match[1]} has no '{match[2]}'{nearest(match[2], vars(module))}") from None
    if not callable(found):
        raise InputError(f"separator {text}: is of type {type(found).__name__}; expected a callable (audio, rate) -> {{target: audio}}.")
    return found


def fingerprint(separator: str, hash_files: Hash) -> str | None:
    """Return a digest of the .py files of the top-level module or package of `separator`, or None if it does not exist.

    It is located as in `load_separator`, but not imported. Raises InputError for a file that cannot be read.
    """
    make_current_folder_importable()
    try:
        spec = importlib.util.find_spec(separator.partition(":")[0].partition(".")[0])
    except ValueError:  # not a module's name, which `load_separator` reports
        spec = None
    if spec is None:
        return None
    if spec.submodule_search_locations is None:
        file = Path(spec.origin or "")
        files = [(file.parent, file)]
    else:
        files = [(Path(root), file) for root in spec.submodule_search_locations for file in sorted(Path(root).rglob("*.py"))]
    try:
        files = [(root, file) for root, file in files if file.is_file()]
        names = [file.relative_to(root).as_posix() for root, file in files]
        return digest(list(zip(names, hash_files([file for _, file in files]), strict=True)))
    except InputError as error:
        raise InputError(f"separator {separator}: {error}") from None


def make_current_folder_importable() -> None:
    """Put the current folder at the front of the import path."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def _import(module: str, where: str) -> ModuleType:
    make_current_folder_importable()
    try:
        with contextlib.chdir(Path.cwd()):  # which the user's code may change
            return importlib.import_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise InputError(
                f"{where}: there is no module '{error.name}'; install it for {sys.executable}, or put it in {Path.cwd()}."
            ) from None
        raise foreign_failure(f"{where}: importing {module} failed", error) from None


def foreign_failure(what: str, error: BaseException) -> ForeignError:
    """Return an error for the exception of a user's code that is being handled. Its traceback is written to the job's log."""
    line = f"{what}: {type(error).__name__}: {_message(error)[:MAX_MESSAGE]}"
    path = log_traceback(what)
    return ForeignError(f"{line}\nThe traceback is in {path}." if path else line, traceback.format_exc())


def _message(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except BaseException as second:  # its `__str__` is the user's code, too
        return f"(its message cannot be shown: {type(second).__name__})"


def call_separator(separate: Callee, mixture: Audio, sample_rate_hz: int, where: str) -> dict[str, Audio]:
    """Call `separate` with a copy of `mixture` (n_channels, n_samples) as (n_samples, n_channels), and return `checked_estimates`.

    Raises InputError as `checked_estimates` does, and for any exception of the callable.
    """
    audio = np.array(mixture.T, dtype=np.float32, order="C")
    try:
        with contextlib.chdir(Path.cwd()):  # which the user's code may change
            result = separate(audio, sample_rate_hz)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's code may raise anything
        raise foreign_failure(f"{where}: failed", error) from None
    return checked_estimates(result, mixture, where)


def checked_estimates(result: object, mixture: Audio, where: str) -> dict[str, Audio]:
    """Check a callable's result for `mixture` (n_channels, n_samples), and return it by target as float32 arrays of that shape.

    Raises InputError, beginning with `where`, unless it maps known targets to finite floating-point arrays (n_samples, n_channels).
    """
    if not isinstance(result, Mapping):
        raise InputError(f"{where}: returned an object of type {type(result).__name__}; expected a mapping, {{target: audio}}.")
    unknown = [str(name) for name in result if name not in ALL_TARGETS]
    if unknown:
        hint = nearest(unknown[0], ALL_TARGETS)
        raise InputError(f"{where}: returned the unknown target '{unknown[0]}'{hint} (known: {', '.join(ALL_TARGETS)})")
    return {target: _checked(audio, mixture.T.shape, f"{where}, {target}") for target, audio in result.items()}


def _checked(audio: object, shape: tuple[int, ...], where: str) -> Audio:
    if not isinstance(audio, np.ndarray) or audio.dtype.kind != "f":
        found = f"an array of {audio.dtype}" if isinstance(audio, np.ndarray) else f"of type {type(audio).__name__}"
        raise InputError(f"{where}: is {found}; expected a NumPy array of floating-point numbers, full scale 1.")
    if audio.shape != shape:
        raise InputError(f"{where}: has shape {audio.shape}; expected {shape} (samples, channels) as the mixture.")
    with np.errstate(over="ignore"):  # values beyond float32's range become infinite
        samples = np.ascontiguousarray(audio.T, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise InputError(f"{where}: holds NaN or infinite samples.")
    return samples
