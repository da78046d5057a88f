"""Check a SiSEC submission by the campaign's own acceptance rules and by stricter ones.

The campaign's rules are those of tests/test_submissions.py in https://github.com/sigsep/sigsep-mus-2018. Its tests/data hold the originals
of `data/musdb18_test.json` (mus18_test_tracks.json, here sorted) and `museval.schema.json`.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.core.reading import files_below, is_stranger, is_there, read_bytes, reading
from madsep.core.yaml_files import read_yaml
from madsep.data.datasets import MUSDB18
from madsep.submission import provenance
from madsep.submission.score_check import is_number, listed, target_set_faults, track_faults

HERE = Path(__file__).parent
MAX_NAME_LENGTH = 4
MAX_DESCRIPTION_BYTES = 1_000_000
DESCRIPTION, READMES = "description.md", ("README", "README.md")
OTHER_FILES = (DESCRIPTION, provenance.FILE, *READMES)


class Verdict(NamedTuple):
    """Faults of a submission, one line each.

    An error means that the campaign would refuse the submission or that its scores are not valid. A warning concerns form alone and also
    occurs in published submissions: description.md differs from the template, or a file does not belong in the folder.
    """

    errors: list[str]
    warnings: list[str]


def check_submission(folder: Path, expected_tracks: list[str] | None = None, short_name: str | None = None) -> list[str]:
    """Return all errors and warnings that `judge_submission` finds in the submission in `folder`."""
    errors, warnings = judge_submission(folder, expected_tracks, short_name)
    return [*errors, *warnings]


def judge_submission(folder: Path, expected_tracks: list[str] | None = None, short_name: str | None = None) -> Verdict:
    """Return the errors and warnings of the submission in `folder`. A submission as madsep writes it has neither.

    The expected test tracks are `expected_tracks`, or else `data: test_tracks` of provenance.yaml, or else the 50 of MUSDB18. The digests
    in provenance.yaml, if it exists, must agree with each other and with the score files. `short_name` defaults to the folder's name.
    """
    if not folder.is_dir():
        return Verdict([f"{folder}: no such folder"], [])
    try:
        files_below(folder)
    except InputError as error:  # an unreadable folder
        return Verdict([str(error)], [])
    name = short_name or Path(os.path.abspath(folder)).name  # resolve() would follow a link  # noqa: PTH100
    document, errors = _read_provenance(folder)
    description, unreadable = _read_description(folder)
    tracks = expected_tracks or _listed_tracks(document) or MUSDB18.test_names()
    errors += [*campaign_check(folder, tracks, name), *_misplaced_scores(folder), *unreadable]
    readable = {path: content for path, content in _documents(folder).items() if not isinstance(content, InputError)}
    errors += target_set_faults({_label(folder, path): content for path, content in readable.items()})
    durations_s = _durations_s(document)
    for path, content in readable.items():
        errors += [f"{_label(folder, path)}: {fault}" for fault in track_faults(content, durations_s.get(path.stem))]
    return Verdict(errors, [*_misplaced_files(folder), *_description_faults(description, name)])


def campaign_check(folder: Path, test_names: list[str], short_name: str) -> list[str]:
    """Return violations of the campaign's four rules: length of the short name, description.md, track names, and schema."""
    faults = []
    if len(short_name) > MAX_NAME_LENGTH:
        faults.append(f"{short_name}: the folder's name has {len(short_name)} characters; at most {MAX_NAME_LENGTH} are allowed")
    if DESCRIPTION not in {_label(folder, path) for path in files_below(folder)}:
        faults.append(f"{DESCRIPTION}: missing")
    documents = _documents(folder)
    counts = Counter(path.stem for path in documents)
    faults += [f"test/{track}.json: missing" for track in sorted(set(test_names) - set(counts))]
    faults += [f"{track}: {n} JSON files have this name" for track, n in sorted(counts.items()) if n > 1]
    validator = Draft202012Validator(read_json(HERE / "museval.schema.json"))
    for path, document in documents.items():
        if path.stem not in test_names:
            faults.append(f"{_label(folder, path)}: {path.stem!r} is not one of the {len(test_names)} test tracks")
        if isinstance(document, InputError):
            faults.append(str(document))
            continue
        places = [f"{error.json_path} is no {error.validator_value}" for error in validator.iter_errors(document)]
        if places:
            faults.append(f"{_label(folder, path)}: does not fit museval's schema: {listed(places)}")
    return faults


def _documents(folder: Path) -> dict[Path, Any]:
    """Return the content of every .json file below `folder`, or the InputError that reading it raised.

    Hidden files and files left by other programs are skipped. `_misplaced_scores` reports them.
    """
    documents: dict[Path, Any] = {}
    for path in files_below(folder):
        if path.suffix == ".json" and not _is_strange(folder, path):
            try:
                documents[path] = read_json(path)
            except InputError as error:
                documents[path] = error
    return documents


