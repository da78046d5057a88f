"""Faults of a SiSEC submission: the campaign's own acceptance rules, and stricter ones.

The campaign's rules are those of tests/test_submissions.py in https://github.com/sigsep/sigsep-mus-2018. From
tests/data there come `data/musdb18_test.json` (mus18_test_tracks.json, sorted) and `museval.schema.json`.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from madsep.core.errors import InputError
from madsep.core.files import read_json
from madsep.submission.score_check import is_number, listed, target_set_faults, track_faults

HERE = Path(__file__).parent
MAX_NAME_LENGTH = 4
OTHER_FILES = ("description.md", "provenance.yaml", "README", "README.md")


def check_submission(folder: Path, expected_tracks: list[str] | None = None) -> list[str]:
    """Return every fault of the submission in `folder`, one line each; an empty list when it is valid.

    The test tracks are `expected_tracks`, or `data: test_tracks` of the submission's provenance.yaml, or the 50 of
    MUSDB18. Frame counts are compared with `data: durations_s` (name -> seconds) where provenance.yaml gives it.
    """
    if not folder.is_dir():
        return [f"{folder}: no such folder"]
    data, faults = _provenance_data(folder)
    names = expected_tracks
    if names is None:
        names = data.get("test_tracks") or read_json(HERE.parent / "data" / "musdb18_test.json")
    faults += [*campaign_check(folder, names), *_misplaced_files(folder), *_description_faults(folder)]
    readable = [(path, document) for path, document in _documents(folder) if not isinstance(document, InputError)]
    faults += target_set_faults({_label(folder, path): document for path, document in readable})
    for path, document in readable:
        duration_s = data.get("durations_s", {}).get(path.stem)
        faults += [f"{_label(folder, path)}: {fault}" for fault in track_faults(document, duration_s)]
    return faults


def campaign_check(folder: Path, test_names: list[str]) -> list[str]:
    """Return the faults by the campaign's four rules: short name, description.md, the tracks' names, the schema."""
    faults = []
    name = folder.resolve().name
    if len(name) > MAX_NAME_LENGTH:
        faults.append(f"{name}: the folder's name has {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed")
    if not (folder / "description.md").is_file():
        faults.append("description.md: missing")
    documents = dict(_documents(folder))
    counts = Counter(path.stem for path in documents)
    faults += [f"test/{track}.json: missing" for track in sorted(set(test_names) - set(counts))]
    faults += [f"{track}: {n} JSON files have this name" for track, n in sorted(counts.items()) if n > 1]
    validator = Draft202012Validator(read_json(HERE / "museval.schema.json"))
    for path, document in documents.items():
        if path.stem not in test_names:
            faults.append(f"{_label(folder, path)}: {path.stem!r} is none of the {len(test_names)} test tracks")
        if isinstance(document, InputError):
            faults.append(str(document))
            continue
        places = [f"{error.json_path} is no {error.validator_value}" for error in validator.iter_errors(document)]
        if places:
            faults.append(f"{_label(folder, path)}: does not fit museval's schema: {listed(places)}")
    return faults


def _documents(folder: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every JSON below `folder` with its content, or with the InputError that says why it cannot be read."""
    for path in sorted(folder.glob("**/*.json")):
        try:
            yield path, read_json(path)
        except InputError as error:
            yield path, error


def _provenance_data(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the entries of `data:` in provenance.yaml that are used here, and the faults of that file."""
    path = folder / "provenance.yaml"
    if not path.exists():
        return {}, []
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, [f"provenance.yaml: cannot be read as YAML ({' '.join(str(error).split())})"]
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        return {}, ["provenance.yaml: has no mapping `data`"]
    used: dict[str, Any] = {}
    faults = []
    if "test_tracks" in data:
        names = data["test_tracks"]
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            used["test_tracks"] = names
        else:
            faults.append("provenance.yaml: data.test_tracks is not a list of names")
    if "durations_s" in data:
        durations_s = data["durations_s"]
        if isinstance(durations_s, dict) and all(is_number(seconds) for seconds in durations_s.values()):
            used["durations_s"] = durations_s
        else:
            faults.append("provenance.yaml: data.durations_s does not give seconds for each name")
    return used, faults


def _misplaced_files(folder: Path) -> Iterator[str]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        label = _label(folder, path)
        if path.suffix == ".json":
            if path.parent != folder / "test":
                yield f"{label}: score files belong directly in test/"
        elif label not in OTHER_FILES:
            yield f"{label}: does not belong here; beside test/*.json only {', '.join(OTHER_FILES)} may lie"


def _description_faults(folder: Path) -> Iterator[str]:
    """Yield where description.md departs from the campaign's template; its comments are not needed."""
    path = folder / "description.md"
    if not path.is_file():
        return  # campaign_check says so
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield f"description.md: is not UTF-8 (byte {error.start} is 0x{raw[error.start]:02x})"
        text = raw.decode("latin-1")
    lines = [line.strip() for line in re.sub("<!--.*?-->", "", text, flags=re.DOTALL).splitlines()]
    for fault in (*_head_faults(lines, folder.resolve().name), *_field_faults(lines), *_section_faults(lines)):
        yield f"description.md: {fault}"


def _head_faults(lines: list[str], name: str) -> Iterator[str]:
    """Check what stands before the first section: heading, authors, affiliations, contact."""
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
            yield f"says nothing behind `__{field}:__`"
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
            yield "says nothing in the section `## Method`"


def _label(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
