"""Which prepared tracks a training uses: the file data.json in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json
from madsep.data.prepared import PreparedTrack, read_planned

SUBSETS = ("train", "extra")


@dataclass(frozen=True)
class TrainingData:
    """What data.json holds."""

    tracks: dict[str, str]  # slug -> identity of the prepared audio
    validation: list[str]  # slugs of the tracks held out


def write_training_data(tracks: Mapping[str, str], validation: Sequence[str], path: Path) -> None:
    """Write which tracks a training uses, unless the file says the same already.

    `tracks` maps their slugs to the identities of their prepared audio; `validation` lists the slugs of those held out.
    """
    data = asdict(TrainingData(dict(sorted(tracks.items())), sorted(validation)))
    if not _holds(path, data):
        write_json(path, data)


def read_training_data(path: Path, prepared: Path) -> tuple[list[PreparedTrack], list[str]]:
    """Return the tracks that the file `path` lists, from the folder of prepared tracks, and the slugs of those held out.

    Raises InputError if the file is missing or damaged, or if a track is missing, was changed, was prepared from other audio than the
    file says, or is a test track.
    """
    try:
        data = TypeAdapter(TrainingData).validate_python(read_json(path))
    except ValidationError:
        raise InputError(f"{path}: does not list the tracks of a training; remove it and run the same command again.") from None
    return read_planned(prepared, data.tracks, SUBSETS), data.validation


def _holds(path: Path, data: dict[str, Any]) -> bool:
    try:
        return bool(read_json(path) == data)
    except InputError:
        return False
