"""What stands in a log: ids and times, exact or refused.

A file holds texts. `numbers_or_text` is the one rule that makes numbers of them, for every reader:
a column is numbers if printing the numbers gives back what is written, all in one way of writing.
So 7 and 0007 stay two items, and no two different texts ever become one number.

A table that knows its types (pandas, Arrow, Parquet) keeps them.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Iterable, Sequence
from decimal import Decimal

import numpy as np
import pandas as pd

from .errors import InputError

OFFSET = re.compile(r"(Z|[+-]\d\d:?(\d\d)?)$", re.IGNORECASE)  # at the end of a date in ISO 8601
UNITS = ("D", "s", "ms", "us", "ns")  # of dates, from coarse to fine


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
        return values.astype(np.int64) if whole else _objects(texts)
    return values


def _integers(texts: Sequence[str]) -> np.ndarray | None:
    try:
        numbers = list(map(int, texts))
    except ValueError:  # no number, or one of thousands of digits
        return None
    if not all(map(str.__eq__, map(str, numbers), texts)):
        return None
    return _in_64_bits(numbers)


def _in_64_bits(numbers: list[int]) -> np.ndarray | None:
    for dtype in ("int64", "uint64"):
        try:
            return np.array(numbers, dtype=dtype)
        except OverflowError:
            continue
    return None


def _decimals(texts: Sequence[str]) -> np.ndarray:
    as_text = _objects(texts)
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


def _objects(texts: Sequence[str]) -> np.ndarray:
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
    column = _without_arrow(column)
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
            return column.astype("int64" if _fits(column) else "uint64")
        values = _in_64_bits(list(map(int, column)))
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


def _fits(column: pd.Series) -> bool:
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


# ------------------------------------------------------------------ times


def time_values(column: pd.Series, name: str, time_format: str | None = None) -> np.ndarray:
    """Return a column's times as int64, uint64, float64 or datetime64 (UTC), exactly.

    Args:
        column: numbers; dates of any type and unit; or texts of numbers or of dates in ISO 8601
            (2014-04-24, 2014-04-24 16:04:18.819, 2014-04-24T16:04:18Z).
        name: what the column is called, for messages.
        time_format: how dates are written, if it is not in ISO 8601: "%d.%m.%Y" (the codes of
            Python's strptime).

    Raises:
        InputError: a time is missing, or they are neither numbers nor dates.
    """
    column = _without_arrow(column)
    check_complete(column, name, "times")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if column.empty:
        return np.empty(0, dtype=np.int64)
    if pd.api.types.is_bool_dtype(column.dtype):
        raise _no_time(name, column.iloc[0])
    if time_format and pd.api.types.is_integer_dtype(column.dtype):
        column = column.astype(str)  # 12022014: numbers in a file, dates to who reads it
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.to_numpy(np.int64 if _fits(column) else np.uint64)
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(np.float64)
        if not np.isfinite(values).all():
            raise _no_time(name, values[~np.isfinite(values)][0])
        return values
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if column.dtype.kind == "M":
        return column.to_numpy()
    if column.dtype.kind == "m":
        return column.to_numpy().astype(np.int64)
    return _times_of_objects(column, name, time_format)


def _times_of_objects(column: pd.Series, name: str, time_format: str | None) -> np.ndarray:
    try:
        codes, different = pd.factorize(column)
    except TypeError as error:  # lists and the like
        raise _no_time(name, column.iloc[0]) from error
    values = list(different)
    if values and all(isinstance(value, str) for value in values):
        times = None if time_format else _numbers_of(values)
        times = _dates_of(values, name, time_format) if times is None else times
        return times[codes]
    kind = pd.api.types.infer_dtype(pd.Series(values, dtype=object), skipna=False)
    if kind in ("integer", "decimal", "floating", "mixed-integer-float"):
        times = _numbers_of(list(map(str, values)))
        if times is not None:
            return times[codes]
    if kind in ("datetime", "datetime64", "date"):
        try:
            dates = pd.Series(pd.to_datetime(pd.Series(values, dtype=object)))
            return time_values(dates, name)[codes]
        except (ValueError, OverflowError, TypeError) as error:
            raise _no_time(name, values[0], str(error)) from error
    raise _no_time(name, values[0])


def _numbers_of(texts: list[str]) -> np.ndarray | None:
    """Texts of numbers as numbers, or None: as int64, uint64, or as float64 if no two merge."""
    try:
        exact = list(map(Decimal, texts))
    except ArithmeticError:
        return None
    if not all(number.is_finite() and abs(number.adjusted()) < 300 for number in exact):
        return None
    if all(number == number.to_integral_value() for number in exact):
        return _in_64_bits(list(map(int, exact)))
    floats = np.array(exact, dtype=float)
    return floats if len(np.unique(floats)) == len(set(exact)) else None


def _dates_of(texts: list[str], name: str, time_format: str | None) -> np.ndarray:
    column = pd.Series(texts, dtype=object)
    try:
        if time_format:
            dates = pd.to_datetime(column, format=time_format)
        else:
            if any(text.strip().isdigit() for text in texts):
                raise ValueError("some are numbers, some dates")
            zoned = {bool(OFFSET.search(text[10:])) for text in texts}
            if len(zoned) == 2:
                raise ValueError("some have an offset from UTC, others none")
            dates = pd.to_datetime(column, format="ISO8601", utc=zoned == {True})
        if dates.isna().any():  # "NaT" is a text that pandas would take for a missing date
            raise ValueError(f"{column[dates.isna()].iloc[0]!r} is no date")
    except (ValueError, OverflowError, TypeError) as error:
        wrong = next((text for text in texts if not _is_date(text, time_format)), texts[0])
        raise _no_time(name, wrong, str(error).split(". ")[0]) from error
    values = time_values(dates, name)
    if values.dtype == "M8[ns]" and not (values.astype(np.int64) % 1000).any():
        return values.astype("M8[us]")  # what needs no nanoseconds does not take their short range
    return values


def _is_date(text: str, time_format: str | None) -> bool:
    try:
        return not pd.isna(pd.to_datetime(text, format=time_format or "ISO8601"))
    except (ValueError, OverflowError, TypeError):
        return False


def _no_time(name: str, value: object, why: str = "") -> InputError:
    return InputError(
        f"column {name!r} holds {value!r}, which is not a number or a date"
        f"{f' ({why})' if why else ''}. Times are numbers of 64 bits, or dates as 2014-04-24 or "
        "2014-04-24 16:04:18.819; for dates written in another way give time_format "
        "(--time-format), as '%d.%m.%Y'."
    )


def common_times(kinds: Iterable[np.dtype], name: str) -> np.dtype:
    """Return the type for the times of several blocks of one column.

    Raises:
        InputError: some are numbers and others dates.
    """
    kinds = set(kinds)
    if all(kind.kind == "M" for kind in kinds):
        units = {np.datetime_data(kind)[0] for kind in kinds}
        return np.dtype(f"M8[{max(units, key=UNITS.index)}]")
    if any(kind.kind == "M" for kind in kinds):
        raise InputError(f"column {name!r} holds numbers and dates. Write all times in one way.")
    wider = ("float64", "uint64", "int64")
    return next(np.dtype(kind) for kind in wider if np.dtype(kind) in kinds)


def as_times(values: np.ndarray, kind: np.dtype, name: str) -> np.ndarray:
    """Return times in another type of `common_times`; raise InputError where that is not exact."""
    with np.errstate(all="ignore"):
        changed = values.astype(kind)
    exact = changed.astype(values.dtype) == values
    if values.dtype.kind != "M":
        exact &= (changed < 0) == (values < 0)  # below 0 a cast wraps round, and back again
    if not exact.all():
        raise InputError(f"column {name!r} holds times that do not fit into one type of 64 bits.")
    return changed


def sort_keys(times: np.ndarray) -> np.ndarray:
    """Numbers that sort as the times do."""
    return times.view(np.int64) if times.dtype.kind == "M" else times


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


def _without_arrow(column: pd.Series) -> pd.Series:
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
