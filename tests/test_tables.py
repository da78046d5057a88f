"""CSVs written and read back: text stays text, and what is no table of the expected form is refused."""

import gzip
import math
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from madsep.core.errors import InputError
from madsep.core.tables import read_table, write_table

COLUMNS = {"track": str, "n": int, "value": float}
NAMES = [
    *("NA", "None", "nan", "null", "007", "true", "1e5", "", " ", "{bar}", "<b>", "a,b", 'a"b', "it's", "a\nb", "a\rb", "#x", "=1"),
    unicodedata.normalize("NFC", "é"),
    unicodedata.normalize("NFD", "é"),
    "x" * 250,
]


def test_names_that_look_like_something_else_come_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"track": NAMES, "n": range(len(NAMES)), "value": [math.nan, *[0.5] * (len(NAMES) - 1)]})
    write_table(table, tmp_path / "a.csv", 8)
    found = read_table(tmp_path / "a.csv", COLUMNS)
    assert list(found["track"]) == NAMES
    pd.testing.assert_frame_equal(found, table)


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("any") / "a.csv"
    write_table(pd.DataFrame({"track": pd.Series(texts, dtype="str")}), path, 8)
    assert list(read_table(path, {"track": str})["track"]) == texts


def test_digits_are_significant_or_decimals(tmp_path: Path) -> None:
    table = pd.DataFrame({"value": [2 / 3, 1e-9, 100.0, math.nan]})
    write_table(table, tmp_path / "a.csv", 3)
    assert (tmp_path / "a.csv").read_text() == 'value\n0.667\n1e-09\n100\n""\n'
    write_table(table, tmp_path / "a.csv", 6, fixed=True)
    assert (tmp_path / "a.csv").read_text() == 'value\n0.666667\n0.000000\n100.000000\n""\n'
    assert list(read_table(tmp_path / "a.csv", {"value": float})["value"].isna()) == [False, False, False, True]


def test_empty_and_packed_tables(tmp_path: Path) -> None:
    write_table(pd.DataFrame(columns=list(COLUMNS)), tmp_path / "a.csv", 8)
    found = read_table(tmp_path / "a.csv", COLUMNS)
    assert found.empty and [dtype.kind for dtype in found.dtypes[1:]] == ["i", "f"]
    with gzip.open(tmp_path / "a.csv.gz", "wt") as stream:
        stream.write("track,n,value\nNA,1,\n")
    assert read_table(tmp_path / "a.csv.gz", COLUMNS).iloc[0].to_dict() == pytest.approx(
        {"track": "NA", "n": 1, "value": math.nan}, nan_ok=True
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read (No such file or directory)."),
        (b"", "expected the columns track,n,value, found none"),
        (b"track,value\na,1\n", "expected the columns track,n,value, found track,value"),
        (b"track,value,n\na,1,1\n", "expected the columns track,n,value, found track,value,n"),
        (b"track,n,value\na,1,1,1\n", "expected 3 values in each row, found 4 in row 1"),
        (b"track,n,value\na,1,1\nb,1\n", "expected 3 values in each row, found 2 in row 2"),
        (b"track,n,value\na,1,loud\n", "expected numbers in the column value (could not convert string to float: 'loud')"),
        (b"track,n,value\na,,1\n", "expected numbers in the column n ("),
        (b"track,n,value\na,1.5,1\n", "expected numbers in the column n ("),
        (b'track,n,value\n"a,1,1\n', "cannot be read as CSV ("),
        (b"track,n,value\n\xff,1,1\n", "cannot be read as CSV ("),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read_table(path, COLUMNS)
    assert str(error.value).startswith(f"{path}: {message}") and "\n" not in str(error.value)
