"""Sequences of logs that do not fit into memory: sorted on disk, used from there.

    build_sequences("log/*.parquet", "sequences")
    split = Sequences.open("sequences").leave_one_out()

The tokens stay in a file that is mapped into memory: a batch reads the windows it needs. Reading,
filtering and sorting are those of `Sequences.from_interactions`, in pieces: the result is the same.
"""

from __future__ import annotations

import contextlib
import glob
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..files import make_folder, unwritable
from ..registry import sort_options
from .delimited import Layout
from .interactions import OF_SPLIT, Reading, find_columns, note_unused_times
from .readers import as_text, existing, is_parquet, read_blocks
from .sorting import by_user_and_time, check_counts, empty_log, k_core, nothing_left, one_user
from .times import as_times, common_times, time_values
from .values import check_complete, ids_or_text, plain_ids
from .vocabulary import write_ids

ROWS = 1_000_000  # rows that are held at a time while the log is read


BYTES = 160  # of memory for a row, while some are sorted


def build_sequences(
    files: str | Path,
    folder: str | Path,
    memory: str = "2GB",
    progress: bool = False,
    **options: Any,
) -> None:
    """Write the sequences of a log into a folder, for `Sequences.open`.

    They are the ones that `Sequences.from_interactions` makes of the same log. The log is read
    twice: to learn its ids and types, and to number it. The numbers are sorted on the disk of the
    folder, 16 bytes for each interaction. Only ids must fit into memory.

    Args:
        files: a file that `read_interactions` knows, or several by a pattern, as "log/*.parquet",
            which follow each other in the order of their names.
        folder: is made if it is not there.
        memory: what sorting may use, as "500MB" or "2GB".
        progress: say on standard error what is done.
        options: how the files are read: fields of `Layout` (separator, encoding, columns) and of
            `Reading` (user, item, time, time_format, min_user_count, min_item_count; by default
            all users and items are kept).

    Raises:
        InputError: a file, an id, a time or an option cannot be used, or nothing is left; see
            `read_interactions` and `Sequences.from_interactions`. Or the folder cannot be written
            to. Sequences that were there are then gone or whole, never mixed.
    """
    for name in OF_SPLIT:
        if name in options:
            raise InputError(
                f"{name} is not stored with the sequences; say it when they are split: "
                "Sequences.open(…).leave_one_out(validation_users=…).with_seen(…)."
            )
    options = {"min_user_count": 1, "min_item_count": 1, **options}
    (layout, reading), _ = sort_options(options, (Layout, Reading))
    least = reading.min_user_count, reading.min_item_count
    check_counts(*least)
    log = _Log(_paths(files), layout, reading)
    rows_at_once = max(1, _bytes(memory) // BYTES)
    folder = Path(folder)
    scratch = folder / ".building"
    make_folder(scratch)
    say = _say if progress else lambda text: None
    try:
        for name in ("offsets", "times"):  # half built it must not look like what was there before
            (folder / f"{name}.npy").unlink(missing_ok=True)
        log.look(say)
        spool = _Spool(scratch, log.time_kind)
        spool.fill(log.numbered())
        say(f"{spool.count:,} interactions numbered; sorting")
        (_, users), (_, items) = log.users, log.items
        counts, item_counts = k_core(spool, len(users), len(items), *least)
        if not counts.any():
            raise nothing_left(spool.count, *least)
        users, items = users[counts > 0], items[item_counts > 0]
        write_ids(folder / "items.csv", items)
        write_ids(folder / "users.csv", users)
        _sort(spool, counts, item_counts > 0, folder, rows_at_once)
        say(f"{len(users):,} users and {len(items):,} items written to {folder}")
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _paths(files: str | Path) -> list[Path]:
    pattern = str(Path(files).expanduser())
    found = [Path(path) for path in sorted(glob.glob(pattern)) if Path(path).is_file()]
    return found or [existing(files)]


def _bytes(memory: str) -> int:
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    text = str(memory).strip().upper()
    try:
        return int(float(text[:-2]) * units[text[-2:]])
    except (KeyError, ValueError, OverflowError) as error:
        raise InputError(f"memory must be like '500MB' or '2GB', not {memory!r}.") from error


class _Log:
    """A log in files: its ids, the type of its times, and its rows as numbers."""

    def __init__(self, paths: list[Path], layout: Layout, reading: Reading):
        self.paths, self.layout, self.time_format = paths, layout, reading.time_format
        self.columns = reading.user, reading.item, reading.time
        self.names: list[str] = []
        self.typed = is_parquet(paths[0])  # of texts, the rule for numbers must see all
        if any(is_parquet(path) != self.typed for path in paths):
            raise InputError(
                f"{paths[0]} and the others must be of one format, all Parquet or none of them."
            )

    def blocks(self) -> Iterator[list[pd.Series]]:
        """The columns of users, items and, if there are any, times, piece by piece."""
        for path in self.paths:
            first = 0
            for frame in read_blocks(path, self.layout):
                named = find_columns(frame, *self.columns)
                if not self.names:
                    note_unused_times(frame, named)
                self.names = [name for name in named if name]
                if frame.empty:
                    continue
                columns = [frame[name] for name in self.names]
                if not self.typed:
                    columns = [c if c.dtype == np.int64 else c.mask(c == "") for c in columns]
                for column, what in zip(columns, ("ids", "ids", "times"), strict=False):
                    check_complete(column, column.name, what, first)
                first += len(frame)
                yield columns

    def look(self, say: Callable[[str], None]) -> None:
        """Learn all ids and the type of the times."""
        seen: list[dict] = [{}, {}]  # of users and of items: keys in the order of the log
        kinds: set[np.dtype] = set()
        count = 0
        for columns in self.blocks():
            for column, known in zip(columns, seen, strict=False):
                values = plain_ids(column, column.name) if self.typed else column
                known.update(dict.fromkeys(values.unique().tolist()))
            if len(columns) == 3:
                kinds.add(time_values(columns[2], self.names[2], self.time_format).dtype)
            count += len(columns[0])
            say(f"{count:,} interactions read")
        if not count:
            raise empty_log(str(self.paths[0]))
        self.users, self.items = map(self._sorted, seen, self.names[:2])
        if len(self.users[1]) == 1:
            raise one_user(self.users[1].tolist()[0], self.names[0])
        self.time_kind = common_times(kinds, self.names[2]) if kinds else None

    def _sorted(self, seen: dict, name: str) -> tuple[pd.Index, pd.Index]:
        """The ids as the file has them and as they are, both in the order of the latter."""
        keys = pd.Series(list(seen))
        if self.typed or keys.dtype == np.int64:
            ids = plain_ids(keys, name)
        else:
            keys = pd.Series(list(dict.fromkeys(map(str, seen))))
            ids = pd.Series(ids_or_text(keys.tolist()))
        order = ids.argsort(kind="stable").to_numpy()
        return pd.Index(keys.take(order)), pd.Index(ids.take(order))

    def numbered(self) -> Iterator[list[np.ndarray]]:
        """Users and items by number and, if there are any, times, piece by piece."""
        for columns in self.blocks():
            arrays = []
            for column, (keys, _) in zip(columns, (self.users, self.items), strict=False):
                if self.typed:
                    values = plain_ids(column, column.name)
                else:
                    values = column if keys.dtype == np.int64 else as_text(column)
                places = keys.get_indexer(pd.Index(values, dtype=keys.dtype))
                arrays.append(places.astype(np.int32))
            if self.time_kind is not None:
                times = time_values(columns[2], self.names[2], self.time_format)
                arrays.append(as_times(times, self.time_kind, self.names[2]))
            yield arrays


class _Spool:
    """The rows of a log as numbers, on disk in the order of the log."""

    def __init__(self, folder: Path, time_kind: np.dtype | None):
        kinds = {"users": np.dtype("int32"), "items": np.dtype("int32")}
        if time_kind is not None:
            kinds["times"] = time_kind
        self.columns = {folder / name: kind for name, kind in kinds.items()}
        self.count = 0

    def fill(self, blocks: Iterable[list[np.ndarray]]) -> None:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in self.columns]
            for arrays in blocks:
                for file, array in zip(files, arrays, strict=True):
                    file.write(array.tobytes())
                self.count += len(arrays[0])

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """All columns, piece by piece, from the beginning."""
        for first in range(0, self.count, ROWS):
            yield [
                np.fromfile(path, kind, ROWS, offset=first * kind.itemsize)
                for path, kind in self.columns.items()
            ]


