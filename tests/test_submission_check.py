import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from submissions import METRICS, scores

from madsep.core.yaml_files import write_yaml
from madsep.data.datasets import MUSDB18
from madsep.submission.check import HERE, campaign_check, check_submission, judge_submission

TRACKS = ["A & B - It's (Mine)", "M.E.R.C. Music - Knockout", "Triviul feat. The Fiend - Widow"]
DESCRIPTION = """# ABC1 <!-- Your submission short name in <=4 characters -->
Ada Author, Ben Author <!-- Authors  -->
University of Somewhere <!-- Affiliations -->
contact@author.com <!-- one corresponding mail address -->

## Additional Info

* __is_blind:__ no  <!-- if you used supervised learning, answer no -->
* __additional_training_data:__ yes  <!-- if you used more data than musdb -->

## Supplemental Material

* __Code:__ http://github.com/my/repo
* __Demos:__ http://www.demo.com

## Method

Here we describe the method.

## References

- A. Author, Proceedings of LVA/ICA, 2018
"""
Change = Callable[[list[dict[str, Any]]], object]


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    """A submission that was not made here: it has no provenance.yaml."""
    folder = tmp_path / "ABC1"
    (folder / "test").mkdir(parents=True)
    (folder / "description.md").write_text(DESCRIPTION)
    for i, name in enumerate(TRACKS):
        (folder / "test" / f"{name}.json").write_text(json.dumps(scores(4 + i)))
    return folder


def check(folder: Path) -> list[str]:
    return check_submission(folder, TRACKS)


def change(folder: Path, track: str, edit: Change) -> None:
    """Let `edit` change the list of targets in one track's file."""
    path = folder / "test" / f"{track}.json"
    document = json.loads(path.read_text())
    edit(document["targets"])
    path.write_text(json.dumps(document))


def rewrite(folder: Path, old: str, new: str) -> None:
    assert old in DESCRIPTION
    (folder / "description.md").write_text(DESCRIPTION.replace(old, new))


def test_valid_submission_has_no_fault(submission: Path) -> None:
    assert check(submission) == []
    assert campaign_check(submission, TRACKS, "ABC1") == []
    (submission / "README.md").write_text("Scores of ABC1.")
    assert check_submission(submission, TRACKS) == []


def test_template_comments_may_go(submission: Path) -> None:
    plain = "\n".join(line.split("<!--")[0].rstrip() for line in DESCRIPTION.splitlines())
    (submission / "description.md").write_text(plain)
    assert check(submission) == []


def test_published_mdl1_is_valid_with_two_warnings(shared: Path) -> None:
    assert judge_submission(shared / "data/sisec18/submissions/MDL1") == (
        [],
        ["description.md: is not UTF-8 (byte 89 is 0xb9)", "description.md: has no field `__Demos:__`"],
    )


def test_what_the_campaign_refuses_is_an_error_and_form_a_warning(submission: Path) -> None:
    (submission / "notes.txt").touch()
    (submission / "stray.json").write_text("{}")
    rewrite(submission, "__Demos:__", "__Demo:__")
    errors, warnings = judge_submission(submission, TRACKS)
    assert {*campaign_check(submission, TRACKS, "ABC1"), "stray.json: score files belong directly in test/"} <= {*errors}
    assert {line.split(":")[0] for line in errors} == {"stray.json"}
    assert [line.split(":")[0] for line in warnings] == ["notes.txt", "description.md"]
    (submission / "description.md").unlink()
    (submission / "description.md").mkdir()
    assert "description.md: missing" in judge_submission(submission, TRACKS).errors


def test_published_irm1_is_valid(shared: Path) -> None:
    assert check_submission(shared / "data/sisec18/submissions/IRM1") == []


def test_shipped_lists_are_the_campaigns(shared: Path) -> None:
    names = MUSDB18.test_names()
    assert names == sorted(json.loads((shared / "data/sisec18/mus18_test_tracks.json").read_text()))
    assert len(names) == 50
    schema = json.loads((HERE / "museval.schema.json").read_text())
    assert schema == json.loads((shared / "data/sisec18/museval.schema.json").read_text())


def test_names_default_to_the_fifty(submission: Path) -> None:
    faults = check_submission(submission)
    assert sum(fault.endswith(".json: missing") for fault in faults) == 50 - 2
    assert faults.count("test/A & B - It's (Mine).json: \"A & B - It's (Mine)\" is not one of the 50 test tracks") == 1
    assert len(faults) == 49


def test_given_names_win_over_those_of_the_provenance(submission: Path) -> None:
    write_yaml(submission / "provenance.yaml", {"data": {"test_tracks": [*TRACKS, "New - Song"]}})
    missing = "test/New - Song.json: missing"
    assert missing in check_submission(submission) and missing not in check(submission)


