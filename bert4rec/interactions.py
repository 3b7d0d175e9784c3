"""Any other log of interactions: a CSV, TSV or Parquet file, `user item` text, RecBole's .inter.

A log is a table with a user, an item and, if it is known, a time. The columns may have any name:
well-known ones are found, others are named by the caller.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .errors import InputError, did_you_mean

# Names that public data sets and libraries use, matched without regard to case and `_`.
KNOWN_COLUMNS = {
    "user": ("user", "userid", "reviewerid", "customerid", "visitorid", "sessionid"),
    "item": ("item", "itemid", "movieid", "productid", "asin", "parentasin", "trackid"),
    "time": ("timestamp", "time", "datetime", "date", "unixreviewtime", "ts"),
    "title": ("title", "movietitle", "name"),
}
COMPRESSED = {".gz", ".xz", ".bz2", ".zst", ".zip"}
FORMATS = ".csv, .tsv, .parquet, .inter (RecBole) or .txt (`user item` lines)"


def read_interactions(path: str | Path) -> pd.DataFrame:
    """Read a log of interactions; the format follows from the file's name.

    Formats: `.csv` and `.tsv` with a header; `.parquet`; `.inter`, RecBole's table whose header
    names types (`user_id:token`); `.txt`, the field's plain text of one `user item` pair a line
    in order of time, without a header. All but Parquet may be compressed (.gz, .xz, .bz2, .zip;
    .zst where the package zstandard is installed).

    Returns:
        A DataFrame with the file's columns and row order; `user` and `item` for `.txt`.

    Raises:
        InputError: the file is absent, empty, damaged, or of a format that is not known.
    """
    path = Path(path)
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")])
        raise InputError(f"there is no file {path}.{near}")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    kind = suffixes[-1] if suffixes else ""
    readers = {".csv": _csv, ".tsv": _tsv, ".parquet": _parquet, ".inter": _inter, ".txt": _text}
    if kind not in readers:
        raise InputError(f"{path}: the format {kind or '(none)'!r} is not known; use {FORMATS}.")
    try:
        return readers[kind](_unpacked(path))
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} is empty.") from error
    except (lzma.LZMAError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}. Is it whole?") from error
    except ImportError as error:
        raise InputError(f"{path} needs a package that is not installed: {error}") from error
    except ValueError as error:  # pandas' parser errors and wrong encodings are ValueErrors
        raise InputError(f"{path} is not a {kind} file as expected: {error}") from error


def find_columns(
    frame: pd.DataFrame,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
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
                f"{', '.join(map(repr, frame.columns))}. Name it: {role}='…'."
                + did_you_mean(role, frame.columns)
            )
    for column in found.values():
        if column is not None and (count := int((frame.columns == column).sum())) > 1:
            raise InputError(
                f"the log has {count} columns named {column!r}; keep one, or rename the others."
            )
    if found["user"] == found["item"]:
        raise InputError(f"users and items cannot both be in column {found['user']!r}.")
    return found["user"], found["item"], found["time"]


def known_column(frame: pd.DataFrame, role: str) -> str | None:
    """Return the column whose name is in common use for a role of KNOWN_COLUMNS, or None."""
    plain = {str(column).lower().replace("_", ""): column for column in frame.columns}
    return next((plain[name] for name in KNOWN_COLUMNS[role] if name in plain), None)


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
    _check_complete(column, name, "ids")
    column = _plain_ids(column, name)
    if known is not None:
        return known.get_indexer(pd.Index(column)), known
    codes, ids = pd.factorize(column, sort=True)
    return codes, pd.Index(ids)


def _plain_ids(column: pd.Series, name: str) -> pd.Series:
    """Return the ids as int64, uint64 or texts; raise InputError if they are neither."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind == "mixed-integer-float":
        kind, column = "floating", column.astype(float)
    if kind == "floating":  # a column that once had gaps turns whole ids into floats
        column = column.astype(float)
        broken = ~(np.isfinite(column) & (column % 1 == 0) & (column.abs() < 2**53))
        if not broken.any():
            return column.astype("int64")
        value = float(column[broken].iloc[0])
        what = f"holds {value!r}, which is no whole number"
    elif kind == "integer":
        for dtype in ("int64", "uint64"):
            if column.dtype == dtype:
                return column
            try:
                return column.astype(dtype)
            except (OverflowError, ValueError, TypeError):
                continue
        what = f"holds numbers as large as {max(column, key=abs)}"
    elif kind in ("string", "empty"):
        return column
    elif kind.startswith("mixed"):  # "7" and 7 would be two items, and no file keeps them apart
        examples = {type(value).__name__: value for value in column}
        what = "mixes types of ids: " + ", ".join(f"{k} (as {v!r})" for k, v in examples.items())
    else:
        what = f"holds {column.iloc[0]!r} of type {type(column.iloc[0]).__name__}"
    raise InputError(
        f"column {name!r} {what}. Ids must be texts, or whole numbers of 64 bits: "
        f"interactions[{name!r}].astype(str) makes them texts."
    )


