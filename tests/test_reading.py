"""Whatever a file does, each reader says it in a line with its name: damage, permissions, links, pipes, folders, sizes."""

import contextlib
import dataclasses
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from madsep.core import reading as net
from madsep.core.artefacts import read_record
from madsep.core.errors import DiskFull, Faults, InputError, one_line, plain
from madsep.core.files import read_json, sha256, write_error, write_text
from madsep.core.reading import files_below, is_stranger, read_text, reading, visible
from madsep.core.tables import read_table
from madsep.core.yaml_files import read_yaml
from madsep.data.inventory import Digests, read_inventory
from madsep.data.prepared import PreparedTrack
from madsep.models.checkpoint import load_checkpoint, read_tensors
from madsep.scoring.scores import read_track

NOBODY = 65_534
PREPARED = PreparedTrack(Path(), "", "", "a", "A", "test", "wav", ("mixture",), 1, 8, 8000, None, (), {}, None)


def read_array(path: Path) -> object:
    return dataclasses.replace(PREPARED, file=path).array()


READERS: dict[str, Callable[[Path], object]] = {
    "JSON": read_json,
    "YAML": read_yaml,
    "CSV": lambda path: read_table(path, {"a": str}),
    "text": read_text,
    "digest": sha256,
    "digests": lambda path: Digests(path.parent / "cache.json").of([path]),
    "tensors": read_tensors,
    "checkpoint": lambda path: load_checkpoint(path, torch.device("cpu")),
    "array": read_array,
    "record": read_record,
    "inventory": read_inventory,
    "scores": read_track,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:  # which any user may enter, unlike pytest's
        Path(made).chmod(0o755)
        yield Path(made)


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Act as a user without permissions, if this is root, whom none bind."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


def dangling(path: Path) -> None:
    path.symlink_to("gone")


def loop(path: Path) -> None:
    path.symlink_to(path)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def directory(path: Path) -> None:
    path.mkdir()


def nothing(path: Path) -> None:
    pass


PLACES = {
    dangling: "is a link to gone, which does not exist|is missing",
    loop: "is a link that leads back to itself|is missing",
    pipe: "is a pipe or a device; expected a file|is missing",
    directory: "is a folder; expected a file|is missing",
    nothing: r"cannot be read \(No such file or directory\)|is missing",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("make", PLACES)
def test_what_is_no_file(folder: Path, reader: str, make: Callable[[Path], None]) -> None:
    make(folder / "x")
    with pytest.raises(InputError, match=rf"^{folder}/x: ({PLACES[make]})") as error:
        READERS[reader](folder / "x")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("forbidden", ["file", "folder", "parent"])
def test_what_may_not_be_read(folder: Path, reader: str, forbidden: str) -> None:
    path = folder / "parent/folder/x"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    {"file": path, "folder": path.parent, "parent": path.parent.parent}[forbidden].chmod(0)
    faults = Faults()
    with nobody(), faults.gathered():
        READERS[reader](path)
    (line,) = faults.lines
    path.parent.parent.chmod(0o755)
    path.parent.chmod(0o755)
    assert line.startswith(f"{path}: no permission to read")


CONTENTS = {
    "nothing": b"",
    "bytes": bytes(range(256)),
    "zeros": bytes(4096),
    "nested": b"[" * 200_000,
    "open": b'{"a": [1, 2',
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "number": b"1e999",
    "surrogate": rb'{"targets": [{"name": "\ud800", "frames": [1]}]}',
    "npy of 10^18 samples": b"\x93NUMPY\x01\x00\x76\x00"
    + b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1000000000000000000), }".ljust(117)
    + b"\n",
    "npy of objects": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '|O', 'fortran_order': False, 'shape': (1, 1, 8), }".ljust(117) + b"\n",
    "npy of odd shape": b"\x93NUMPY\x01\x00\x76\x00" + b"{'descr': '<f4', 'fortran_order': 3, 'shape': 'x', }".ljust(117) + b"\n",
    "tensor of 10^15": (header := b'{"a":{"dtype":"F32","shape":[1000000000000000],"data_offsets":[0,4000000000000000]}}')
    and len(header).to_bytes(8, "little") + header,
}


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("reader", [reader for reader in READERS if reader not in ("text", "digest", "digests")])
def test_damage(folder: Path, reader: str, content: str) -> None:
    path = folder / "x"
    path.write_bytes(CONTENTS[content])
    try:
        READERS[reader](path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert reader in ("JSON", "YAML")


def test_files_far_too_large_are_not_read(folder: Path) -> None:
    for size, reader in ((10**11, "JSON"), (3 * 10**6, "YAML"), (10**11, "CSV")):
        with (folder / "x").open("wb") as stream:
            stream.truncate(size)
        with pytest.raises(InputError, match=r"x: (has more than|cannot be read as CSV \(it holds more than)"):
            READERS[reader](folder / "x")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecursionError("deep"), "x: cannot be read as Y (its nesting is too deep). Remove it."),
        (MemoryError(), "x: cannot be read as Y (it holds more than fits into memory). Remove it."),
        (KeyError("a\nb"), "x: cannot be read as Y ('a\\nb'). Remove it."),
        (OverflowError("much\n too much"), "x: cannot be read as Y (much too much). Remove it."),
        (OSError(errno.EIO, "Input/output error"), "x: the disk failed to read or write it (input/output error)."),
        (OSError(errno.ENOTCONN, "Not connected"), "x: cannot be read (Not connected)."),
        (OSError("words alone"), "x: cannot be read as Y (words alone). Remove it."),
    ],
)
def test_each_kind_of_error_has_its_words(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    monkeypatch.chdir(folder)
    write_text("x", "")
    with pytest.raises(InputError) as raised, reading("x", "Y", "Remove it."):
        raise error
    assert str(raised.value) == words


def test_an_input_error_and_a_defect_stay_what_they_are(folder: Path) -> None:
    write_text(folder / "x", "")
    with pytest.raises(InputError, match=r"^mine$"), reading(folder / "x"):
        raise InputError("mine")
    with pytest.raises(AssertionError), reading(folder / "x"):
        raise AssertionError


def test_strangers_are_passed_over() -> None:
    strangers = ["._x.json", ".DS_Store", ".ipynb_checkpoints", "@eaDir", "lost+found", "__MACOSX", "Thumbs.db", "THUMBS.DB", "desktop.ini"]
    assert all(map(is_stranger, [*strangers, "$RECYCLE.BIN", "System Volume Information", "#recycle", "__pycache__"]))
    assert not any(map(is_stranger, ["x.json", "A - B", "@home", "Thumbs", "lost and found", "007", "-x", "#1"]))


def test_what_a_folder_holds(folder: Path) -> None:
    for name in ("b", "a.json", "._a.json", "@eaDir", "Desktop.ini", "lost+found"):
        (folder / name).mkdir()
    (folder / "@eaDir/x").write_text("")
    (folder / "link").symlink_to("b")
    assert [path.name for path in visible(folder)] == ["a.json", "b", "link"]
    assert files_below(folder) == [folder / "@eaDir/x", folder / "link"]
    (folder / "broken").symlink_to("gone")
    with pytest.raises(InputError, match=r"/broken: is a link to gone, which does not exist\."):
        visible(folder)
    assert folder / "broken" in files_below(folder)
    for read in (visible, files_below):
        (folder / "a.json").chmod(0)
        with nobody(), pytest.raises(InputError, match=r"a\.json: no permission to read"):
            read(folder / "a.json")
    with pytest.raises(InputError, match=r"none: cannot be read \(No such"):
        visible(folder / "none")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_what_a_person_can_mend() -> None:
    assert plain(ValueError("a defect")) is None and plain(OSError(errno.EACCES, "of no file")) is None
    assert str(plain(PermissionError(errno.EPERM, "", "a.wav"))) == "a.wav: no permission to read or write it."
    assert isinstance(plain(OSError(errno.ENOSPC, "", "a.wav")), DiskFull)
    assert (one_line(Mute()), one_line(ValueError()), one_line(ValueError("a\n b"))) == ("Mute", "ValueError", "a b")


def test_faults_of_the_disk_are_gathered_and_defects_are_not() -> None:
    faults = Faults()
    for number in (errno.EACCES, errno.ENAMETOOLONG):
        with faults.gathered():
            raise OSError(number, os.strerror(number), "a.wav")
    first, second = faults.lines
    assert first == "a.wav: no permission to read or write it." and second.startswith("a.wav: the name is too long")
    with pytest.raises(KeyError), faults.gathered():
        raise KeyError("a")


def test_names_that_cannot_be_written(folder: Path) -> None:
    with pytest.raises(InputError, match=r"table\.csv: cannot hold a name that is not valid text .*Caf\\udce9"):
        write_text(folder / "table.csv", "Caf\udce9")
    with pytest.raises(InputError, match="the name is too long for this disk"):
        write_text(folder / ("a" * 300) / "table.csv", "")
    assert write_error("x", ValueError("a defect")) is None


@pytest.mark.parametrize("damage", [{}, {"tracks": [{}]}, {"tracks": [3]}, {"tracks": None}, [], {"tracks": [{"name": 1}]}])
def test_inventories_of_another_kind(folder: Path, damage: object) -> None:
    write_text(folder / "inventory.json", json.dumps(damage))
    with pytest.raises(InputError, match="is not an inventory of tracks"):
        read_inventory(folder / "inventory.json")


@pytest.mark.parametrize("cache", [[], {"a": 1}, "file", {"a": []}, None])
def test_a_damaged_cache_of_digests_is_made_again(folder: Path, cache: object) -> None:
    write_text(folder / "a.wav", "abc")
    values = {str((folder / "a.wav").resolve()): 7} if cache == "file" else cache
    write_text(folder / "digests.json", json.dumps(values))
    assert Digests(folder / "digests.json").of([folder / "a.wav"]) == [sha256(folder / "a.wav")]


def test_arrays_are_mapped_and_not_read(folder: Path) -> None:
    np.save(folder / "x.npy", np.zeros((1, 1, 8), np.float32))
    assert isinstance(read_array(folder / "x.npy"), np.memmap)
    np.savez(folder / "y.npy", np.zeros(3))
    (folder / "y.npy.npz").rename(folder / "y.npy")
    with pytest.raises(InputError, match=r"y\.npy: cannot be read as an array"):
        read_array(folder / "y.npy")
    assert net.MAX_TEXT_BYTES > 10**7
