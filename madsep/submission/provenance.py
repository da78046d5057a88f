"""Content of a submission's provenance.yaml, and checks that its digests agree with each other and with the scores."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from madsep.core.errors import InputError
from madsep.core.files import digest, sha256
from madsep.core.reading import is_there
from madsep.data.tracks import slug_of
from madsep.systems.identity import system_identity_of, training_identity_of
from madsep.systems.recipe import System

FILE = "provenance.yaml"
N_DIGITS = 12  # number of digits of a digest that messages show


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Prepared(_Part):
    """Prepared audio of one track: its SHA-256, and that of each source file, by stem."""

    sources: dict[str, str]
    form: str  # digest of how it was prepared
    identity: str  # digest of sources and form
    sha256: str


class Training(_Part):
    """One training, which may have run in several parts."""

    identity: str
    files: dict[str, str]  # SHA-256
    n_parts: int
    seconds: float
    parts: list[dict[str, Any]]
    details: dict[str, Any]


class CheckpointFile(_Part):
    """The checkpoint that separated the tracks: its SHA-256, and the origin that it records."""

    sha256: str
    identity: str  # of the system
    training: str  # identity
    weights: str  # SHA-256


class Estimates(_Part):
    """Estimates of one track: digests of their ingredients, SHA-256 of each wav, and number of clipped samples per target."""

    made_from: dict[str, str]
    files: dict[str, str]
    n_clipped: dict[str, int]


class Scores(_Part):
    """Scores of one track: digests of their ingredients, and the SHA-256 of test/<track>.json."""

    made_from: dict[str, str]
    sha256: str


class Data(_Part):
    """The tracks by name. `layouts` and `ffmpeg` record how they were read, `notes` what was noticed while preparing them."""

    layouts: list[str]
    ffmpeg: str | None
    validation_tracks: list[str]
    test_tracks: list[str]
    durations_s: dict[str, float]  # of the test tracks
    n_samples: dict[str, int]
    notes: dict[str, list[str]]
    train: dict[str, Prepared]
    test: dict[str, Prepared]


class Provenance(_Part):
    """Everything that a submission was made from."""

    written: str
    madsep_commit: str | None
    versions: dict[str, str | None]
    hardware: dict[str, Any]
    settings: dict[str, Any]  # the recipe
    settings_sha256: dict[str, str]  # of each of its sections
    scoring: dict[str, Any]
    description_sha256: str  # of the generated description.md; if the file has another digest, a person edited it
    training: Training
    checkpoint: CheckpointFile
    data: Data
    estimates: dict[str, Estimates]
    scores: dict[str, Scores]
    times: dict[str, Any]


def parse_provenance(values: Mapping[str, Any]) -> Provenance:
    """Return the content of provenance.yaml. Raises InputError with one line for each entry that is missing or of another type."""
    try:
        return Provenance.model_validate(values)
    except ValidationError as error:
        lines = [f"{FILE}: {'.'.join(map(str, fault['loc']))!r}: {_plain(fault['type'], fault['msg'])}" for fault in error.errors()]
        raise InputError("\n".join(lines)) from None


def chain_faults(provenance: Provenance, folder: Path) -> Iterator[str]:
    """Yield one line for each contradiction among digests in provenance.yaml, or between them and the score files in `folder`/test."""
    changed = [f"settings.{key} was changed after the submission was written" for key in _changed_settings(provenance)]
    for fault in (
        *changed,
        *_data_faults(provenance),
        *([] if changed else _identity_faults(provenance)),
        *_track_faults(provenance),
        *_audit_faults(provenance),
    ):
        yield f"{FILE}: {fault}"
    for name, scores in provenance.scores.items():
        path = folder / "test" / f"{name}.json"
        if is_there(path) and sha256(path) != scores.sha256:
            yield f"test/{name}.json: its SHA-256 is not the one in {FILE}; it was changed after the submission was written"


def _changed_settings(provenance: Provenance) -> Iterator[str]:
    settings, recorded = provenance.settings, provenance.settings_sha256
    for key in sorted({*settings, *recorded, *System.model_fields}):
        if key not in settings or recorded.get(key) != digest(settings[key]):
            yield key


def _data_faults(provenance: Provenance) -> Iterator[str]:
    data = provenance.data
    for subset, tracks in (("train", data.train), ("test", data.test)):
        for name, track in tracks.items():
            if track.identity != digest({**track.sources, "form": track.form}):
                yield f"data.{subset}: the prepared audio of {name!r} was made from other sources; a digest was changed"
    for name in data.validation_tracks:
        if name not in data.train:
            yield f"data.validation_tracks: {name!r} is not among the training tracks"


def _identity_faults(provenance: Provenance) -> Iterator[str]:
    settings, data, training, checkpoint = provenance.settings, provenance.data, provenance.training, provenance.checkpoint
    prepared = {slug_of(name): track.identity for name, track in data.train.items()}
    expected = training_identity_of(settings, prepared, [slug_of(name) for name in data.validation_tracks])
    if training.identity != expected:
        yield f"training.identity is {_short(training.identity)}; these settings and training tracks give {_short(expected)}"
    if checkpoint.training != training.identity:
        yield f"the checkpoint was made from training {_short(checkpoint.training)}, not from {_short(training.identity)}"
    if checkpoint.weights not in training.files.values():
        yield f"the checkpoint holds weights {_short(checkpoint.weights)}, which are not those of the training"
    if checkpoint.identity != (system := system_identity_of(settings, checkpoint.training)):
        yield f"checkpoint.identity is {_short(checkpoint.identity)}; its training and these settings give {_short(system)}"


def _track_faults(provenance: Provenance) -> Iterator[str]:
    """Yield a fault if estimates or scores of a test track were made from anything other than what is listed."""
    data, expected = provenance.data, set(provenance.data.test_tracks)
    for where, names in (("data.test", data.test), ("estimates", provenance.estimates), ("scores", provenance.scores)):
        for name in sorted(expected ^ set(names)):
            yield f"{where}: {name!r} is {'missing' if name in expected else 'not among data.test_tracks'}"
    for name in sorted(expected & set(data.test) & set(provenance.estimates) & set(provenance.scores)):
        estimates, scores = provenance.estimates[name], provenance.scores[name]
        links = (
            ("estimates", "prepared", estimates.made_from, data.test[name].sha256, "prepared audio"),
            ("estimates", "checkpoint", estimates.made_from, provenance.checkpoint.sha256, "checkpoint"),
            ("scores", "references", scores.made_from, data.test[name].sha256, "references"),
            ("scores", "estimates", scores.made_from, digest(estimates.files), "estimates"),
        )
        for made, ingredient, found, digits, words in links:
            if found.get(ingredient) != digits:
                yield f"the {made} of {name!r} were made from {words} {_short(found.get(ingredient))}, not from {_short(digits)}"
        if scores.made_from.get("engine") != provenance.scoring.get("engine"):
            yield f"the scores of {name!r} were made by engine {scores.made_from.get('engine')}, not {provenance.scoring.get('engine')}"


def _audit_faults(provenance: Provenance) -> Iterator[str]:
    """Yield a fault for each track whose audit compared other scores than the submitted ones."""
    audit = provenance.scoring.get("audit_by_museval")
    audited = audit.get("scores") if isinstance(audit, dict) else None
    if not isinstance(audited, dict):
        return
    for name, scores in provenance.scores.items():
        if audited.get(slug_of(name), content := digest({f"test/{name}.json": scores.sha256})) != content:
            yield f"the audit by museval compared other scores of {name!r}"


def _short(digits: str | None) -> str:
    return "without a digest" if digits is None else digits[:N_DIGITS]


def _plain(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message[0].lower() + message[1:]
