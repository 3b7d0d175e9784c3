"""When things happened: numbers or dates, exact or refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

import numpy as np
import pandas as pd

from ..errors import InputError
from .values import check_complete, fits_int64, in_64_bits, without_arrow

OFFSET = re.compile(r"(Z|[+-]\d\d:?(\d\d)?)$", re.IGNORECASE)  # at the end of a date in ISO 8601


UNITS = ("D", "s", "ms", "us", "ns")  # of dates, from coarse to fine


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
    column = without_arrow(column)
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
        return column.to_numpy(np.int64 if fits_int64(column) else np.uint64)
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
        return in_64_bits(list(map(int, exact)))
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