def test_hidden_files_are_named_once_each(submission: Path) -> None:
    """macOS and Jupyter leave them; the campaign's check reads every .json below the folder."""
    first = f"{TRACKS[0]}.json"
    for name in (f"test/._{first}", f"test/.ipynb_checkpoints/{first}", ".DS_Store"):
        (submission / name).parent.mkdir(exist_ok=True)
        (submission / name).write_bytes(b"\x00\xff")
    why = "is a hidden file; delete it"
    assert check(submission) == [
        f"test/._{first}: {why}; the campaign's check reads every .json",
        f"test/.ipynb_checkpoints/{first}: {why}; the campaign's check reads every .json",
        f".DS_Store: {why}",
    ]


def test_a_linked_folder_has_the_name_of_the_link(submission: Path) -> None:
    link = submission.parent / "links/ABC1"
    link.parent.mkdir()
    link.symlink_to(submission.rename(submission.with_name("a-long-name")))
    assert check(link) == []


def test_missing_folder(tmp_path: Path) -> None:
    assert check_submission(tmp_path / "ABC1") == [f"{tmp_path / 'ABC1'}: no such folder"]


def test_names_cut_at_a_dot(submission: Path) -> None:
    (submission / "test" / f"{TRACKS[1]}.json").rename(submission / "test" / "M.json")
    expected = [
        f"test/{TRACKS[1]}.json: missing",
        "test/M.json: 'M' is not one of the 3 test tracks",
    ]
    assert campaign_check(submission, TRACKS, "ABC1") == expected
    assert check(submission) == expected


def test_long_name_and_other_heading(submission: Path) -> None:
    folder = submission.rename(submission.with_name("ABCDE"))
    assert campaign_check(folder, TRACKS, "ABCDE") == ["ABCDE: the folder's name has 5 characters; at most 4 are allowed"]
    assert check(folder) == [
        "ABCDE: the folder's name has 5 characters; at most 4 are allowed",
        "description.md: is headed 'ABC1', but the folder is called 'ABCDE'",
    ]


def test_missing_description(submission: Path) -> None:
    (submission / "description.md").unlink()
    assert check(submission) == campaign_check(submission, TRACKS, "ABC1") == ["description.md: missing"]


def test_files_in_the_wrong_place(submission: Path) -> None:
    (submission / "train").mkdir()
    shutil.copy(submission / "test" / f"{TRACKS[0]}.json", submission / "train")
    (submission / "test" / "vocals.wav").write_bytes(b"")
    assert check(submission) == [
        f"{TRACKS[0]}: 2 JSON files have this name",
        f"train/{TRACKS[0]}.json: score files belong directly in test/",
        "test/vocals.wav: does not belong here; only test/*.json, description.md, provenance.yaml, README, README.md do",
    ]


@pytest.mark.parametrize("text", ["{", "", "\x00", "[" * 100_000], ids=["open", "empty", "nul", "deep"])
def test_files_that_are_not_json(submission: Path, text: str) -> None:
    path = submission / "test" / f"{TRACKS[0]}.json"
    path.write_text(text)
    faults = check(submission)
    assert len(faults) == 1 and faults[0].startswith(f"{path}: is not valid JSON")


def test_empty_scores_pass_the_campaign_but_not_here(submission: Path) -> None:
    path = submission / "test" / f"{TRACKS[0]}.json"
    for text in ("{}", '{"targets": []}'):
        path.write_text(text)
        assert campaign_check(submission, TRACKS, "ABC1") == []
        assert check(submission) == [f"test/{TRACKS[0]}.json: the targets are none; those of the other tracks are accompaniment, vocals"]


def no_frames(targets: list[dict[str, Any]]) -> None:
    targets[1]["frames"] = []


def other_form(targets: list[dict[str, Any]]) -> None:
    targets[0]["frames"][2]["metrics"]["SDR"] = "loud"


def set_metric(frame: int, metric: str, value: float) -> Change:
    return lambda targets: targets[0]["frames"][frame]["metrics"].__setitem__(metric, value)


def set_frame(target: int, frame: int, value: float) -> Change:
    return lambda targets: targets[target]["frames"][frame].update(metrics=dict.fromkeys(METRICS, value))


def all_nan(targets: list[dict[str, Any]]) -> None:
    for target in targets:
        for frame in target["frames"]:
            frame["metrics"] = dict.fromkeys(METRICS, math.nan)


