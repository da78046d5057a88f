"""Names and targets of external systems, which have no recipe: a user's callable, a folder of estimates or an oracle."""

from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from madsep.core.errors import InputError, nearest
from madsep.core.files import Hash, digest
from madsep.core.settings import Settings
from madsep.data.datasets import ALL_TARGETS, STEMS, TARGETS
from madsep.data.layouts import find_songs
from madsep.separation.callables import fingerprint
from madsep.separation.oracles import ORACLES
from madsep.separation.worker import Declared, declared_targets

GROUP = "madsep.separators"  # entry points: name of a system = package.module:callable
KINDS = ("oracle", "separator", "estimates")


class ExternalSettings(Settings):
    """One entry of the config's `external`."""

    oracle: str | None = Field(default=None, description="name of an oracle")
    separator: str | None = Field(default=None, description="package.module:callable, (audio (samples, channels), rate) -> {target: audio}")
    estimates: str | None = Field(default=None, min_length=1, description="folder of estimates, in any layout that madsep score reads")
    targets: tuple[str, ...] | None = Field(default=None, description="targets that it estimates; null: see external_targets")


class External(ExternalSettings):
    """A system without a recipe. Exactly one of oracle, separator and estimates is given."""

    origin: str = Field(description="where the system's name is defined: the config, the oracles, or an installed package")

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
        """Kind and value, for messages."""
        return next(f"{kind} {getattr(self, kind)}" for kind in KINDS if getattr(self, kind) is not None)

    def ingredients(self, tracks: Sequence[str], targets: Sequence[str], hash_files: Hash) -> dict[str, dict[str, str]]:
        """Return the ingredients of each track's estimates except its prepared audio, by the tracks' names.

        Raises InputError for a folder without estimates, and for files that cannot be read.
        """
        made_from = {"targets": ",".join(targets)}
        if self.oracle is not None:
            made_from["oracle"] = self.oracle
        if self.separator is not None:
            made_from["separator"] = digest([self.model_dump(mode="json"), fingerprint(self.separator, hash_files)])
        if self.estimates is None:
            return dict.fromkeys(tracks, made_from)
        files = estimate_files(self.estimates, tracks)
        given: dict[str, dict[str, str]] = {track: {} for track in tracks}
        for (track, target), found in zip(files, hash_files([*files.values()]), strict=True):
            given[track][target] = found
        return {track: made_from | {"estimates": digest(found)} for track, found in given.items()}


def find_external(name: str, external: Mapping[str, Any]) -> External | None:
    """Return the system `name` from the config's `external`, or else the oracle or installed entry point of that name, or None.

    Raises InputError if the entry is faulty or several packages register the name.
    """
    if name in external:
        where = f"external: {name}"
        entry = ExternalSettings.parse(external[name], where)
        try:
            return External(**entry.model_dump(), origin="config")
        except ValidationError as error:  # types are checked above, so this comes from `_one_of_three`
            raise InputError(f"{where}: {error.errors()[0]['ctx']['error']}") from None
    if name in ORACLES:
        return External(oracle=name, origin="oracle")
    points = {point.value: point for point in entry_points(group=GROUP, name=name)}
    if len(points) > 1:
        found = sorted(f"{value} of {_package(point)}" for value, point in points.items())
        raise InputError(
            f"systems: {name}: several packages register it in {GROUP} ({', '.join(found)}); uninstall all but one, "
            f"or name one in the config, external: {{{name}: {{separator: package.module:callable}}}}."
        )
    for point in points.values():
        separator = "".join(point.value.partition("[")[0].split())  # an entry point may name extras: a:b [extra]
        return External(separator=separator, origin=_package(point))
    return None


def _package(point: EntryPoint) -> str:
    assert point.dist is not None  # `entry_points` sets it
    return f"package {point.dist.name} {point.dist.version}"


def installed_systems() -> dict[str, str]:
    """Return the systems that installed packages register: the package by the system's name."""
    return {point.name: _package(point) for point in sorted(entry_points(group=GROUP))}


def external_names(external: Mapping[str, Any]) -> list[str]:
    """Return all names that `find_external` knows, in its order."""
    return list(dict.fromkeys([*external, *ORACLES, *installed_systems()]))


def external_targets(external: External, tracks: Sequence[str]) -> tuple[str, ...]:
    """Return a system's targets for `tracks`: vocals and accompaniment, or the four stems and the accompaniment.

    The `targets` of its entry take precedence. Without them, a callable's module is imported and its attribute `madsep_targets` counts, or
    vocals and accompaniment if there is none. For a folder, the targets are those of the tracks' files, and for an oracle all of them.
    Raises InputError as `load_separator` does, for a folder without estimates of the tracks, and for targets that are neither set.
    """
    where = f"{external.label}: its targets"
    found = {target for _, target in estimate_files(external.estimates, tracks)} if external.estimates is not None else set()
    names: Sequence[str] | None = external.targets
    shown = repr(names)
    if external.targets is None and external.separator is not None:
        declared = declared_targets(external.separator) or Declared(repr(TARGETS), TARGETS)
        names, shown = declared.names, declared.shown
    elif external.targets is None and external.estimates is not None:
        where += ", those of the run's tracks in that folder,"
        names = [target for target in ALL_TARGETS if target in found]
    elif external.targets is None:
        return ALL_TARGETS
    if names is None or not set(names) <= set(ALL_TARGETS):
        raise InputError(f"{where} are {shown}; expected some of {', '.join(ALL_TARGETS)}.")
    if "vocals" not in names or not (set(names) <= set(TARGETS) or set(STEMS) <= set(names)):
        shown = ", ".join(names) or "none"
        raise InputError(f"{where} are {shown}; expected vocals and accompaniment, or vocals, drums, bass and other.")
    return ALL_TARGETS if "drums" in names else TARGETS


def estimated_tracks(folder: Path | str) -> dict[str, dict[str, Path]]:
    """Return the files of the test tracks in a folder of estimates, in any layout that `find_songs` reads, by track and target.

    Raises InputError if there are none, or two hold the same.
    """
    songs = [song for song in find_songs(Path(folder).expanduser()) if song.subset != "train"]
    if not songs:
        raise InputError(f"{folder}: no estimates of test tracks in it; expected test/<track>/<target>.wav.")
    return {song.name: {target: song.files[target] for target in ALL_TARGETS if target in song.files} for song in songs}


def estimate_files(folder: Path | str, tracks: Sequence[str]) -> dict[tuple[str, str], Path]:
    """Return the files that there are of `tracks`, by track and target. Raises InputError as `estimated_tracks` does."""
    found = estimated_tracks(folder)
    return {(track, target): path for track in tracks for target, path in found.get(track, {}).items()}