def _sort(
    spool: _Spool, counts: np.ndarray, items_kept: np.ndarray, folder: Path, rows: int
) -> None:
    """Write the tokens, times and offsets of what is kept, some users at a time.

    Args:
        spool: the whole log by number.
        counts: how many interactions of each user are kept, as `k_core` gives them.
        items_kept: which items are.
        folder: where to.
        rows: how many are sorted together.
    """
    users_kept = counts > 0
    offsets = np.append(0, np.cumsum(counts))
    token = np.cumsum(items_kept).astype(np.int32)  # the i-th item that is kept has token i + 1
    kinds = [np.dtype("int32"), *list(spool.columns.values())[2:]]
    with contextlib.ExitStack() as stack:
        files = []
        for name, kind in zip(("tokens", "times"), kinds, strict=False):
            files.append(stack.enter_context((folder / f"{name}.npy").open("wb")))
            header = {
                "descr": np.lib.format.dtype_to_descr(kind),
                "fortran_order": False,
                "shape": (int(offsets[-1]),),
            }
            np.lib.format.write_array_header_1_0(files[-1], header)
        first = 0
        while first < len(counts):  # as many users as fit, at least one
            last = max(first + 1, int(np.searchsorted(offsets, offsets[first] + rows, "right")) - 1)
            parts = []
            for users, items, *times in spool:
                mine = (users >= first) & (users < last)
                mine &= users_kept[users] & items_kept[items]
                parts.append([users[mine], token[items[mine]], *(t[mine] for t in times)])
            users, *columns = (np.concatenate(part) for part in zip(*parts, strict=True))
            order = by_user_and_time(users, columns[1] if len(columns) == 2 else None)
            for file, column in zip(files, columns, strict=True):
                file.write(column[order].tobytes())
            first = last
    np.save(folder / "offsets.npy", np.append(0, np.cumsum(counts[counts > 0])))
