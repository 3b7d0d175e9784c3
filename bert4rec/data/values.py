"""What stands in a log: numbers or texts, and ids, exact or refused.

A file holds texts. `numbers_or_text` is the one rule that makes numbers of them, for every reader:
a column is numbers if printing the numbers gives back what is written, all in one way of writing.
So 7 and 0007 stay two items, and no two different texts ever become one number.

A table that knows its types (pandas, Arrow, Parquet) keeps them.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..errors import InputError

# ------------------------------------------------------------------ both


def check_complete(column: pd.Series, name: str, what: str, first: int = 0) -> None:
    """Raise InputError if a value is missing; `first` is the number of the first row."""
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"column {name!r} has {missing.sum():,} missing {what}, the first in row "
            f"{first + int(np.argmax(missing))} (counted from 0). Leave those rows out of the "
            f"file (in Python: interactions.dropna(subset=[{name!r}]))."
        )


def without_arrow(column: pd.Series) -> pd.Series:
    """A column of one of Arrow's types as one of numpy's or pandas' own."""
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    return frame_of_arrow(column.array.__arrow_array__(), column.name).iloc[:, 0]


def frame_of_arrow(table, name: object = None) -> pd.DataFrame:
    """A DataFrame of an Arrow table, or of one array: dates as dates, no column made an index."""
    import pyarrow as pa

    if not isinstance(table, pa.Table | pa.RecordBatch):
        table = pa.Table.from_arrays([table], names=["" if name is None else str(name)])
    columns = []
    for column, kind in zip(table.columns, table.schema.types, strict=True):
        if pa.types.is_date32(kind):
            column = column.cast(pa.timestamp("s"))
        elif pa.types.is_date64(kind):
            column = column.cast(pa.timestamp("ms"))
        elif pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        columns.append(column)
    names = [str(place) for place in range(len(columns))]  # two columns may have one name
    frame = pa.Table.from_arrays(columns, names=names).to_pandas(ignore_metadata=True)
    return frame.set_axis(table.schema.names, axis="columns")


def numbers_or_text(texts: Sequence[str]) -> np.ndarray:
    """Return a file's texts as int64, uint64 or float64 if the rule says so, else as they are.

    Whole numbers have no sign but a minus, no zeros in front and 64 bits. Decimals are all written
    alike: each as Python prints it (4.0, 4.5), or each as short as can be (4, 4.5), or each with
    as many digits after the point (4.00, 4.50).

    Args:
        texts: the values of a column, none of them empty; each different one once is enough.
    """
    whole = _integers(texts)
    return _decimals(texts) if whole is None else whole


def ids_or_text(texts: Sequence[str]) -> np.ndarray:
    """Return a file's ids: whole numbers by the same rule, and 1.0, 2.0, … too; else texts."""
    values = numbers_or_text(texts)
    if values.dtype.kind == "f":
        whole = bool((values % 1 == 0).all())
        return values.astype(np.int64) if whole else as_objects(texts)
    return values


def _integers(texts: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = list(map(int, texts))
    except ValueError:  # no number, or one of thousands of digits
        return None
    if not all(map(str.__eq__, map(str, numbers), texts)):
        return None
    return in_64_bits(numbers)


def in_64_bits(numbers: list[int]) -> np.ndarray | None:
    for dtype in ("int64", "uint64"):
        try:
            return np.array(numbers, dtype=dtype)
        except OverflowError:
            continue
    return None


def _decimals(texts: Sequence[str]) -> np.ndarray:
    as_text = as_objects(texts)
    try:
        values = list(map(float, texts))
    except ValueError:
        return as_text
    if not all(map(math.isfinite, values)) or max(map(abs, values), default=0) >= 2**53:
        return as_text
    if any(value == 0 and text[0] == "-" for value, text in zip(values, texts, strict=True)):
        return as_text  # -0.0 would become the number 0.0 is
    digits = len(texts[0].partition(".")[2]) if len(texts) else 0
    for written in (repr, lambda v: repr(v).removesuffix(".0"), lambda v: f"{v:.{digits}f}"):
        if all(map(str.__eq__, map(written, values), texts)):
            return np.array(values)
    return as_text


def as_objects(texts: Sequence[str]) -> np.ndarray:
    values = np.empty(len(texts), dtype=object)
    values[:] = texts
    return values


# ------------------------------------------------------------------ ids


def plain_ids(column: pd.Series, name: str) -> pd.Series:
    """Return ids as int64, uint64 or texts.

    Args:
        column: of any type that pandas has; whole floats, decimals and UUIDs are taken as ids too.
        name: what the column is called, for messages.

    Raises:
        InputError: an id is missing, or the ids are of other or of several types.
    """
    column = without_arrow(column)
    check_complete(column, name, "ids")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind == "mixed" and all(isinstance(value, uuid.UUID) for value in column):
        return column.map(str)
    if kind in ("floating", "mixed-integer-float", "decimal"):
        return _whole(column, name)
    if kind in ("string", "empty") or column.dtype == np.int64:
        return column
    if kind == "integer":
        if column.dtype != object:
            return column.astype("int64" if fits_int64(column) else "uint64")
        values = in_64_bits(list(map(int, column)))
        if values is not None:
            return pd.Series(values, column.index, name=column.name)
        what = f"holds numbers as large as {max(column, key=abs)}"
    elif kind.startswith("mixed"):  # "7" and 7 would be two items, and no file keeps them apart
        examples: dict[str, object] = {}
        for value in column:
            examples.setdefault(type(value).__name__, value)
        what = "mixes types of ids: " if len(examples) > 1 else "holds "
        what += ", ".join(f"{k} (as {v!r})" for k, v in examples.items())
    else:
        what = f"holds {column.iloc[0]!r} of type {type(column.iloc[0]).__name__}"
    raise _no_id(name, what)


def fits_int64(column: pd.Series) -> bool:
    """Whether whole numbers fit into int64: a cast would wrap the others round."""
    return int(column.max()) < 2**63


def _whole(column: pd.Series, name: str) -> pd.Series:
    """Whole floats (a column that once had gaps turns ids into them) and decimals, as int64."""
    for value in column if column.dtype == object else ():
        if not math.isfinite(value) or value != int(value) or abs(value) >= 2**53:
            raise _no_id(name, f"holds {value!r}, which is no whole number")
    floats = column.astype(float)
    broken = ~(np.isfinite(floats) & (floats % 1 == 0) & (floats.abs() < 2**53))
    if broken.any():
        raise _no_id(name, f"holds {float(floats[broken].iloc[0])!r}, which is no whole number")
    return floats.astype("int64")


def _no_id(name: str, what: str) -> InputError:
    return InputError(
        f"column {name!r} {what}. Ids must be texts, or whole numbers of 64 bits. Is it the right "
        f"column? If so, make them texts (in Python: interactions[{name!r}].astype(str))."
    )


def id_codes(
    column: pd.Series, name: str, known: pd.Index | None = None
) -> tuple[np.ndarray, pd.Index]:
    """Number the ids of a column from 0.

    Args:
        column: the ids of users or items.
        name: what the column is called, for messages.
        known: the ids that count, in their order. Default: those of the column, sorted.

    Returns:
        The number of each row's id, -1 where it is not known, and the ids in order.

    Raises:
        InputError: an id is missing, or the ids are of several types.
    """
    column = plain_ids(column, name)
    if known is not None:
        return known.get_indexer(pd.Index(column)), known
    codes, ids = pd.factorize(column, sort=True)
    return codes, pd.Index(ids)
