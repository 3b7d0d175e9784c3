"""A log of interactions as a table: whose it may be, and which columns hold what.

A log has a user, an item and, if it is known, a time. The columns may have any name: well-known
ones are found, others are named by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..errors import InputError, did_you_mean, note
from .values import frame_of_arrow

if TYPE_CHECKING:
    from .sequences import Sequences
    from .splits import Split

# Names that public data sets and libraries use, matched without regard to case and `_`.
KNOWN_COLUMNS = {
    "user": ("user", "userid", "reviewerid", "customerid", "visitorid", "sessionid"),
    "item": ("item", "itemid", "movieid", "productid", "asin", "parentasin", "trackid"),
    "time": ("timestamp", "time", "datetime", "date", "unixreviewtime", "ts"),
    "title": ("title", "movietitle", "name"),
}
OF_SPLIT = ("seen", "validation_users")  # fields of Reading that the sequences do not depend on
TIME_WORDS = {"time", "timestamp", "datetime", "date", "day", "at", "when", "ts"}


@dataclass(frozen=True)
class Reading:
    """How a log is read."""

    user: str | None = None
    """The column of users, where its name is unusual."""
    item: str | None = None
    """The column of items."""
    time: str | None = None
    """The column of times."""
    time_format: str | None = None
    """How dates are written, if not like 2014-04-24 16:04:18: "%%d.%%m.%%Y %%H:%%M", …"""
    min_user_count: int = 5
    """Leave out users with fewer interactions, again and again until this and the next hold."""
    min_item_count: int = 5
    """Leave out items with fewer interactions."""
    seen: str = "exclude"
    """"exclude": what users have already is neither ranked nor recommended. "include": it is, in
    logs where people take things again."""
    validation_users: int | None = 10_000
    """Validate on at most so many users; of the others only the last item is held out. None: on
    all of them."""

    def arguments(self) -> dict[str, Any]:
        """What `Sequences.from_interactions` takes of it."""
        return {f.name: getattr(self, f.name) for f in fields(Reading) if f.name not in OF_SPLIT}

    def split(self, sequences: Sequences) -> Split:
        """The split of a log that is read so."""
        return sequences.leave_one_out(self.validation_users).with_seen(self.seen)


def as_frame(table: object, what: str = "interactions") -> pd.DataFrame:
    """Return a table of any kind as a DataFrame.

    Args:
        table: a DataFrame; a table of polars, Arrow or another library that speaks Arrow's
            interchange; a dict of columns; or a list of dicts, one for each row.
        what: what it is, for messages.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(table, pd.DataFrame):
        return table
    if isinstance(table, str | Path):
        raise InputError(
            f"{what} must be a table, not {str(table)!r}. To read a file: "
            f"read_interactions({str(table)!r})."
        )
    if hasattr(table, "__arrow_c_stream__") and not isinstance(table, pd.Series):
        try:
            import pyarrow as pa
        except ImportError as error:
            raise InputError(
                f"reading a {type(table).__name__} needs pyarrow: pip install 'bert4rec[formats]'."
            ) from error
        try:
            return frame_of_arrow(pa.table(table))
        except (pa.ArrowException, ValueError, TypeError) as error:
            raise InputError(f"{what} cannot be read as a table: {error}") from error
    rows = isinstance(table, list | tuple) and all(isinstance(row, Mapping) for row in table)
    if isinstance(table, Mapping) or rows:
        try:
            return pd.DataFrame(table)
        except (ValueError, TypeError) as error:
            raise InputError(f"{what} cannot be read as a table: {error}.") from error
    raise InputError(
        f"{what} must be a table: a DataFrame (of pandas, polars or Arrow), a dict of columns, or "
        f"a list of dicts, not {type(table).__name__} {repr(table)[:60]}."
    )


def find_columns(
    frame: pd.DataFrame, user: str | None = None, item: str | None = None, time: str | None = None
) -> tuple[str, str, str | None]:
    """Return the names of a log's user, item and time columns.

    A column that is not named is looked for among the names in common use (userId, movieId,
    timestamp, …). Time may be missing: then the order of the rows is the order of time.

    Raises:
        InputError: a named column is missing, or no known name fits; the message lists what
            there is.
    """
    found: dict[str, Any] = {}
    for role, given in (("user", user), ("item", item), ("time", time)):
        if given is not None:
            if given not in frame.columns:
                raise InputError(
                    f"the log has no column {given!r}; its columns are "
                    f"{', '.join(map(repr, frame.columns))}." + did_you_mean(given, frame.columns)
                )
            found[role] = given
            continue
        found[role] = known_column(frame, role)
        if found[role] is None and role != "time":
            raise InputError(
                f"no column looks like the {role}; the columns are "
                f"{', '.join(map(repr, frame.columns))}. Name it: {role}='…' (--{role} …)."
                + did_you_mean(role, frame.columns)
                + _header_hint(frame)
            )
    for column in found.values():
        if column is not None and (count := int((frame.columns == column).sum())) > 1:
            raise InputError(
                f"the log has {count} columns named {column!r}; keep one, or rename the others."
            )
    for one, other in (("user", "item"), ("user", "time"), ("item", "time")):
        if found[one] == found[other]:
            raise InputError(f"{one}s and {other}s cannot both be in column {found[one]!r}.")
    return found["user"], found["item"], found["time"]


def known_column(frame: pd.DataFrame, role: str) -> str | None:
    """Return the column whose name is in common use for a role of KNOWN_COLUMNS, or None."""
    plain = {str(column).lower().replace("_", ""): column for column in frame.columns}
    return next((plain[name] for name in KNOWN_COLUMNS[role] if name in plain), None)


def note_unused_times(frame: pd.DataFrame, named: tuple[str, str, str | None]) -> None:
    """Say so where no column is taken for the time, although one looks like it."""
    user, item, time = named
    if time is not None:
        return
    for column, dtype in zip(frame.columns, frame.dtypes, strict=True):
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", str(column))}
        is_date = pd.api.types.is_datetime64_any_dtype(dtype)
        if column not in (user, item) and (words & TIME_WORDS or is_date):
            note(
                "no column is taken for the time, so the rows count as being in order of time. "
                f"{str(column)!r} looks like one: time={str(column)!r} (--time {column})."
            )
            return


def _header_hint(frame: pd.DataFrame) -> str:
    data = [name for name in map(str, frame.columns) if re.match(r"-?\d+([.:-]\d+)*", name)]
    if not data:
        return ""
    return (
        f" {data[0]!r} looks like data: if the file has no header, name its columns when it is "
        "read: read_interactions(path, columns=['user', 'item', …]) (--columns user item …)."
    )