# what is done to the first track, and the faults that come of it
FAULTS: list[tuple[Change, list[str]]] = [
    (lambda t: t.pop(), ["the targets are vocals; those of the other tracks are accompaniment, vocals"]),
    (lambda t: t.append(t[0]), ["target vocals occurs 2 times"]),
    (no_frames, ["target accompaniment has no frames"]),
    (lambda t: t[0]["frames"][2]["metrics"].pop("SAR"), ["target vocals lacks SAR in frames 2"]),
    (lambda t: t[0]["frames"][1].pop("metrics"), [f"target vocals lacks {m} in frames 1" for m in METRICS]),
    (other_form, ["does not fit museval's schema: $.targets[0].frames[2].metrics.SDR is no number"]),
    (lambda t: t[0]["frames"][3].update(time=3.5), ["is off the time grid (0, 1, 2, ... s, each 1 s long) in frames 3"]),
    (lambda t: t[1]["frames"][0].update(duration=2.0), ["target accompaniment is off the time grid"]),
    (lambda t: t[1]["frames"][0].pop("time"), ["target accompaniment is off the time grid"]),
    (set_metric(2, "SIR", math.inf), ["target vocals has infinite scores in frames 2"]),
    (set_metric(3, "SIR", -math.inf), ["target vocals has infinite scores in frames 3"]),
    (set_metric(1, "SDR", math.nan), ["target vocals has NaN for some metrics but not for all in frames 1"]),
    (set_frame(1, 2, math.nan), ["NaN in some but not all of the targets vocals, accompaniment in frames 2"]),
    (set_frame(0, 0, 1.0), ["NaN in some but not all of the targets vocals, accompaniment in frames 0"]),
    (all_nan, ["target vocals has NaN in all of its 4 frames", "target accompaniment has NaN in all"]),
    (lambda t: t[0]["frames"].pop(), ["targets differ in their number of frames: vocals 3, accompaniment 4"]),
]


@pytest.mark.parametrize(("edit", "expected"), FAULTS, ids=[faults[0] for _, faults in FAULTS])
def test_each_fault_in_the_scores_has_its_line(submission: Path, edit: Change, expected: list[str]) -> None:
    change(submission, TRACKS[0], edit)
    faults = check(submission)
    assert len(faults) == len(expected), faults
    for fault, words in zip(faults, expected, strict=True):
        assert fault.startswith(f"test/{TRACKS[0]}.json: ") and words in fault


def test_all_faults_at_once(submission: Path) -> None:
    """Faults of different kinds do not hide one another."""
    for edit in (other_form, set_metric(1, "SIR", math.inf), lambda t: t[0]["frames"][3].update(time=9)):
        change(submission, TRACKS[0], edit)
    change(submission, TRACKS[1], set_frame(1, 2, math.nan))
    rewrite(submission, "__is_blind:__ no", "__is_blind:__ maybe")
    (submission / "test" / f"{TRACKS[2]}.json").unlink()
    assert len(check(submission)) == 6


@pytest.mark.parametrize(("n_frames", "valid"), [(2, False), (3, True), (4, True), (5, True), (6, False)])
def test_frame_count_may_differ_by_one_from_the_whole_seconds(submission: Path, n_frames: int, valid: bool) -> None:
    path = submission / "test" / f"{TRACKS[0]}.json"
    path.write_text(json.dumps(scores(n_frames)))
    write_yaml(submission / "provenance.yaml", {"data": {"durations_s": {TRACKS[0]: 4.7}}})
    expected = [] if valid else [f"test/{TRACKS[0]}.json: has {n_frames} frames; expected 4 +-1 for 4.7 s"]
    assert [fault for fault in check(submission) if fault.startswith("test/")] == expected


@pytest.mark.parametrize(
    ("targets", "valid"),
    [
        (("vocals", "accompaniment"), True),
        (("vocals", "drums", "bass", "other"), True),
        (("drums", "bass", "other", "vocals", "accompaniment"), True),
        (("vocals",), False),
        (("vocals", "drums", "bass"), False),
        (("vocals", "accompaniment", "voice"), False),
    ],
)
def test_target_sets(submission: Path, targets: tuple[str, ...], valid: bool) -> None:
    for i, name in enumerate(TRACKS):
        (submission / "test" / f"{name}.json").write_text(json.dumps(scores(4 + i, targets)))
    line = f"test/: the targets are {', '.join(sorted(targets))}; "
    faults = check(submission)
    assert faults == [] if valid else len(faults) == 1 and faults[0].startswith(line)


