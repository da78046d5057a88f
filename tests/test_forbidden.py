"""Each verb on what may not be read, on links that lead nowhere, and among strangers: plain lines with names, or none at all."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from submissions import scores
from tiny import tiny_checkpoint
from wavs import RATE_HZ, noise_stems, save_checkpoint, write_track

from madsep import cli

NOBODY = 65_534
VERBS = {
    "doctor": ["doctor", "--musdb-root", "musdb", "--allow-partial"],
    "score": ["score", "musdb", "estimates", "out"],
    "separate": ["separate", "checkpoint.safetensors", "song.wav", "-o", "out", "--device", "cpu"],
    "medians": ["medians", "scores"],
    "check": ["check", "ABC1"],
    "compare": ["compare", "scores", "-o", "page"],
}
# what may not be read, by verb
FORBIDDEN = {
    "doctor": ["musdb/test/A/bass.wav", "musdb/test/A", "musdb/test", "musdb", "musdb/train/B/mixture.wav"],
    "score": [
        "musdb/test/A/bass.wav",
        "musdb/test/A",
        "musdb/test",
        "estimates/test/A/vocals.wav",
        "estimates/test/A",
        "estimates/test",
        "estimates",
    ],
    "separate": ["checkpoint.safetensors", "song.wav"],
    "medians": ["scores/test/A.json", "scores/test", "scores"],
    "check": ["ABC1/test/A.json", "ABC1/test", "ABC1", "ABC1/description.md"],
    "compare": ["scores/test/A.json", "scores/test", "scores", "scores/provenance.yaml"],
}
STRANGERS = ("._x.json", ".DS_Store", "Thumbs.db", "desktop.ini")
STRANGE_FOLDERS = (".ipynb_checkpoints", "@eaDir", "lost+found", "__MACOSX")
Call = Callable[[str], tuple[int, str, str]]


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """All that the verbs read: a data set, estimates, a song, scores and a submission."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # which any user may enter, unlike pytest's
        root = Path(folder)
        for number, name in enumerate(("test/A", "train/B")):
            write_track(root / "musdb" / name, noise_stems(number, 1.0))
        write_track(root / "estimates/test/A", {target: noise_stems(3, 1.0)["vocals"] for target in ("vocals", "accompaniment")})
        sf.write(root / "song.wav", np.zeros((1000, 2)) + 0.1, RATE_HZ)
        save_checkpoint(tiny_checkpoint(), root / "checkpoint.safetensors")
        for place in ("scores", "ABC1"):
            (root / place / "test").mkdir(parents=True)
            (root / place / "test/A.json").write_text(json.dumps(scores(4)))
        (root / "scores/provenance.yaml").write_text("settings: {}\n")
        (root / "ABC1/description.md").write_text("# ABC1\n")
        for path in (root, *root.rglob("*")):
            path.chmod(0o755)
        yield root


@pytest.fixture
def place(made: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shutil.copytree(made, Path(folder) / "x")
        (Path(folder) / "x").chmod(0o777)
        Path(folder).chmod(0o755)
        yield Path(folder) / "x"


@pytest.fixture
def madsep(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a verb in the folder; return its exit status, what it printed, and what it said."""

    def call(verb: str) -> tuple[int, str, str]:
        monkeypatch.chdir(place)
        monkeypatch.setenv("COLUMNS", "1000")  # doctor's table does not break its cells
        monkeypatch.setattr(sys, "argv", ["madsep", *VERBS[verb]])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err and "fault of madsep" not in printed.err
        return int(ended.value.code or 0), printed.out, printed.err

    return call


@pytest.mark.skipif(os.getuid() != 0, reason="as another user there is no way back to the permission")
@pytest.mark.parametrize(("verb", "path"), [(verb, path) for verb, paths in FORBIDDEN.items() for path in paths])
def test_what_may_not_be_read_is_named(madsep: Call, place: Path, verb: str, path: str) -> None:
    madsep(verb)  # which imports all that it needs, as root
    shutil.rmtree(place / "out", ignore_errors=True)
    shutil.rmtree(place / "page", ignore_errors=True)
    (place / path).chmod(0)
    os.seteuid(NOBODY)
    try:
        status, printed, said = madsep(verb)
    finally:
        os.seteuid(0)
        (place / path).chmod(0o755)
    assert status == 1
    assert "no permission to read" in printed + said or "Permission denied" in said, printed + said
    assert path.partition("/")[0] in printed + said, said


@pytest.mark.parametrize(("verb", "path"), [(verb, path) for verb, paths in FORBIDDEN.items() for path in paths])
def test_links_that_lead_nowhere_are_named(madsep: Call, place: Path, verb: str, path: str) -> None:
    (place / path).rename(place / "away")
    (place / path).symlink_to("gone")
    status, printed, said = madsep(verb)
    assert status == 1
    assert any(words in printed + said for words in ("gone", "no such", f"{path.rpartition('/')[2]}: does not belong here")), said


@pytest.mark.parametrize(
    ("verb", "path"), [(verb, path) for verb, paths in FORBIDDEN.items() for path in paths if "." in Path(path).name and verb != "separate"]
)
def test_pipes_are_refused_and_not_waited_for(madsep: Call, place: Path, verb: str, path: str) -> None:
    (place / path).unlink()
    os.mkfifo(place / path)
    status, printed, said = madsep(verb)
    assert status == 1
    assert "a pipe or a device" in printed + said


@pytest.mark.parametrize("verb", VERBS)
def test_strangers_among_the_files_change_nothing(madsep: Call, place: Path, verb: str) -> None:
    before = madsep(verb)
    shutil.rmtree(place / "out", ignore_errors=True)
    shutil.rmtree(place / "page", ignore_errors=True)
    folders = [path for path in (place, *place.rglob("*")) if path.is_dir()]
    for folder in folders:
        for name in STRANGERS:
            (folder / name).write_text("{")
        for name in STRANGE_FOLDERS:
            (folder / name).mkdir()
            (folder / name / "A.json").write_text("{")
            (folder / name / "vocals.wav").write_text("")
    after = madsep(verb)
    if verb == "check":  # a submission holds nothing else, and each is named
        for name in (*STRANGERS, *(f"{name}/A.json" for name in STRANGE_FOLDERS)):
            assert f"test/{name}: is " in after[2]
        assert "JSON files have this name" not in after[2]
    else:
        assert after[:2] == before[:2]
        assert all(name not in after[2] for name in (*STRANGERS, *STRANGE_FOLDERS))
