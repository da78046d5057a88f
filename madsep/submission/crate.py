"""Export a submission with its provenance as an RO-Crate, a folder that archives and other programs can read.

The crate is a copy and lies outside the submission, because the campaign's check takes every .json in a submission's folder for a track.
Soiland-Reyes et al., "Packaging research artefacts with RO-Crate", Data Science 5(2), 2022; profile: Process Run Crate 0.5.
"""

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from madsep.core.errors import InputError
from madsep.core.files import check_unused, new_folder, sha256
from madsep.core.reading import is_there
from madsep.core.yaml_files import read_yaml
from madsep.data.tracks import slug_of
from madsep.submission.check import OTHER_FILES, judge_submission
from madsep.submission.provenance import FILE, Provenance, parse_provenance

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
TERMS = "https://w3id.org/ro/terms/workflow-run/context"  # defines sha256
METADATA = "ro-crate-metadata.json"
CODE = "https://github.com/madsep/madsep"
TYPES = {".json": "application/json", ".md": "text/markdown", ".yaml": "application/yaml"}


def write_crate(submission: Path, folder: Path, overwrite: bool = False) -> None:
    """Write `folder` with ro-crate-metadata.json and copies of the submission's files, whole or not at all.

    Raises InputError if `folder` is not empty or lies inside the submission, or if the submission has errors or no provenance.yaml.
    """
    from rocrate.rocrate import ROCrate  # takes seconds to import

    check_unused(folder, (METADATA, "test", *OTHER_FILES), overwrite)
    if folder.resolve().is_relative_to(submission.resolve()):
        raise InputError(f"{folder}: lies in the submission, where the campaign's check would read its metadata; choose another folder.")
    if errors := judge_submission(submission).errors:
        raise InputError(f"{submission}: not valid ({errors[0]}); `madsep check` lists all faults.")
    if not is_there(submission / FILE):
        raise InputError(f"{submission}: has no {FILE}, so its origin is unknown; expected a submission that madsep wrote.")
    provenance = parse_provenance(read_yaml(submission / FILE))
    crate = ROCrate()
    _describe(crate, submission, provenance)
    with new_folder(folder) as new:
        crate.write(new)


def _describe(crate: "ROCrate", submission: Path, provenance: Provenance) -> None:
    """Add the files, their ingredients, and the action that made them to the crate."""
    name, written = submission.resolve().name, datetime.datetime.fromisoformat(provenance.written)
    title = provenance.settings["description"]["title"]
    crate.name = f"{name}: scores of {len(provenance.scores)} tracks for the Signal Separation Evaluation Campaign"
    crate.description = f"{title}. BSSEval v4 scores, their description, and the record of how they were made."
    crate.datePublished = written
    crate.metadata.extra_contexts.append(TERMS)
    profile = _entity(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    crate.root_dataset["conformsTo"] = profile
    results = [_file(crate, submission, path) for path in sorted((submission / "test").glob("*.json"))]
    for other in OTHER_FILES:
        if is_there(submission / other):
            _file(crate, submission, submission / other)
    versions = {key: version for key, version in provenance.versions.items() if version is not None}
    software = {key: _entity(crate, f"#{key}", "SoftwareApplication", name=key, version=version) for key, version in versions.items()}
    madsep = software.pop("madsep")
    madsep["url"], madsep["softwareRequirements"] = CODE, list(software.values())
    if provenance.madsep_commit:
        madsep["softwareVersion"] = provenance.madsep_commit
    action = {"name": f"Training, separation and scoring of {name}", "endTime": provenance.written}
    crate.add_action(madsep, identifier="#run", object=_made_from(crate, provenance), result=results, properties=action)


def _made_from(crate: "ROCrate", provenance: Provenance) -> list[Any]:
    """Return entities for the data, the recipe and the checkpoint, with their digests."""
    data, checkpoint = provenance.data, provenance.checkpoint
    tracks = [
        _entity(crate, f"#{subset}/{slug_of(track)}", "CreativeWork", name=track, sha256=prepared.sha256)
        for subset, prepared_tracks in (("train", data.train), ("test", data.test))
        for track, prepared in sorted(prepared_tracks.items())
    ]
    about = f"{len(data.train)} training and {len(data.test)} test tracks, each with the SHA-256 of its prepared audio"
    dataset = _entity(crate, "#data", "CreativeWork", name="Data set", description=about, hasPart=tracks)
    recipe = _entity(crate, "#recipe", "CreativeWork", name=f"Recipe {provenance.settings['name']}", identifier=checkpoint.identity)
    weights = _entity(crate, "#checkpoint", "CreativeWork", name="Checkpoint", sha256=checkpoint.sha256)
    return [dataset, recipe, weights]


def _entity(crate: "ROCrate", identifier: str, kind: str, /, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _file(crate: "ROCrate", submission: Path, path: Path) -> Any:
    label = path.relative_to(submission).as_posix()
    properties = {
        "name": path.stem if path.suffix == ".json" else label,
        "encodingFormat": TYPES.get(path.suffix, "text/plain"),
        "contentSize": str(path.stat().st_size),
        "sha256": sha256(path),
    }
    return crate.add_file(path, label, properties=properties)
