"""The files that a workflow stage makes for each track, identified by their ingredients.

Each stage keeps its files in one folder. `records/<slug>.json` lists the ingredients of one track's files and the files' digests.
`jobs/<name>.json`, the only file that Snakemake tracks, says that a job has made the artefacts of its tracks.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madsep.core.errors import InputError
from madsep.core.files import digest, read_json, sha256, write_error, write_json
from madsep.core.temporary import sweep

Ingredients = Mapping[str, str]  # inputs of an artefact, by name: the SHA-256 of a file, a digest, or a setting


@dataclass(frozen=True)
class Record:
    """The ingredients of one artefact, its files with their SHA-256, and further facts that the stage records."""

    made_from: Ingredients
    files: Mapping[str, str]  # relative to the stage's folder
    facts: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Digest of the ingredients."""
        return digest(dict(self.made_from))

    @property
    def content(self) -> str:
        """Digest of the files' digests. The next stage uses it as an ingredient."""
        return digest(dict(self.files))


class Stage:
    """A stage's folder."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def record(self, slug: str) -> Record:
        """Return the record of a track. Raises InputError if it is missing or is not a record."""
        return read_record(self._record_path(slug))

    def checked(self, slug: str) -> Record:
        """Return the record of a track after checking that its files are unchanged.

        Raises InputError if the record or a file is missing or was changed. The artefact is then forgotten, so that rerunning the command
        makes it again.
        """
        try:
            record = self.record(slug)
            for name, expected in record.files.items():
                _check_file(self.folder / name, expected)
        except InputError:
            self.forget(slug)
            raise
        return record

    def is_current(self, slug: str, made_from: Ingredients) -> bool:
        """Whether the track's artefact was made from these ingredients and its files are unchanged.

        If not, it is forgotten, so that no job's stamp promises it, even if making it then fails.
        """
        try:
            current = dict(self.checked(slug).made_from) == dict(made_from)
        except InputError:
            return False
        if not current:
            self.forget(slug)
        return current

    @contextlib.contextmanager
    def making(self, slug: str, made_from: Ingredients) -> Iterator[dict[str, Any]]:
        """Make an artefact. The block writes its files and adds `files` (their paths) and any facts to the dictionary that it receives.

        The old record and the stamps of jobs that promise it are removed first, so that no reader uses the artefact while it changes.
        """
        self.forget(slug)
        made: dict[str, Any] = {}
        yield made
        files = {path.relative_to(self.folder).as_posix(): sha256(path) for path in map(Path, made.pop("files"))}
        write_json(self._record_path(slug), {"made_from": dict(made_from), "files": files, "facts": made})

    def finish_job(self, name: str, slugs: Sequence[str]) -> None:
        """Write jobs/<name>.json, which says that these tracks' artefacts are complete, and remove files left by killed processes.

        Raises InputError if a record is missing.
        """
        sweep(self.folder)
        write_json(self.folder / "jobs" / f"{name}.json", {"tracks": {slug: sha256(self._record_path(slug)) for slug in slugs}})

    def forget(self, slug: str) -> None:
        """Remove the record of a track and all job stamps that name the track or cannot be read. The track's files stay.

        Raises InputError if permissions forbid it.
        """
        stamps = [path for path in (self.folder / "jobs").glob("*.json") if _promises(path, slug)]
        for path in (*stamps, self._record_path(slug)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise (write_error(path, error) or error) from None

    def _record_path(self, slug: str) -> Path:
        return self.folder / "records" / f"{slug}.json"


def read_record(path: Path) -> Record:
    """Read one record. Raises InputError if the file is missing or is not a record."""
    if not path.is_file():
        raise InputError(f"{path}: is missing; run the same command again to make it.")
    values = read_json(path)
    if not isinstance(values, dict) or values.keys() != {"made_from", "files", "facts"} or not all(map(_is_mapping, values.values())):
        raise InputError(f"{path}: is not the record of an artefact; run the same command again to make it.")
    return Record(**values)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _check_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise InputError(f"{path}: is missing; run the same command again to make it.")
    if sha256(path) != expected:
        raise InputError(f"{path}: was changed after it was written; run the same command again to make it.")


def _promises(stamp: Path, slug: str) -> bool:
    """Whether a job's stamp names the track or cannot be read."""
    try:
        return slug in read_json(stamp)["tracks"]
    except (InputError, KeyError, TypeError):
        return True
