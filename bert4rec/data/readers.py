"""Files of interactions or titles, as tables: the text formats, and Parquet.

Ids are texts until the one rule of values.py decides.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import InputError, did_you_mean
from .delimited import COMPRESSED, ROWS, SEPARATORS, Layout, read_text
from .interactions import known_column
from .values import frame_of_arrow, ids_or_text, numbers_or_text

FORMATS = (
    ".csv, .tsv, .parquet, .inter, .item or .user (RecBole), or .txt (`user item` lines), "
    "compressed or not (.gz, .xz, .bz2, .zst, .zip)"
)


def read_interactions(
    path: str | Path,
    *,
    user: str | None = None,
    item: str | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a log of interactions, or a table of titles; the format follows from the file's name.

    Formats: `.csv` (fields with a comma or line end in quotes) and `.tsv` (no quotes) with a
    header; `.parquet`; `.inter`, `.item` and `.user`, RecBole's tables, whose header names types
    (`user_id:token`); `.txt`, the field's plain text of one `user item` pair a line in order of
    time, without a header. All but Parquet may be compressed (.gz, .xz, .bz2, .zip; .zst where the
    package zstandard is installed).

    A column of a text file is numbers only if printing them gives back what is written: 0007 stays
    a text, and ids are never decimals: 1.5 stays a text where ids stand. An empty field is a
    missing value, and nothing else is.

    Args:
        path: the file.
        user, item: the columns of ids, where their names are unusual.
        separator: what stands between fields, if it is not what the format has: ";".
        encoding: of the text, if it is not UTF-8: "cp1252", "utf-16".
        columns: names for the columns of a file that has no header.

    Returns:
        A DataFrame with the file's columns and row order; `user` and `item` for `.txt`.

    Raises:
        InputError: the file is absent, empty, damaged, of a format that is not known, or a line
            has more or fewer fields than the header.
    """
    layout = Layout(separator, encoding, columns)
    path = existing(path)
    blocks = list(read_blocks(path, layout))
    if is_parquet(path):
        return pd.concat(blocks, ignore_index=True)
    names = blocks[0].columns
    of_ids = {user or known_column(blocks[0], "user"), item or known_column(blocks[0], "item")}
    table = {
        place: _joined(
            [block.iloc[:, place] for block in blocks],
            ids_or_text if name in of_ids else numbers_or_text,
        )
        for place, name in enumerate(names)
    }
    return pd.DataFrame(table).set_axis(names, axis="columns")


def existing(path: str | Path) -> Path:
    """Return the path of a file that is there, with ~ as the user's home; else InputError."""
    if re.match(r"[a-z][a-z0-9+]+://", str(path)):
        raise InputError(f"{path} is an address; download the file and name it.")
    path = Path(path).expanduser()
    if path.is_dir():
        inside = sorted(
            p.name for p in path.iterdir() if p.is_file() and not p.name.startswith(".")
        )
        raise InputError(
            f"{path} is a folder; name a file in it"
            f"{': ' + ', '.join(inside[:5]) if inside else ''}."
        )
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")])
        raise InputError(f"there is no file {path}.{near}")
    return path


def is_parquet(path: Path) -> bool:
    return kind_of(path) == ".parquet"


def read_blocks(path: Path, layout: Layout | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a file in pieces: of Parquet with their types, of others as texts.

    Every piece has all columns; at least one comes, perhaps without rows. Empty fields are "".
    A piece of a text column whose texts are all whole numbers comes as int64: to print them gives
    the texts back.

    Raises:
        InputError: as `read_interactions`.
    """
    kind = kind_of(path)
    if kind != ".parquet" and kind not in SEPARATORS:
        raise InputError(f"{path}: the format {kind or '(none)'!r} is not known; use {FORMATS}.")
    try:
        if kind == ".parquet":
            yield from _parquet(path)
        else:
            yield from read_text(path, kind, layout or Layout())
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not written in {error.encoding} (byte {error.object[error.start]:#04x}). "
            "Name its encoding: encoding='cp1252' (--encoding cp1252) for files of Excel and older "
            "programs, or 'utf-16'."
        ) from error
    except UnicodeError as error:
        raise InputError(f"{path} is not in the encoding it should have: {error}.") from error
    except (lzma.LZMAError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}. Is it whole?") from error
    except ImportError as error:
        raise InputError(
            f"{path} needs a package that is not installed: {error}. "
            "pip install 'bert4rec[formats]' brings it."
        ) from error


def kind_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield frame_of_arrow(file.schema_arrow.empty_table())
            for batch in file.iter_batches(batch_size=ROWS):
                yield frame_of_arrow(batch)
    except (pa.ArrowException, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not a .parquet file as expected: {error}") from error


def as_text(column: pd.Series) -> pd.Series:
    """A piece of a text column as texts, also where it came as numbers."""
    return column.astype(str) if column.dtype == np.int64 else column


def _joined(parts: list[pd.Series], rule: Callable[[list[str]], np.ndarray]) -> pd.Series:
    """The pieces of a text column as one, of numbers where the rule says so."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if all(part.dtype == np.int64 for part in parts):
        return pd.concat(parts, ignore_index=True)
    codes, texts = pd.factorize(pd.concat(map(as_text, parts), ignore_index=True))
    values = rule([text for text in texts if text])
    empty = [place for place, text in enumerate(texts) if not text]
    if not empty:
        return pd.Series(values).take(codes).reset_index(drop=True)
    kind = {"i": "Int64", "u": "UInt64", "f": "float64"}.get(values.dtype.kind, "object")
    column = pd.Series(values).astype(kind)
    column = pd.concat([column, pd.Series([None], dtype=kind)], ignore_index=True)
    codes = np.where(codes == empty[0], len(texts) - 1, codes - (codes > empty[0]))
    return column.take(codes).reset_index(drop=True)