def time_values(column: pd.Series, name: str) -> np.ndarray:
    """Return a column's times as numbers that sort.

    Raises:
        InputError: a time is missing, or they are neither numbers nor dates.
    """
    _check_complete(column, name, "times")
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column)):
        raise InputError(
            f"column {name!r} holds {column.iloc[0]!r}, which is not a number or a date. Convert "
            f"it: interactions[{name!r}] = pd.to_datetime(interactions[{name!r}])."
        )
    if pd.api.types.is_datetime64_any_dtype(column):
        return column.to_numpy("datetime64[ns]").astype(np.int64)
    return column.to_numpy()


def _check_complete(column: pd.Series, name: str, what: str) -> None:
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"column {name!r} has {missing.sum():,} missing {what}, the first in row "
            f"{int(np.argmax(missing))} (counted from 0). Drop them: "
            f"interactions.dropna(subset=[{name!r}])."
        )


def _unpacked(path: Path) -> Path | io.BytesIO:
    """The path, which pandas unpacks; the content of a .zst, whose end pandas would not miss."""
    if path.suffix.lower() != ".zst":
        return path
    import zstandard

    packed, content = path.read_bytes(), []
    try:
        while packed:  # a frame after another
            frame = zstandard.ZstdDecompressor().decompressobj()
            content.append(frame.decompress(packed))
            if not frame.eof:
                raise EOFError("it ends before its content does")
            packed = frame.unused_data
    except zstandard.ZstdError as error:
        raise OSError(str(error)) from error
    return io.BytesIO(b"".join(content))


# low_memory=False: in pieces, a column of ids could be numbers in one piece and texts in another.
def _csv(path: Path | io.BytesIO) -> pd.DataFrame:
    return pd.read_csv(path, low_memory=False)


def _tsv(path: Path | io.BytesIO) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", low_memory=False)


def _parquet(path: Path | io.BytesIO) -> pd.DataFrame:
    return pd.read_parquet(path)


def _inter(path: Path | io.BytesIO) -> pd.DataFrame:
    frame = pd.read_csv(path, sep="\t", low_memory=False)
    if not all(":" in column for column in frame.columns):
        raise ValueError(f"its header must be name:type fields, found {list(frame.columns)}")
    return frame.rename(columns=lambda column: column.split(":")[0])


def _text(path: Path | io.BytesIO) -> pd.DataFrame:
    frame = pd.read_csv(path, sep=r"\s+", header=None)
    if frame.shape[1] != 2:
        raise ValueError(
            f"expected `user item` on each line, found {frame.shape[1]} fields in the first. "
            "A table with a header belongs in a .csv or .tsv file"
        )
    return frame.set_axis(["user", "item"], axis="columns")
