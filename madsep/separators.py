"""Systems that are no recipes: anyone's callable, a folder of estimates, an oracle; what their names mean and what they may return."""

import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from madsep.audio import quantise
from madsep.errors import InputError
from madsep.logs import log_traceback
from madsep.oracles import ORACLES
from madsep.prepared import TARGETS
from madsep.settings import Settings, nearest
from madsep.tracks import visible

GROUP = "madsep.separators"  # entry points: name of a system = package.module:callable
KINDS = ("oracle", "separator", "estimates")
STEMS = ("vocals", "drums", "bass", "other")
ALL_TARGETS = (*STEMS, "accompaniment")
MAX_MESSAGE = 300  # characters of somebody's exception that a plain line shows

Audio = NDArray[np.float32]
Callee = Callable[[Audio, int], Mapping[str, Audio]]


class ExternalSettings(Settings):
    """One entry of the config's `external`."""

    oracle: str | None = Field(default=None, description="name of an oracle")
    separator: str | None = Field(default=None, description="package.module:callable, (audio (samples, channels), rate) -> {target: audio}")
    estimates: str | None = Field(default=None, description="folder that holds test/<track>/<target>.wav")
    targets: tuple[str, ...] | None = Field(default=None, description="what it estimates; null: see external_targets")


class External(ExternalSettings):
    """A system whose estimates no recipe makes: exactly one of oracle, separator and estimates is given."""

    origin: str = Field(description="what made the name a system: the config, an oracle's name, or an installed package")

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise InputError(f"expected exactly one of {', '.join(KINDS)}; found {' and '.join(given) or 'none'}.")
        if self.oracle is not None and self.oracle not in ORACLES:
            raise InputError(f"there is no oracle '{self.oracle}'{nearest(self.oracle, ORACLES)} (known: {', '.join(ORACLES)})")
        return self

    @property
    def label(self) -> str:
        """Its kind and what it is, for messages."""
        return next(f"{kind} {getattr(self, kind)}" for kind in KINDS if getattr(self, kind) is not None)


def find_external(name: str, external: Mapping[str, Any]) -> External | None:
    """The system `name` of the config's `external`, or else the oracle or the installed entry point of that name; None for none of these.

    Raises InputError where its entry is faulty, or several packages register the name.
    """
    if name in external:
        where = f"external: {name}"
        entry = ExternalSettings.parse(external[name], where)
        try:
            return External(**entry.model_dump(), origin="config")
        except ValidationError as error:  # the types are checked above: what is left comes from `_one_of_three`
            raise InputError(f"{where}: {error.errors()[0]['ctx']['error']}") from None
    if name in ORACLES:
        return External(oracle=name, origin="oracle")
    points = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if len(points) > 1:
        raise InputError(
            f"systems: {name}: several packages register it in {GROUP} ({', '.join(sorted(points))}); uninstall all but one, "
            f"or name one in the config, external: {{{name}: {{separator: package.module:callable}}}}."
        )
    for point in points.values():
        assert point.dist is not None  # `entry_points` gives none without its package
        separator = "".join(point.value.partition("[")[0].split())  # an entry point may name extras: a:b [extra]
        return External(separator=separator, origin=f"package {point.dist.name} {point.dist.version}")
    return None


def external_names(external: Mapping[str, Any]) -> list[str]:
    """All names that `find_external` knows, in its order."""
    return list(dict.fromkeys([*external, *ORACLES, *sorted(entry_points(group=GROUP).names)]))


def external_targets(external: External) -> tuple[str, ...]:
    """What a system estimates: vocals and accompaniment, or the four stems and the accompaniment.

    In the order of preference: its entry's `targets`; the attribute `madsep_targets` of a callable, vocals and accompaniment without one;
    the wavs in the first track's folder of estimates; all of them for an oracle. Only with `targets` is a callable's module not imported.
    Raises InputError as `load_separator` does, for a folder without estimates, and for targets that are neither set.
    """
    if external.targets is not None:
        names: Any = external.targets
    elif external.separator is not None:
        names = getattr(load_separator(external.separator), "madsep_targets", TARGETS)
    elif external.estimates is not None:
        names = [path.stem for path in estimated_tracks(external.estimates)[0].glob("*.wav") if path.stem in ALL_TARGETS]
    else:
        return ALL_TARGETS
    if not isinstance(names, (tuple, list)) or not set(map(str, names)) <= set(ALL_TARGETS):
        raise InputError(f"{external.label}: its targets are {names!r}; expected some of {', '.join(ALL_TARGETS)}.")
    if "vocals" not in names or not (set(names) <= set(TARGETS) or set(STEMS) <= set(names)):
        found = ", ".join(names) or "none"
        raise InputError(f"{external.label}: its targets are {found}; expected vocals and accompaniment, or vocals, drums, bass and other.")
    return ALL_TARGETS if "drums" in names else TARGETS


