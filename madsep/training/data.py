"""Which prepared tracks a training uses: the file data.json in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from madsep.core.errors import InputError
from madsep.core.files import read_json, write_json
from madsep.data.prepared import PreparedTrack, read_prepared

SUBSETS = ("train", "extra")


@dataclass(frozen=True)
class TrainingData:
    """The tracks of a training, and which of them are held out for validation."""

    tracks: Mapping[str, str]  # slug -> identity of the prepared audio
    validation: list[str]  # slugs


def write_training_data(tracks: Sequence[PreparedTrack], validation: Sequence[str], path: Path) -> None:
    """Write which tracks a training uses, unless the file says the same already; `validation` lists the slugs held out."""
    data = TrainingData({track.slug: track.identity for track in tracks}, sorted(validation))
    if not path.is_file() or read_json(path) != asdict(data):
        write_json(path, asdict(data))


def read_training_data(path: Path) -> TrainingData:
    """Read what `write_training_data` wrote. Raises InputError if the file is missing or damaged."""
    try:
        return TypeAdapter(TrainingData).validate_python(read_json(path))
    except ValidationError:
        raise InputError(f"{path}: does not list the tracks of a training; remove it and run the same command again.") from None


def training_tracks(data: TrainingData, prepared: Path) -> list[PreparedTrack]:
    """Return the tracks of a training from the folder of prepared tracks.

    Raises InputError if a track is missing, was changed, was prepared from other audio than `data` says, or is a test track.
    """
    tracks = read_prepared(prepared, list(data.tracks), SUBSETS)
    for track in tracks:
        if track.identity != data.tracks[track.slug]:
            raise InputError(f"{track.name}: was prepared from other audio than this training uses; run the same command again.")
    return tracks
