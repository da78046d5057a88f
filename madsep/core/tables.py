"""Tables as CSV: the one way to write them and to read them back. Text stays text, whatever it looks like."""

import csv
import gzip
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from madsep.core.errors import InputError
from madsep.core.files import atomic

Column = type[str] | type[int] | type[float]


def read_table(path: Path | str, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Read a CSV, or one in a .gz, that has exactly these columns; an empty cell of a float column is NaN.

    Text columns are read as text: `NA`, `nan`, `007` and `true` stay what they are.
    Raises InputError if the file is missing, is no CSV, has other columns, or has something else than numbers where these belong.
    """
    path = Path(path)
    heading, *rows = _rows(path) or [[]]
    if heading != list(columns):
        raise InputError(f"{path}: expected the columns {','.join(columns)}, found {','.join(heading)[:200] or 'none'}. Make it again.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise InputError(f"{path}: expected {len(columns)} values in each row, found {len(row)} in row {number}. Make it again.")
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    table = {name: _converted(path, name, cells, columns[name]) for name, cells in zip(columns, values, strict=True)}
    return pd.DataFrame(table)


def write_table(table: pd.DataFrame, path: Path | str, digits: int, fixed: bool = False) -> None:
    """Write a table as CSV, whole or not at all; NaN and None are empty cells.

    Numbers have `digits` significant digits, or with `fixed` as many decimals. Raises InputError if the file cannot be written.
    """
    form = f"%.{digits}{'f' if fixed else 'g'}"
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        for row in itertools.chain([tuple(table.columns)], table.itertuples(index=False, name=None)):
            stream.write((",".join(_cell(value, form) for value in row) or '""') + "\n")


def _cell(value: object, form: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if math.isnan(value) else form % value
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\r\n') else text


def _rows(path: Path) -> list[list[str]]:
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as stream:
            return [row for row in csv.reader(stream, strict=True) if row]
    except FileNotFoundError:
        raise InputError(f"{path}: is missing. Make it again.") from None
    except (OSError, EOFError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())}). Make it again.") from None


def _converted(path: Path, name: str, cells: tuple[str, ...], kind: Column) -> pd.Series:
    if kind is str:
        return pd.Series(cells, dtype="str")
    try:
        if kind is int:
            return pd.Series([int(cell) for cell in cells], dtype="int64")
        return pd.Series([float(cell) if cell else math.nan for cell in cells], dtype="float64")
    except ValueError as error:
        raise InputError(f"{path}: expected numbers in the column {name} ({error}). Make it again.") from None
