"""Write a submission to the Signal Separation Evaluation Campaign: description, one score file per track, provenance."""

import contextlib
import datetime
import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from madsep.core.artefacts import Record, Stage
from madsep.core.errors import InputError
from madsep.core.files import atomic, digest, new_folder, read_json, sha256, write_text
from madsep.core.logs import log
from madsep.core.provenance import git_commit, hardware, versions
from madsep.core.yaml_files import read_yaml, write_yaml
from madsep.data.prepared import PreparedTrack
from madsep.scoring.chain import check_chain
from madsep.scoring.estimates import for_each
from madsep.submission.check import DESCRIPTION, READMES, check_submission
from madsep.submission.description import describe
from madsep.submission.provenance import FILE, CheckpointFile, Data, Estimates, Prepared, Provenance, Scores, Training
from madsep.submission.times import Jobs, times
from madsep.systems.recipe import Recipe

Authors = Mapping[str, str | None]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Sources:
    """Inputs of a submission."""

    checkpoint: Path
    training: Path  # folder of the training
    train: Sequence[PreparedTrack]
    validation: Sequence[str]  # slugs of the training tracks held out; none if the recipe uses no validation
    test: Sequence[PreparedTrack]
    estimates: Path  # folder of the stage
    scores: Path  # folder of the stage
    jobs: Jobs


@dataclass(frozen=True)
class _Records:
    """Records of the stages, by track name."""

    checkpoint: Mapping[str, Any]  # metadata
    weights: Record
    prepared: Mapping[str, Record]
    estimates: Mapping[str, Record]
    scores: Mapping[str, Record]


def read_scoring(engine: str, audit: Path | None = None) -> dict[str, Any]:
    """Return the engine and, if museval audited it, the audit, for the provenance and the description."""
    return {"engine": engine} | ({} if audit is None else {"audit_by_museval": read_json(audit)})


def write_submission(sources: Sources, recipe: Recipe, scoring: Mapping[str, Any], authors: Authors, folder: Path) -> None:
    """Write description.md, provenance.yaml and test/<track>.json, check them, and only then put them into `folder`.

    A hand-edited description.md and a README are kept. If `folder` is a link, it is followed. Raises InputError with one line per fault,
    and leaves `folder` unchanged, if an artefact was made from anything other than `sources`, if the check finds a fault, or if `folder`
    holds files that are not part of a submission.
    """
    records = _read(sources, recipe)
    text = describe(recipe, scoring, authors)
    kept = _kept(folder, text, {track.name for track in sources.test})
    provenance = _provenance(sources, recipe, records, scoring, text)
    with new_folder(folder.resolve()) as new:
        for track in sources.test:
            name = f"test/{track.name}.json"
            with atomic(new / name) as temporary:
                shutil.copyfile(sources.scores / name, temporary)
        write_text(new / DESCRIPTION, text)
        for name in kept:
            shutil.copyfile(folder / name, new / name)
        write_yaml(new / FILE, provenance.model_dump(mode="json"))
        faults = check_submission(new, short_name=folder.name)
        if faults:
            raise InputError("\n".join([f"{folder}: not written, {_counted(len(faults))}:", *faults]))


def _read(sources: Sources, recipe: Recipe) -> _Records:
    """Read the records of everything that a submission is made from.

    If an artefact was changed, or made from anything other than what is present, its record is removed, so that the same command makes it
    again. Raises InputError with one line per fault. Artefacts that depend on a faulty one are not checked.
    """
    from madsep.models.checkpoint import WEIGHTS, read_tensors  # imports torch

    faults: list[str] = []

    def tried(read: Callable[[], Found]) -> Found | None:
        try:
            return read()
        except InputError as error:
            faults.extend(str(error).splitlines())
            return None

    checkpoint = tried(lambda: read_tensors(sources.checkpoint)[1])
    if checkpoint is not None and checkpoint.get("recipe") != recipe.system_values():
        again = "delete it and run the same command again."
        faults.append(f"{sources.checkpoint}: was made with different settings from those in recipe {recipe.name}; {again}")
    weights = tried(lambda: Stage(sources.training).checked(WEIGHTS))
    if not faults:
        present = sha256(sources.checkpoint)
        tried(lambda: for_each(sources.test, partial(_check_estimates, Stage(sources.estimates), present)))
    if not faults:
        tried(lambda: check_chain(sources.test, sources.estimates, sources.scores))
    if faults or checkpoint is None or weights is None:
        raise InputError("\n".join(faults))
    prepared = {track.name: Stage(track.file.parent).record(track.slug) for track in (*sources.train, *sources.test)}
    estimates, scores = (
        {track.name: Stage(folder).record(track.slug) for track in sources.test} for folder in (sources.estimates, sources.scores)
    )
    return _Records(checkpoint, weights, prepared, estimates, scores)


