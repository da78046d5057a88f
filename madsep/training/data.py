"""The file data.json in a training's folder, which lists the prepared tracks that the training uses."""

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
    """The content of data.json."""

    tracks: dict[str, str]  # slug -> identity of the prepared audio
    validation: list[str]  # slugs of the held-out tracks


def write_training_data(tracks: Mapping[str, str], validation: Sequence[str], path: Path) -> None:
    """Write which tracks a training uses, unless the file already says so.

    `tracks` maps their slugs to the identities of their prepared audio. `validation` lists the slugs of the held-out tracks.
    """
    data = asdict(TrainingData(dict(sorted(tracks.items())), sorted(validation)))
    if not _holds(path, data):
        write_json(path, data)


def read_training_data(path: Path, prepared: Path) -> tuple[list[PreparedTrack], list[str]]:
    """Return the tracks listed in the file `path`, from the folder of prepared tracks, and the slugs of the held-out tracks.

    Raises InputError if the file is missing or damaged, or if a track is missing, was changed, was prepared from other audio than the
    file lists, or is a test track.
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
