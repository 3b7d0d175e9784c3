"""Sequences of logs that do not fit into memory: sorted on disk by DuckDB, used from there.

    build_sequences("log/*.parquet", "sequences")
    split = Sequences.open("sequences").leave_one_out()

The tokens stay in a file that is mapped into memory: a batch reads the windows it needs.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from .errors import InputError
from .files import make_folder, unwritable
from .interactions import find_columns
from .vocabulary import write_ids

ROWS = 1_000_000  # rows of the sorted log that are held at a time


def build_sequences(
    files: str | Path,
    folder: str | Path,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    min_item_count: int = 1,
    memory: str = "2GB",
) -> None:
    """Write the sequences of a log into a folder, for `Sequences.open`.

    The log is read four times: to look for gaps, to number the items and then the users, and
    sorted by user and time, ties in the order of the file, to write the tokens. Users with fewer
    than 3 interactions are left out, so that `leave_one_out` holds out the same of everybody and
    copies nothing.

    Args:
        files: a Parquet or CSV file, or several by a pattern, as "log/*.parquet".
        folder: is made if it is not there.
        user, item, time: its columns; names in common use are found.
        min_item_count: leave out items with fewer interactions (once, not until nothing changes).
        memory: what DuckDB may use; it sorts larger logs on the disk of the folder.

    Raises:
        InputError: a file or column is missing, an id or time is missing, nothing is left, the
            folder cannot be written to, or DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            "building sequences on disk needs DuckDB: pip install 'bert4rec[formats]'."
        ) from error
    folder = Path(folder)
    scratch = folder / ".duckdb"
    make_folder(scratch)
    try:
        for name in ("offsets", "times"):  # half built it must not look like what was there before
            (folder / f"{name}.npy").unlink(missing_ok=True)
        with duckdb.connect(str(scratch / "work.db")) as base:
            base.execute("SET memory_limit = ?", [memory])
            base.execute("SET temp_directory = ?", [str(scratch)])
            _build(base, str(files), folder, (user, item, time), min_item_count)
    except duckdb.Error as error:
        raise InputError(f"{files}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _build(base, files: str, folder: Path, columns: tuple, min_item_count: int) -> None:
    kind = "read_parquet" if ".parquet" in files else "read_csv"
    source = f"{kind}('{files.replace(chr(39), chr(39) * 2)}')"
    names = [column[0] for column in base.execute(f"SELECT * FROM {source} LIMIT 0").description]
    user, item, time = find_columns(pd.DataFrame(columns=names), *columns)
    chosen = {"u": user, "i": item} | ({"t": time} if time else {})
    quoted = {short: '"' + name.replace('"', '""') + '"' for short, name in chosen.items()}
    gaps = ", ".join(f"count(*) - count({column})" for column in quoted.values())
    for name, missing in zip(
        chosen.values(), base.execute(f"SELECT {gaps} FROM {source}").fetchone(), strict=True
    ):
        if missing:
            raise InputError(
                f"column {name!r} of {files} has {missing:,} missing values. Drop those rows first."
            )
    base.execute(
        f"CREATE TABLE items AS SELECT i, row_number() OVER (ORDER BY i) AS token FROM "
        f"(SELECT {quoted['i']} AS i FROM {source} GROUP BY i HAVING count(*) >= {min_item_count})"
    )
    base.execute(
        f"CREATE TABLE users AS SELECT u, n, row_number() OVER (ORDER BY u) - 1 AS place FROM "
        f"(SELECT {quoted['u']} AS u, count(*) AS n FROM {source} "
        f"WHERE {quoted['i']} IN (SELECT i FROM items) GROUP BY u HAVING count(*) >= 3)"
    )
    users = base.execute("SELECT u, n FROM users ORDER BY place").df()
    if users.empty:
        raise InputError(
            f"no user of {files} has 3 interactions with min_item_count={min_item_count}."
        )
    items = base.execute("SELECT i FROM items ORDER BY token").df()["i"]
    write_ids(folder / "items.csv", pd.Index(items))
    write_ids(folder / "users.csv", pd.Index(users["u"]))
    offsets = np.concatenate([[0], users["n"].to_numpy().cumsum()]).astype(np.int64)
    _write(base, source, quoted, folder, offsets)
    np.save(folder / "offsets.npy", offsets)


def _write(base, source: str, quoted: dict, folder: Path, offsets: np.ndarray) -> None:
    """Sort the log and write its tokens, and times if there are any, piece by piece."""
    time = quoted.get("t")
    dtype: type = np.int64
    if time:
        query = f"SELECT typeof({time}) FROM {source} LIMIT 1"
        kind = base.execute(query).fetchone()[0]
        if kind == "DATE" or "TIME" in kind:
            time = f"epoch_ns({time})"
        elif "INT" not in kind:
            dtype = np.float64
    picked = ", ".join(f"{quoted[short]} AS {short}" for short in "ui")
    picked += f", {time} AS t" if time else ""
    rows = base.execute(
        f"SELECT token::INTEGER AS token {', t' if time else ''} FROM "
        f"(SELECT {picked}, row_number() OVER () AS place_in_file FROM {source}) "
        f"JOIN items USING (i) JOIN users USING (u) "
        f"ORDER BY place, {'t, ' if time else ''} place_in_file"
    )
    columns = {"tokens": ("token", np.int32)} | ({"times": ("t", dtype)} if time else {})
    with contextlib.ExitStack() as stack:
        files = {}
        for name, (_, kind) in columns.items():
            files[name] = stack.enter_context((folder / f"{name}.npy").open("wb"))
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(kind)),
                "fortran_order": False,
                "shape": (int(offsets[-1]),),
            }
            np.lib.format.write_array_header_1_0(files[name], header)
        while len(piece := rows.fetch_df_chunk(ROWS // 2048)):  # a chunk has 2,048 rows
            for name, (column, kind) in columns.items():
                files[name].write(piece[column].to_numpy(kind).tobytes())