def test_stems_may_drop_other_frames_than_vocals_and_accompaniment(submission: Path) -> None:
    targets = ("drums", "bass", "other", "vocals", "accompaniment")
    for i, name in enumerate(TRACKS):
        (submission / "test" / f"{name}.json").write_text(json.dumps(scores(4 + i, targets)))
    for stem in range(3):
        change(submission, TRACKS[0], set_frame(stem, 2, math.nan))
    assert check(submission) == []
    change(submission, TRACKS[0], set_frame(0, 3, math.nan))
    assert check(submission) == [f"test/{TRACKS[0]}.json: NaN in some but not all of the targets drums, bass, other in frames 3"]


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("# ABC1", "ABC1", "does not begin with the heading `# NAME`"),
        ("# ABC1", "# ABC2", "is headed 'ABC2', but the folder is called 'ABC1'"),
        ("University of Somewhere <!-- Affiliations -->\n", "", "has no line of affiliations below the authors"),
        ("contact@author.com", "", "has no contact below the affiliations (an address, or a line `Contact: ...`)"),
        ("__is_blind:__ no", "__is_blind:__ perhaps", "`__is_blind:__` is 'perhaps', not yes or no"),
        ("* __is_blind:__ no", "* is_blind: no", "has no field `__is_blind:__`"),
        ("__additional_training_data:__ yes", "__additional_training_data:__", "has nothing after `__additional_training_data:__`"),
        ("* __Code:__ http://github.com/my/repo\n", "", "has no field `__Code:__`"),
        ("http://www.demo.com", "", "has nothing after `__Demos:__`"),
        ("* __Demos:__", "* __Demos:__ x\n* __Demos:__", "has 2 fields `__Demos:__`"),
        ("Here we describe the method.", "### Part\n", "has no text in the section `## Method`"),
        ("## Method", "## Ideas", "has no section `## Method`"),
        ("## References", "## Thanks", "has no section `## References`"),
    ],
)
def test_each_fault_in_the_description_has_its_line(submission: Path, old: str, new: str, fault: str) -> None:
    rewrite(submission, old, new)
    faults = check(submission)
    assert len(faults) >= 1 and faults[0].startswith("description.md: ") and fault in faults[0]
    assert len(faults) == 1 or old == "# ABC1"


def test_description_without_any_head(submission: Path) -> None:
    (submission / "description.md").write_text("## Method\ntext\n## References\n")
    assert [fault.removeprefix("description.md: ") for fault in check(submission)] == [
        "does not begin with the heading `# NAME`",
        "has no line of authors below the heading",
        "has no line of affiliations below the authors",
        "has no contact below the affiliations (an address, or a line `Contact: ...`)",
        "has no field `__is_blind:__`",
        "has no field `__additional_training_data:__`",
        "has no field `__Code:__`",
        "has no field `__Demos:__`",
    ]


NESTED = "\n".join(" " * depth + "a:" for depth in range(3000))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("data: [unclosed", "cannot be read as YAML"),
        ("just text", "is not a mapping"),
        ("- a", "is not a mapping"),
        ("", "is not a mapping"),
        ("a: .nan", "line 1: .nan is not a finite number"),
        ("a: [-.inf]", "line 1: -.inf is not a finite number"),
        ("a: &x [1]\nb: *x", "line 2: aliases are not allowed"),
        ("a: !!python/object:os.path {}", "line 1: the tag 'tag:yaml.org,2002:python/object:os.path' is not allowed"),
        ("7: a", "line 1: the key '7' is not text; put it in quotes"),
        ("? [a]\n: b", "line 1: a key is not text"),
        ("a: 1\na: 2", "line 2: the key 'a' occurs twice"),
        ("[" * 100_000, "line 1: more than 20 levels are nested"),
        (NESTED, "has more than 2 MB"),
        ("a: 0x_", "cannot be read as YAML"),
        (f"a: {'9' * 5000}", "cannot be read as YAML"),
        ("a: \x00", "cannot be read as YAML"),
    ],
)
def test_a_provenance_that_is_not_plain_yaml_is_one_fault(submission: Path, text: str, fault: str) -> None:
    (submission / "provenance.yaml").write_text(text)
    faults = check(submission)
    assert len(faults) == 1 and faults[0].startswith("provenance.yaml: ") and fault in faults[0]
    assert "\n" not in faults[0]


@pytest.mark.parametrize("text", ["a: 1", "data: 1", "data: {test_tracks: all, durations_s: {a: long}}", "data: {test_tracks: [1]}"])
def test_a_provenance_without_its_entries_is_named_line_by_line(submission: Path, text: str) -> None:
    (submission / "provenance.yaml").write_text(text)
    faults = check(submission)
    assert "provenance.yaml: 'settings': is missing" in faults
    assert all(fault.startswith("provenance.yaml: 'data") == ("data" in fault) for fault in faults)
    assert any("data" in fault for fault in faults)