def estimated_tracks(folder: Path | str) -> list[Path]:
    """The tracks' folders in museval's layout, <folder>/test/<track>/, sorted. Raises InputError where there are none."""
    test = Path(folder).expanduser() / "test"
    tracks = [path for path in visible(test) if path.is_dir()] if test.is_dir() else []
    if not tracks:
        raise InputError(f"{folder}: no estimates in it; expected test/<track>/<target>.wav, as museval reads them.")
    return tracks


def load_separator(text: str) -> Callee:
    """Import the callable that `text` names, package.module:callable; the current folder is importable, as for `python -m`.

    Raises InputError where the text is no such name, the module is not there or fails, or has no such callable.
    """
    name = r"\w+(?:\.\w+)*"
    match = re.fullmatch(f"({name}):({name})", text)
    if match is None:
        raise InputError(f"separator '{text}': expected package.module:callable, such as my_package.separation:separate.")
    module = _import(match[1], f"separator {text}")
    try:
        found = attrgetter(match[2])(module)
    except AttributeError:
        raise InputError(f"separator {text}: module {match[1]} has no '{match[2]}'{nearest(match[2], vars(module))}") from None
    if not callable(found):
        raise InputError(f"separator {text}: is of type {type(found).__name__}; expected a callable (audio, rate) -> {{target: audio}}.")
    return found


def _import(module: str, where: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # somebody's module may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name and f"{module}.".startswith(f"{error.name}."):
            raise InputError(f"{where}: there is no module '{error.name}'; install it for {sys.executable}, or put it in {here}.") from None
        raise foreign_failure(f"{where}: importing {module} failed", error) from None


def foreign_failure(what: str, error: BaseException) -> InputError:
    """The plain lines for an exception, being handled, of somebody's code; its traceback goes to the job's own log."""
    message = " ".join(str(error).split())
    line = f"{what}: {type(error).__name__}: {message[:MAX_MESSAGE]}"
    path = log_traceback(what)
    return InputError(f"{line}\nThe traceback is in {path}." if path else line)


def call_separator(separate: Callee, mixture: Audio, sample_rate_hz: int, where: str) -> dict[str, Audio]:
    """Call `separate` with a copy of `mixture` (n_channels, n_samples) as (n_samples, n_channels); return `checked_estimates`.

    Raises InputError, also for any exception of the callable.
    """
    audio = np.array(mixture.T, dtype=np.float32, order="C")
    try:
        result = separate(audio, sample_rate_hz)
    except (Exception, SystemExit) as error:  # somebody's code may raise anything
        raise foreign_failure(f"{where}: failed", error) from None
    return checked_estimates(result, mixture, where)


def checked_estimates(result: object, mixture: Audio, where: str) -> dict[str, Audio]:
    """Check what a callable returned for `mixture` (n_channels, n_samples); return it as float32 arrays (n_channels, n_samples) by target.

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
    samples = np.ascontiguousarray(audio.T, dtype=np.float32)
    if not np.isfinite(samples).all():
        raise InputError(f"{where}: holds NaN or infinite samples.")
    return samples


def completed(estimates: Mapping[str, Audio], mixture: Audio, targets: Sequence[str], where: str) -> dict[str, Audio]:
    """Return the estimates of `targets`, each (n_channels, n_samples), in their order.

    An accompaniment that is not given is the sum of drums, bass and other or, where these are not all given, mixture - vocals; of the
    estimates as 16-bit files hold them, so that the files add up. Raises InputError, beginning with `where`, where a target is missing.
    """
    estimates, background = dict(estimates), STEMS[1:]
    if "accompaniment" not in estimates:
        if set(background) <= estimates.keys():
            estimates["accompaniment"] = np.sum([quantise(estimates[stem]) for stem in background], axis=0)
        elif "vocals" in estimates:
            estimates["accompaniment"] = mixture - quantise(estimates["vocals"])
    missing = [target for target in targets if target not in estimates]
    if missing:
        raise InputError(f"{where}: there is no estimate of {', '.join(missing)}; expected {', '.join(targets)}.")
    return {target: estimates[target] for target in targets}