def _read_provenance(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the content of provenance.yaml and its faults. The content is empty if the file is missing or unreadable."""
    path = folder / provenance.FILE
    try:
        if not is_there(path):
            return {}, []
        values = read_yaml(path)
    except InputError as error:
        return {}, [str(error).removeprefix(f"{folder}/")]
    try:
        with reading(path, "the provenance of a submission"):
            return values, list(provenance.chain_faults(provenance.parse_provenance(values), folder))
    except InputError as error:
        return values, str(error).removeprefix(f"{folder}/").splitlines()


def _listed_tracks(document: dict[str, Any]) -> list[str] | None:
    """Return `data: test_tracks` if it is a list of names, or else None."""
    data = document.get("data")
    names = data.get("test_tracks") if isinstance(data, dict) else None
    return names if isinstance(names, list) and names and all(isinstance(name, str) for name in names) else None


def _durations_s(document: dict[str, Any]) -> dict[str, float]:
    """Return the valid entries of `data: durations_s`: seconds by track name."""
    data = document.get("data")
    durations_s = data.get("durations_s") if isinstance(data, dict) else None
    return {name: seconds for name, seconds in durations_s.items() if is_number(seconds)} if isinstance(durations_s, dict) else {}


def _misplaced_scores(folder: Path) -> Iterator[str]:
    """Yield a fault for each .json file outside test/, because the campaign's check would take it for a track."""
    for path in files_below(folder):
        label = _label(folder, path)
        if path.suffix == ".json" and _is_strange(folder, path):
            yield f"{label}: is {_stranger(folder, path)}; delete it; the campaign's check reads every .json"
        elif path.suffix == ".json" and path.parent != folder / "test":
            yield f"{label}: score files belong directly in test/"


def _misplaced_files(folder: Path) -> Iterator[str]:
    """Yield a warning for each other file that does not belong in a submission."""
    for path in files_below(folder):
        label = _label(folder, path)
        if path.suffix == ".json":
            continue
        if _is_strange(folder, path):
            yield f"{label}: is {_stranger(folder, path)}; delete it"
        elif label not in OTHER_FILES:
            yield f"{label}: does not belong here; only test/*.json, {', '.join(OTHER_FILES)} do"


def _stranger(folder: Path, path: Path) -> str:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return "a hidden file" if hidden else "left by another program"


def _is_strange(folder: Path, path: Path) -> bool:
    return any(is_stranger(part) for part in path.relative_to(folder).parts)


def _read_description(folder: Path) -> tuple[bytes | None, list[str]]:
    """Return the content of description.md, or None if it is missing or unreadable, and the error if it is unreadable."""
    path = folder / DESCRIPTION
    try:
        return (read_bytes(path, MAX_DESCRIPTION_BYTES) if is_there(path) else None), []  # campaign_check reports a missing file
    except InputError as error:
        return None, [str(error).removeprefix(f"{folder}/")]


def _description_faults(raw: bytes | None, short_name: str) -> Iterator[str]:
    """Yield each difference between description.md and the campaign's template. Deleted comments do not count."""
    if raw is None:
        return
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"description.md: is not UTF-8 (byte {error.start} is 0x{raw[error.start]:02x})"
        text = raw.decode("latin-1")
    lines = [line.strip() for line in re.sub("<!--.*?-->", "", text, flags=re.DOTALL).splitlines()]
    for fault in (*_head_faults(lines, short_name), *_field_faults(lines), *_section_faults(lines)):
        yield f"description.md: {fault}"


def _head_faults(lines: list[str], name: str) -> Iterator[str]:
    """Yield faults in the part before the first section: heading, authors, affiliations, contact."""
    first_section = next((i for i, line in enumerate(lines) if line.startswith("## ")), len(lines))
    head = [line for line in lines[:first_section] if line]
    if not head or not head[0].startswith("# "):
        yield "does not begin with the heading `# NAME`"
    else:
        short_name = head.pop(0).removeprefix("# ").strip()
        if short_name != name:
            yield f"is headed {short_name!r}, but the folder is called {name!r}"
    contact = next((i for i, line in enumerate(head) if re.search(r"@|[\[(]at[\])]|^Contact: \S", line)), None)
    people = head if contact is None else head[:contact]
    if not people:
        yield "has no line of authors below the heading"
    if len(people) < 2:
        yield "has no line of affiliations below the authors"
    if contact is None:
        yield "has no contact below the affiliations (an address, or a line `Contact: ...`)"


def _field_faults(lines: list[str]) -> Iterator[str]:
    for field in ("is_blind", "additional_training_data", "Code", "Demos"):
        matches = [re.fullmatch(rf"(?:[*-]\s+)?__{field}:__\s*(.*)", line) for line in lines]
        values = [match[1] for match in matches if match]
        if len(values) != 1:
            yield f"has {'no field' if not values else f'{len(values)} fields'} `__{field}:__`"
        elif not values[0]:
            yield f"has nothing after `__{field}:__`"
        elif field[0].islower() and values[0].lower() not in ("yes", "no"):
            yield f"`__{field}:__` is {values[0]!r}, not yes or no"


def _section_faults(lines: list[str]) -> Iterator[str]:
    for section in ("Method", "References"):
        if f"## {section}" not in lines:
            yield f"has no section `## {section}`"
            continue
        start = lines.index(f"## {section}") + 1
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("## ")), len(lines))
        if section == "Method" and not any(line and not line.startswith("#") for line in lines[start:end]):
            yield "has no text in the section `## Method`"


def _label(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
