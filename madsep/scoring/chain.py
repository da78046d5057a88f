"""The chain from references and estimates to scores and then to tables. Each link records the digests of the previous one."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from madsep.core.artefacts import Record, Stage, read_record
from madsep.core.errors import InputError
from madsep.core.files import sha256, write_json
from madsep.core.logs import log
from madsep.core.reading import visible
from madsep.core.tables import write_table
from madsep.data.prepared import PreparedTrack
from madsep.scoring.estimates import OF_BASELINE, for_each, origins
from madsep.scoring.protocols import SISEC18, Protocol

RECORD = "tables.json"
DECIMALS = 6


def check_chain(tracks: Sequence[PreparedTrack], estimates: Path | None, scores: Path) -> None:
    """Check that all tracks' scores were made from the current references and estimates, and that estimates and scores are unchanged.

    `estimates` and `scores` are stages' folders. MIX has no estimates. The records of outdated scores are removed, so that the same command
    makes these scores again. Raises InputError with a line for each outdated track.
    """
    stage = Stage(scores)

    def check(track: PreparedTrack) -> None:
        check_origins(stage, track.slug, stage.checked(track.slug), origins(track, estimates))

    for_each(tracks, check)


def check_origins(stage: Stage, slug: str, record: Record, expected: Mapping[str, str]) -> None:
    """Raise InputError and remove the record of the scores if it names other ingredients than those expected."""
    for what, digest in expected.items():
        if record.made_from.get(what) != digest:
            stage.forget(slug)
            name = record.facts.get("name", slug)
            raise InputError(
                f"{name}: {stage.folder} has scores of other {what} than those present; run the same command again to score it."
            )


def write_tables(
    tables: Mapping[str, pd.DataFrame],
    out: Path,
    tracks: Sequence[PreparedTrack],
    stages: tuple[Path | None, Path],
    protocol: Protocol,
) -> None:
    """Write tables, by file name, to `out`, and finally their record tables.json with the digests of the scores and of the tables.

    `stages` are the folders of estimates and scores from which the tables were made. The record names these folders, relative to `out`,
    and the protocol.
    """
    estimates, scores = stages
    (out / RECORD).unlink(missing_ok=True)
    for name, table in tables.items():
        write_table(table, out / name, DECIMALS, fixed=True)
    made_from = {track.slug: Stage(scores).record(track.slug).content for track in tracks}
    files = {name: sha256(out / name) for name in tables}
    facts = {
        "scores": _relative(scores, out),
        "estimates": None if estimates is None else _relative(estimates, out),
        "protocol": protocol.name,
        "layouts": sorted({track.layout for track in tracks}),
    }
    write_json(out / RECORD, {"made_from": made_from, "files": files, "facts": facts})


def check_same_tracks(folders: Mapping[str, Path], protocol: Protocol) -> dict[str, Record]:
    """Return the records of the tables in the folders of several systems, by name.

    Raises InputError as `check_tables` does, and if a system was scored on other tracks than the last system.
    """
    records = {name: check_tables(folder, protocol) for name, folder in folders.items()}
    *_, last = records
    for name, record in records.items():
        if record.made_from.keys() != records[last].made_from.keys():
            raise InputError(f"{folders[name]}: its tables are of other tracks than those of {last}; run the same command again.")
    return records


def check_tables(out: Path, protocol: Protocol = SISEC18) -> Record:
    """Return the record of the tables in `out`.

    Raises InputError if the record is missing, or if protocol, tables, scores or estimates differ from the record. The record is then
    removed, so that the same command makes the tables again.
    """
    record = read_record(out / RECORD)
    try:
        _check(record, out)
        if (found := record.facts.get("protocol")) != protocol.name:
            raise InputError(f"{out}: its tables are of protocol {found}, not {protocol.name}; run the same command again.")
    except InputError:
        (out / RECORD).unlink()
        raise
    return record


def remove_others(stage: Stage, tracks: Sequence[PreparedTrack]) -> None:
    """Remove a stage's files and records of other tracks. Files that the stage did not make are kept."""
    present = {track.slug for track in tracks}
    for path in visible(stage.folder / "records"):
        if path.stem not in present:
            _remove(stage, path.stem)


def _remove(stage: Stage, slug: str) -> None:
    try:
        record = stage.record(slug)
    except InputError:
        return  # not a record, so the stage did not make it
    stage.forget(slug)
    for name in record.files:
        (stage.folder / name).unlink(missing_ok=True)
    log.info("%s: removed the scores of %s, which is not among the tracks", stage.folder, record.facts.get("name", slug))


def _check(record: Record, out: Path) -> None:
    for name, expected in record.files.items():
        if not (out / name).is_file() or sha256(out / name) != expected:
            raise InputError(f"{out / name}: is missing or was changed after it was written; run the same command again to remake it.")
    scores, estimates = (record.facts.get(stage) for stage in ("scores", "estimates"))
    if not isinstance(scores, str) or not isinstance(estimates, str | None):
        raise InputError(f"{out / RECORD}: is not the record of tables; run the same command again to make it.")
    stage = Stage(out / scores)
    for slug, expected in record.made_from.items():
        found = stage.checked(slug)
        estimated = OF_BASELINE if estimates is None else Stage(out / estimates).record(slug).content
        check_origins(stage, slug, found, {"estimates": estimated})
        if found.content != expected:
            raise InputError(f"{out}: its tables were made from other scores than those present; run the same command again to make them.")


def _relative(folder: Path, start: Path) -> str:
    return Path(os.path.relpath(folder.resolve(), start.resolve())).as_posix()
