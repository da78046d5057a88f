"""Reading and writing of tables as CSV. Text stays text, even if it looks like a number.

Text that a spreadsheet would run as a formula is written with a leading apostrophe. Reading removes it.
"""

import csv
import gzip
import io
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import write_text
from madsep.core.reading import MAX_TEXT_BYTES, reading

Column = type[str] | type[int] | type[float]

FORMULA = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # first characters of formulas, including their full-width forms


def read_table(path: Path | str, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Read a CSV file that has exactly these columns. A .gz is decompressed. An empty cell of a float column is NaN.

    Text columns are read as text: `NA`, `nan`, `007` and `true` stay what they are.
    Raises InputError if the file is missing, is not CSV, has other columns, or has text in a numeric column.
    """
    path = Path(path)
    heading, *rows = _rows(path) or [[]]
    heading = [_text(name) for name in heading]
    if heading != list(columns):
        raise InputError(f"{path}: expected the columns {','.join(columns)}, found {','.join(heading)[:200] or 'none'}. Make it again.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise InputError(f"{path}: expected {len(columns)} values in each row, found {len(row)} in row {number}. Make it again.")
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    table = {name: _converted(path, name, cells, columns[name]) for name, cells in zip(columns, values, strict=True)}
    return pd.DataFrame(table)


def write_table(table: pd.DataFrame, path: Path | str, digits: int, fixed: bool = False) -> None:
    """Write a table as CSV, whole or not at all. NaN and None become empty cells.

    Numbers have `digits` significant digits, or `digits` decimals if `fixed`. Raises InputError if the file cannot be written.
    """
    write_text(path, table_text(table, f".{digits}{'f' if fixed else 'g'}"))


def table_text(table: pd.DataFrame, form: str = "") -> str:
    """Return a table as CSV. NaN and None become empty cells. `form` is the format of numbers, by default with all their digits."""
    rows = itertools.chain([tuple(table.columns)], table.itertuples(index=False, name=None))
    return "".join((",".join(_cell(value, form) for value in row) or '""') + "\n" for row in rows)


def _cell(value: object, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else format(float(value), form)
    text = str(value)
    if isinstance(value, str) and re.match(f"'*{FORMULA}", text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',;"\t\r\n') else text


def _text(cell: str) -> str:
    """Return the text that `_cell` turned into this cell."""
    return cell[1:] if re.match(f"'+{FORMULA}", cell) else cell


def _rows(path: Path) -> list[list[str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    with reading(path, "CSV", "Make it again.", (csv.Error,)), opened(path, "rt", encoding="utf-8", newline="") as stream:
        text = stream.read(MAX_TEXT_BYTES + 1)
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError(f"it holds more than {MAX_TEXT_BYTES:,} letters")
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]


def _converted(path: Path, name: str, cells: tuple[str, ...], kind: Column) -> pd.Series:
    if kind is str:
        return pd.Series([_text(cell) for cell in cells], dtype="str")
    try:
        if kind is int:
            return pd.Series([int(cell) for cell in cells], dtype="int64")
        return pd.Series([float(cell) if cell else math.nan for cell in cells], dtype="float64")
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: expected numbers in the column {name} ({error}). Make it again.") from None
