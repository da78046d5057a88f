"""Files that ask for more memory than they hold, before anything of them is loaded."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from madsep.core.errors import InputError
from madsep.models.archives import check_pickle

TENSORS = {"gruEncF.weight_ih": torch.ones(30, 20), "gruEncF.bias_ih": torch.arange(7.0)}


@pytest.mark.parametrize("new", [True, False])
def test_what_pytorch_writes_passes(tmp_path: Path, new: bool) -> None:
    for state in (TENSORS, OrderedDict(TENSORS), {}, {"one": torch.ones(1)}):
        torch.save(state, tmp_path / "model.pt", _use_new_zipfile_serialization=new)
        check_pickle(tmp_path / "model.pt")


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(10_000_000))


def overlapping(path: Path) -> None:
    """Many entries of the directory that share one stretch of bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data/0", bytes(100_000))
        entry = archive.infolist()[0]
        for number in range(1, 50):
            other = zipfile.ZipInfo(f"archive/data/{number}")
            other.file_size = other.compress_size = entry.file_size
            other.CRC, other.header_offset = entry.CRC, entry.header_offset
            archive.filelist.append(other)
        archive._didModify = True  # type: ignore[attr-defined]
    path.write_bytes(content.getvalue())


def numbers(path: Path) -> None:
    path.write_bytes(pickle.dumps({"shape": (1 << 40,)}, protocol=2))


def numbers_in_a_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1 << 33], protocol=2))
        archive.writestr("archive/version", "3")


def old_storage(path: Path) -> None:
    """A file of the older kind whose storage says that it has 2^36 values."""
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    pickled = content.replace(b"K\x03N", b"\x8a\x05\0\0\0\0\x10N")
    assert pickled != content
    path.write_bytes(pickled)


@pytest.mark.parametrize("make", [compressed, overlapping, numbers, numbers_in_a_zip, old_storage])
def test_what_declares_more_than_it_holds_is_refused(tmp_path: Path, make: "object") -> None:
    path = tmp_path / "model.pytorch"
    make(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=r"^\S*model\.pytorch: has \d+ bytes and (would unpack to|asks for) \d+[^\n]*$"):
        check_pickle(path)


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 no zip", bytes(1000)])
def test_what_is_neither_is_for_its_reader_to_refuse(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    check_pickle(tmp_path / "model.pt")