def _check_estimates(stage: Stage, checkpoint: str, track: PreparedTrack) -> None:
    """Raise InputError and remove the record of a track's estimates if they were made from another checkpoint or other audio."""
    made_from = stage.record(track.slug).made_from
    for what, present, words in (
        ("checkpoint", checkpoint, "another checkpoint"),
        ("prepared", track.sha256, "other prepared audio"),
    ):
        if made_from.get(what) != present:
            stage.forget(track.slug)
            raise InputError(f"{track.name}: {stage.folder} has estimates made from {words}; run the same command again to separate it.")


def _provenance(sources: Sources, recipe: Recipe, records: _Records, scoring: Mapping[str, Any], text: str) -> Provenance:
    settings, metadata = recipe.values(), records.checkpoint
    scores = {track.name: records.scores[track.name] for track in sources.test}
    return Provenance(
        written=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        madsep_commit=git_commit(Path(__file__).parent),
        versions=versions(),
        hardware=hardware(),
        settings=settings,
        settings_sha256={key: digest(value) for key, value in settings.items()},
        scoring=dict(scoring),
        description_sha256=_sha256_of(text),
        training=_training(records),
        checkpoint=CheckpointFile(
            sha256=sha256(sources.checkpoint),
            identity=metadata["identity"],
            training=metadata["training"],
            weights=metadata["provenance"]["weights_sha256"],
        ),
        data=_data(sources, records),
        estimates={name: _estimates(record) for name, record in records.estimates.items()},
        scores={
            name: Scores(made_from=dict(record.made_from), sha256=record.files.get(f"test/{name}.json", ""))
            for name, record in scores.items()
        },
        times=times(sources.jobs),
    )


def _training(records: _Records) -> Training:
    weights = records.weights
    parts = list(weights.facts["parts"])
    return Training(
        identity=weights.made_from["training"],
        files=dict(weights.files),
        n_parts=len(parts),
        seconds=round(sum(part["seconds"] for part in parts), 1),
        parts=parts,
        details=records.checkpoint["provenance"],
    )


def _data(sources: Sources, records: _Records) -> Data:
    tracks = (*sources.train, *sources.test)
    names = {track.slug: track.name for track in sources.train}
    return Data(
        layouts=sorted({track.layout for track in tracks}),
        ffmpeg=next((track.ffmpeg for track in tracks if track.ffmpeg), None),
        validation_tracks=[names[slug] for slug in sources.validation],
        test_tracks=[track.name for track in sources.test],
        durations_s={track.name: track.duration_s for track in sources.test},
        n_samples={track.name: track.n_samples for track in tracks},
        notes={track.name: list(track.notes) for track in tracks if track.notes},
        train={track.name: _prepared(track, records) for track in sources.train},
        test={track.name: _prepared(track, records) for track in sources.test},
    )


def _prepared(track: PreparedTrack, records: _Records) -> Prepared:
    form = records.prepared[track.name].made_from["form"]
    return Prepared(sources=dict(track.sources), form=form, identity=track.identity, sha256=track.sha256)


def _estimates(record: Record) -> Estimates:
    return Estimates(made_from=dict(record.made_from), files=dict(record.files), n_clipped=record.facts["n_clipped"])


def _kept(folder: Path, text: str, test_names: set[str]) -> list[str]:
    """Return the names of the files in `folder` that a person wrote. Raises InputError if others are not part of a submission."""
    if not folder.is_dir():
        return []
    written: dict[str, Any] = {}
    with contextlib.suppress(InputError):  # an unreadable file is replaced
        written = read_yaml(folder / FILE)
    earlier = written.get("scores") if isinstance(written.get("scores"), dict) else {}
    ours = {DESCRIPTION, FILE, *READMES, *(f"test/{name}.json" for name in {*test_names, *(earlier or {})})}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if strangers := sorted(found - ours):
        raise InputError("\n".join(f"{folder / name}: is not part of a submission; move or delete it." for name in strangers))
    kept = [name for name in READMES if name in found]
    if DESCRIPTION in found and sha256(folder / DESCRIPTION) not in (_sha256_of(text), written.get("description_sha256")):
        kept.append(DESCRIPTION)
    if kept:
        log.info("%s: kept your edited %s; delete it to generate it again", folder, " and ".join(sorted(kept)))
    return kept


def _sha256_of(text: str) -> str:
    """Return the SHA-256 of the file that holds `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def _counted(n_faults: int) -> str:
    return "1 fault to fix" if n_faults == 1 else f"{n_faults} faults to fix"
