"""Text files as tables of texts: CSV, TSV, RecBole's, `user item` lines, compressed or not.

Nothing is guessed about a file that its name or the caller does not say: the separator, quotes and
header follow from the format, the encoding is UTF-8 unless the file begins with a mark of UTF-16.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import lzma
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd

from ..errors import InputError

ROWS = 1_000_000  # rows of a file that are looked at together


CHARACTERS = 2**24  # of a text file, the same


COMPRESSED = (".gz", ".xz", ".bz2", ".zst", ".zip")


# what stands between the fields of a line; None is any space
SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t", ".item": "\t", ".user": "\t", ".txt": None}


TYPED = (".inter", ".item", ".user")  # RecBole's, whose header names types: user_id:token


SPELT = {"\t": "tab", " ": "space"}


@dataclass(frozen=True)
class Layout:
    """How a text file is written, where it differs from what its name says.

    Attributes:
        separator: what stands between fields; default "," in .csv, a tab in .tsv and .inter.
        encoding: "cp1252", "utf-16", …; default UTF-8, or UTF-16 if the file begins with its mark.
        columns: the names of the columns, for a file that has no header.
    """

    separator: str | None = None
    encoding: str | None = None
    columns: Sequence[str] | None = None

    def __post_init__(self):
        if self.separator is not None and len(self.separator) != 1:
            raise InputError(
                f"a separator is one character, not {self.separator!r}; a tab is $'\\t' in a shell."
            )
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError) as error:
                raise InputError(
                    f"no encoding is called {self.encoding!r}; there are utf-8, utf-16, cp1252, …"
                ) from error
        if isinstance(self.columns, str):
            raise InputError(f"columns must be a list of names, not {self.columns!r}.")


def read_text(path: Path, kind: str, layout: Layout) -> Iterator[pd.DataFrame]:
    separator, number = layout.separator or SEPARATORS[kind], 1
    quoted = kind == ".csv"
    with closing(_unpacked(path)) as binary, _decoded(binary, layout.encoding) as text:
        first = text.readline()
        while first and not first.strip():
            first, number = text.readline(), number + 1
        if kind == ".csv" and (match := re.fullmatch(r"sep=(.)\s*", first)):  # Excel's way to say
            separator, first, number = layout.separator or match[1], text.readline(), number + 1
        if not first:
            raise InputError(f"{path} is empty.")
        if "\0" in first:
            raise InputError(
                f"{path} holds zero bytes; is it UTF-16? encoding='utf-16-le' (--encoding)."
            )

        def records(lines: Iterable[str], number: int) -> Iterator[tuple[int, list]]:
            split = _quoted if quoted else _split
            return split(lines, number, separator, path)

        pairs = kind == ".txt" and layout.columns is None
        if layout.columns is not None or pairs:
            names, ahead = list(layout.columns or ("user", "item")), first
        else:
            _, header = next(records([first], number), (number, [""]))
            names, ahead = [name.strip() for name in header], ""
            if len(names) > 1 and not names[-1]:
                names.pop()  # a separator at the end of the line
            _check_header(path, kind, separator, names)
            number += 1
        if pairs:
            ahead = _without_header(path, ahead, following := text.readline()) + following
            number += first not in ahead
        yield _frame([], names)
        widths: set[int] = set()
        for chunk in _chunks(text, ahead):
            frame = None if quoted and '"' in chunk else _regular(chunk, separator, names)
            if frame is not None:
                widths.add(2)
                yield frame
                number += chunk.count("\n")
                continue
            # a quote may close in any later piece, and lines of a user end anywhere
            rest = records(itertools.chain(io.StringIO(chunk), text), number)
            if pairs:
                rest = _pairs(rest, path, widths)
            while block := list(itertools.islice(rest, ROWS)):
                yield _frame(_checked(block, names, path, layout.columns is not None), names)


def _chunks(text: IO[str], ahead: str) -> Iterator[str]:
    """The rest of a text in pieces of whole lines, each with its line end."""
    while chunk := ahead + text.read(CHARACTERS):
        ahead = ""
        if not chunk.endswith("\n"):
            chunk += text.readline()
        yield chunk if chunk.endswith("\n") else chunk + "\n"


def _regular(chunk: str, separator: str | None, names: list[str]) -> pd.DataFrame | None:
    """The rows of a piece without quotes, if every line has a field for each name; else None.

    That is how nearly all files are, and pandas reads such a piece fast and can guess nothing.
    """
    spaced = separator is None
    separator = separator or " "
    if "\0" in chunk or (spaced and re.search(r"[^\S \n]", chunk)) or not separator.isascii():
        return None
    content = chunk.encode()
    letters = np.frombuffer(content, dtype=np.uint8)
    ends = np.flatnonzero((letters == ord(separator)) | (letters == ord("\n")))  # of fields
    if len(ends) % len(names):
        return None
    at_line_end = (letters[ends] == ord("\n")).reshape(-1, len(names))
    lengths = np.diff(ends, prepend=-1).reshape(-1, len(names)) - 1
    if at_line_end[:, :-1].any() or not at_line_end[:, -1].all() or not lengths.any(axis=1).all():
        return None
    if spaced and not lengths.all():
        return None

    def read(**options: Any) -> pd.DataFrame:
        return pd.read_csv(
            io.BytesIO(content),
            sep=separator,
            header=None,
            names=range(len(names)),
            quoting=csv.QUOTE_NONE,
            na_filter=False,
            low_memory=False,
            index_col=False,
            skip_blank_lines=False,
            **options,
        )

    frame = read()
    other = []
    for place in range(len(names)):
        column = frame[place]
        is_number = column.dtype == np.int64
        if is_number and (lengths[:, place] == _printed_lengths(column.to_numpy())).all():
            continue
        if pd.api.types.infer_dtype(column, skipna=False) != "string":
            other.append(place)
    if other:  # they are texts that pandas took for numbers
        frame[other] = read(usecols=other, dtype=str)
    return frame.set_axis(names, axis="columns")


def _printed_lengths(numbers: np.ndarray) -> np.ndarray:
    """How many characters each whole number has when it is printed."""
    tens = np.array([10**digits for digits in range(1, 19)], dtype=np.uint64)
    size = np.where(numbers < 0, -numbers, numbers).view(np.uint64)
    return 1 + np.searchsorted(tens, size, side="right") + (numbers < 0)


def _check_header(path: Path, kind: str, separator: str | None, names: list[str]) -> None:
    if kind in TYPED:
        if not all(":" in name for name in names):
            raise InputError(
                f"{path} is not a {kind} file as expected: its header must be name:type fields, "
                f"found {names}"
            )
        names[:] = [name.split(":")[0] for name in names]
    for other in (",", ";", "\t", "|"):
        if len(names) == 1 and other != separator and other in names[0]:
            raise InputError(
                f"the lines of {path} seem to be separated by {SPELT.get(other, other)!r}, not by "
                f"{SPELT.get(separator or ' ', separator)!r}: its header is {names[0]!r}. Say so: "
                f"separator={other!r} (--separator {other!r})."
            )


def _split(
    lines: Iterable[str], number: int, separator: str | None, path: Path
) -> Iterator[tuple[int, list]]:
    """The fields of each line that is not blank, with its number; the first has `number`."""
    for place, line in enumerate(lines, number):
        if line.strip():
            yield place, line.rstrip("\n").split(separator)


def _quoted(
    lines: Iterable[str], number: int, separator: str | None, path: Path
) -> Iterator[tuple[int, list]]:
    """The same of CSV; strict: a quote that is not closed would swallow the lines after it."""
    reader = csv.reader(lines, delimiter=separator or " ", strict=True)
    try:
        for record in reader:
            if any(map(str.strip, record)):
                yield number + reader.line_num - 1, record
    except csv.Error as error:
        place = number + reader.line_num - 1
        raise InputError(
            f"{path}, up to line {place}: {error}. A field with quotes in it is written in quotes, "
            'and they are doubled: "the ""best"" of". Is a quote left open in a line before?'
        ) from error


def _without_header(path: Path, first: str, second: str) -> str:
    """The first line of `user item` text, or nothing if it is a header."""
    names, below = first.split(), second.split()
    known = [name.lower().replace("_", "") for name in names]
    if known in (["user", "item"], ["userid", "itemid"]):
        return ""
    numbers_follow = len(names) == len(below) == 2 and all(map(str.isdigit, below))
    if numbers_follow and not re.search(r"\d", first):
        raise InputError(
            f"{path}: the first line, {' '.join(names)!r}, looks like a header, which "
            "`user item` text does not have. Remove it."
        )
    return first


def _pairs(
    rows: Iterator[tuple[int, list]], path: Path, widths: set[int]
) -> Iterator[tuple[int, list]]:
    """The pairs of `user item` lines, or of `user item item …` lines, one for each item.

    Args:
        rows: the lines' numbers and fields.
        widths: the numbers of fields that lines before had.
    """
    for number, fields in rows:
        if len(fields) == 1:
            raise InputError(f"{path}, line {number}: {fields[0]!r} is a user without an item.")
        widths.add(len(fields))
        for item in fields[1:]:
            yield number, [fields[0], item]
    if len(widths) == 1 and widths != {2}:
        width = widths.pop()
        raise InputError(
            f"{path}: expected `user item` on each line, found {width} fields. Name them: "
            f"columns=['user', 'item', …] (--columns user item …). Lines of `user item item …` "
            "are read where their lengths differ."
        )


def _checked(block: list, names: list[str], path: Path, named: bool) -> list[list[str]]:
    """The fields of records, each as many as there are names; InputError for others."""
    width = len(names)
    rows = []
    for number, fields in block:
        if len(fields) == width + 1 and not fields[-1].strip():
            fields.pop()  # a separator at the end of the line
        if len(fields) != width:
            what = f"the {width} columns that were named" if named else f"the header {width}"
            raise InputError(
                f"{path}, line {number} has {len(fields)} fields, {what}: "
                f"{', '.join(map(repr, fields[:8]))}. A field that holds the separator must stand "
                "in quotes (in .csv)."
            )
        rows.append(fields)
    return rows


def _frame(rows: list[list[str]], names: list[str]) -> pd.DataFrame:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    table = {place: np.array(values, dtype=object) for place, values in enumerate(columns)}
    return pd.DataFrame(table, dtype=object).set_axis(names, axis="columns")


def _unpacked(path: Path) -> IO[bytes]:
    """A file's content as it is read, unpacked."""
    kind = path.suffix.lower()
    if kind == ".zst":
        return io.BytesIO(_zst(path.read_bytes()))
    if kind == ".zip":
        archive = zipfile.ZipFile(path)
        files = [
            name
            for name in archive.namelist()
            if not name.endswith("/")
            and not name.startswith("__MACOSX/")  # what macOS adds
            and not Path(name).name.startswith(".")
        ]
        if len(files) != 1:
            raise InputError(
                f"{path} holds {len(files)} files{': ' if files else ''}{', '.join(files[:5])}. "
                "Unpack it and name the one to read."
            )
        try:
            return archive.open(files[0])
        except RuntimeError as error:  # it has a password
            raise InputError(f"{path} cannot be read: {error}. Unpack it first.") from error
    openers: dict[str, Any] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
    return openers.get(kind, open)(path, "rb")


def _zst(packed: bytes) -> bytes:
    import zstandard

    content = []
    try:
        while packed:  # a frame after another
            frame = zstandard.ZstdDecompressor().decompressobj()
            content.append(frame.decompress(packed))
            if not frame.eof:
                raise EOFError("it ends before its content does")
            packed = frame.unused_data
    except zstandard.ZstdError as error:
        raise OSError(str(error)) from error
    return b"".join(content)


def _decoded(binary: IO[bytes], encoding: str | None) -> io.TextIOWrapper:
    """The text of a file, lines ending in \\n, without a mark of its encoding at the start."""
    buffered: Any = binary if hasattr(binary, "peek") else io.BufferedReader(cast(Any, binary))
    start = buffered.peek(4)[:4]
    if encoding is None:
        marked = start[:2] in (b"\xff\xfe", b"\xfe\xff")
        encoding = "utf-16" if marked else "utf-8"
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    return io.TextIOWrapper(buffered, encoding=encoding)
