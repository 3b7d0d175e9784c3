"""Every log and file is read as the oracle reads it, in memory and on disk, or refused by both.

`make fuzz` draws ten thousand of each.
"""

import bz2
import contextlib
import datetime
import decimal
import gzip
import lzma
import os
import random
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import oracle
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import InputError, Popularity, Sequences, build_sequences, rank_targets
from bert4rec.data import delimited, large, readers

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

EXAMPLES = int(os.environ.get("BERT4REC_EXAMPLES", "200"))
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@contextlib.contextmanager
def folder():
    """A fresh one, in memory where that can be: ten thousand logs are written."""
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def outcome(make):
    """What comes of a log, or InputError."""
    try:
        return make()
    except InputError:
        return InputError


def plain(sequences: Sequences) -> dict:
    """Sequences as the oracle has them: items by user, both by id."""
    ids = sequences.vocabulary.items.tolist()
    users = pd.Index(sequences.users).tolist()
    return {user: [ids[token - 1] for token in row.tolist()] for user, row in
            zip(users, sequences, strict=True)}  # fmt: skip


def check(expected, made, timed: bool) -> None:
    """Compare sequences, vocabulary, splits, popularity and ranks with the oracle's."""
    if expected is InputError or made is InputError:
        assert made is expected
        return
    assert list(plain(made)) == list(expected)
    assert plain(made) == {user: [item for _, item in row] for user, row in expected.items()}
    items = sorted({item for row in expected.values() for _, item in row})
    assert made.vocabulary.items.tolist() == items
    splits = [(oracle.leave_one_out(expected), made.leave_one_out)]
    if timed:
        splits.append(
            (oracle.split_by_time(expected, 0.2, 0.3), lambda: made.split_by_time(0.2, 0.3))
        )
    for (train, validation, test), make in splits:
        split = outcome(make)
        if not validation or not test:
            assert split is InputError
            continue
        assert plain(split.train) == train
        counts = oracle.popularity(train)
        assert split.train.item_counts()[1:-1].tolist() == [counts.get(i, 0) for i in items]
        for part, holdout in ((validation, split.validation), (test, split.test)):
            assert plain(holdout.histories) == {user: row for user, (row, _) in part.items()}
            targets = [items[token - 1] for token in holdout.targets]
            assert targets == [target for _, target in part.values()]
            ranks = rank_targets(Popularity(split.train), holdout)
            scores = {item: counts.get(item, 0) for item in items}
            right = [oracle.rank(scores, target, row) for row, target in part.values()]
            assert list(zip(ranks.above.tolist(), ranks.tied.tolist(), strict=True)) == right
            value = np.mean([oracle.ndcg(*pair) for pair in right])
            assert ranks.metric("NDCG@10") == pytest.approx(value)


def built(path, out, **options):
    build_sequences(path, out, **options)
    return Sequences.open(out)


@contextlib.contextmanager
def in_pieces(rows):
    """Files are read some rows at a time, and text some lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "ROWS", rows)
        patch.setattr(readers, "ROWS", rows)
        patch.setattr(delimited, "ROWS", rows)
        patch.setattr(delimited, "CHARACTERS", 15 * rows)
        yield


def same_times(one, two):
    if one is not InputError and one.times is not None:
        assert np.array_equal(one.times, two.times)


# ------------------------------------------------------------------ typed logs

IDS = (
    "int8",
    "uint8",
    "int64",
    "uint64",
    "text",
    "float",
    "category",
    "decimal",
    "object",
    "arrow",
)
TIMES = (
    *("none", "int8", "uint8", "int16", "int64", "uint64", "float32", "float64"),
    *("s", "ms", "us", "ns", "tz", "date", "datetime", "text", "far", "arrow date"),
)


def draw_ids(rng: random.Random, kind: str, count: int, different: int):
    """Ids as the oracle has them, and as a column."""
    if kind in ("text", "category", "arrow"):
        words = ["a", "B", "é", "0007", "7", "NA", "None", "", "x y", "日本", 'q"', "z,", "-0"]
        pool = [word + str(i // len(words) or "") for i, word in enumerate(words * 9)][:different]
    elif kind == "int8":
        pool = rng.sample(range(-128, 128), different)
    elif kind == "uint8":
        pool = rng.sample(range(256), different)
    elif kind == "uint64":
        pool = [2**64 - 1 - i * rng.choice([1, 2**58]) for i in range(different)]
    elif kind in ("float", "decimal"):
        pool = rng.sample(range(-(2**20), 2**20), different)
    else:
        pool = [rng.choice([i, 2**62 + i, -i]) for i in range(different)]
    ids = [rng.choice(pool) for _ in range(count)]
    types = {"text": "str", "float": "float64", "category": "category", "decimal": object,
             "object": object, "arrow": pd.ArrowDtype(pa.string())}  # fmt: skip
    values = list(map(decimal.Decimal, ids)) if kind == "decimal" else ids
    return ids, pd.Series(values, dtype=types.get(kind, kind))


def draw_times(rng: random.Random, kind: str, count: int):
    if kind == "none":
        return [None] * count, None
    few = rng.random() < 0.5  # then there are ties
    if kind in ("int8", "uint8", "int16", "int64", "uint64"):
        info = np.iinfo(kind)
        pool = [
            int(info.min),
            int(info.max),
            0,
            1,
            *(rng.randint(int(info.min), int(info.max)) for _ in range(3)),
        ]
        pool = pool if few else [rng.randint(int(info.min), int(info.max)) for _ in range(count)]
        times = [rng.choice(pool) for _ in range(count)]
        return times, pd.Series(times, dtype=kind)
    if kind in ("float32", "float64"):
        column = pd.Series(
            [rng.choice([-1.5, 0.0, 1e30, rng.random()]) for _ in range(count)], dtype=kind
        )
        return [float(value) for value in column], column
    seconds = [rng.randint(0, 3 if few else 10**9) + 1_397_000_000 for _ in range(count)]
    if kind in UNITS:
        parts = [second * UNITS[kind] + rng.randrange(UNITS[kind]) for second in seconds]
        return parts, pd.Series(np.array(parts, dtype="int64").view(f"M8[{kind}]"))
    if kind == "far":  # before 1678 and after 2262
        parts = [rng.choice([-(10**11), 10**11]) + rng.randint(-5, 5) for _ in range(count)]
        return parts, pd.Series(np.array(parts, dtype="int64").view("M8[s]"))
    days = [rng.randint(0, 3 if few else 30_000) - 10_000 for _ in range(count)]
    dates = [datetime.date(1970, 1, 1) + datetime.timedelta(day) for day in days]
    if kind == "date":
        return days, pd.Series(dates, dtype=object)
    if kind == "arrow date":
        return days, pd.Series(dates, dtype=pd.ArrowDtype(pa.date32()))
    moments = [
        datetime.datetime(2014, 4, 18, tzinfo=datetime.UTC)
        + datetime.timedelta(seconds=rng.randint(0, 3), microseconds=rng.choice([0, 1, 819_000]))
        for _ in range(count)
    ]
    if kind == "tz":
        utc = pd.Series(moments, dtype="datetime64[us, UTC]")
        return moments, utc.dt.tz_convert("America/New_York")
    if kind == "datetime":
        return moments, pd.Series([m.replace(tzinfo=None) for m in moments], dtype=object)
    texts = [
        m.strftime(rng.choice(["%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f"])) for m in moments
    ]
    return moments, pd.Series(texts, dtype=object)


@settings(max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 2**32),
    kinds=st.tuples(st.sampled_from(IDS), st.sampled_from(IDS), st.sampled_from(TIMES)),
    count=st.integers(0, 40),
    different=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    least=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    gap=st.sampled_from([None, None, None, None, "user", "item", "time"]),
    rows=st.integers(1, 50),
)
def test_any_log(seed, kinds, count, different, least, gap, rows):
    rng = random.Random(seed)
    users, user_column = draw_ids(rng, kinds[0], count, different[0])
    items, item_column = draw_ids(rng, kinds[1], count, different[1])
    times, time_column = draw_times(rng, kinds[2], count)
    log = pd.DataFrame({"user": user_column, "item": item_column})
    if time_column is not None:
        log["time"] = time_column
    if gap in log and count:
        log[gap] = log[gap].astype(object)
        log.loc[rng.randrange(count), gap] = None
        expected = InputError
    else:
        try:
            expected = oracle.histories(list(zip(users, items, times, strict=True)), *least)
        except oracle.RefusedError:
            expected = InputError
    options = {"min_user_count": least[0], "min_item_count": least[1]}
    with folder() as place:
        path = place / "log.parquet"
        try:
            pq.write_table(pa.Table.from_pandas(log, preserve_index=False), path)
        except (pa.ArrowException, OverflowError):  # what Arrow has no type for
            path = None
        made = outcome(lambda: Sequences.from_interactions(log, **options))
        check(expected, made, kinds[2] != "none")
        if path is not None:
            options["memory"] = f"{rows * large.BYTES / 1e6:f}MB"
            with in_pieces(rows):
                stored = outcome(lambda: built(path, place / "out", **options))
            check(expected, stored, kinds[2] != "none")
            same_times(made, stored)


# ------------------------------------------------------------------ files

ODD = ['"Heroes', "a;b", "a,b", "l’été", 'a "b" c', "#1", " x", "-"]
WORDS = {
    "int": lambda rng, n: str(rng.choice([n, 2**62 + n, -n])),
    "large": lambda rng, n: str(2**63 + n),
    "huge": lambda rng, n: str(2**64 + n - 1),
    "padded": lambda rng, n: rng.choice(["", "0", "00"]) + str(n),
    "whole": lambda rng, n: f"{n}.0",
    "cents": lambda rng, n: f"{n}.00",
    "decimal": lambda rng, n: rng.choice([f"{n}.5", f"{n}.50", f"{n}"]),
    "word": lambda rng, n: rng.choice(["NA", "null", "None", "nan", "NaN", "inf"]) + "x" * n,
    "text": lambda rng, n: rng.choice(ODD) + str(n),
}  # fmt: skip
MOMENTS = {
    "none": None,
    "int": lambda rng: str(rng.randint(-3, 3)),
    "seconds": lambda rng: str(1_397_000_000 + rng.randint(0, 10**6)),
    "float": lambda rng: rng.choice(["1.5", "2.25", "-3.5", "0.5", "12.0"]),
    "mixed": lambda rng: rng.choice(["1.50", "2", "-3.5", "007", "12.0"]),
    "day": lambda rng: f"2014-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}",
    "ms": lambda rng: f"2014-04-2{rng.randint(0, 3)} 16:04:18.{rng.randint(0, 999):03d}",
    "odd": lambda rng: rng.choice(["2014-04-18", "2014-04-24 16:04:18.819", "2014-04-24T16:04"]),
    "zone": lambda rng: f"2014-04-18T1{rng.randint(0, 9)}:00:00" + rng.choice(["Z", "-05:30"]),
    "ns": lambda rng: f"2014-04-18T10:00:00.{rng.randint(0, 99):09d}",
    "far": lambda rng: rng.choice(["1066-10-14", "2999-12-31", "1969-07-20"]),
}  # fmt: skip


@settings(max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 2**32),
    kinds=st.tuples(
        *[st.sampled_from(sorted(WORDS))] * 2, st.sampled_from(sorted(MOMENTS))
    ),
    count=st.integers(0, 30),
    different=st.tuples(st.integers(1, 6), st.integers(1, 8)),
    form=st.sampled_from(["csv", "csv;", "csv|", "tsv", "inter", "txt"]),
    encoding=st.sampled_from([None, None, "utf-8-sig", "utf-16", "cp1252"]),
    end=st.sampled_from(["\n", "\n", "\r\n", "\r"]),
    packed=st.sampled_from(["", "", ".gz", ".xz", ".bz2", ".zip"]),
    trailing=st.sampled_from([False, False, "rows", "all"]),
    header=st.booleans(),
    gap=st.sampled_from([None, None, None, None, 0, 1, 2]),
    rows=st.integers(1, 40),
    least=st.tuples(st.integers(1, 3), st.integers(1, 2)),
)  # fmt: skip
def test_any_file(
    seed, kinds, count, different, form, encoding, end, packed, trailing, header, gap, rows, least
):
    rng = random.Random(seed)
    separator = {"csv": ",", "csv;": ";", "csv|": "|", "txt": " "}.get(form, "\t")
    pools = [
        [WORDS[kind](rng, n) for n in range(size)]
        for kind, size in zip(kinds, different, strict=False)
    ]
    make = MOMENTS[kinds[2]] if form != "txt" else None
    table = [
        [rng.choice(pools[0]), rng.choice(pools[1]), *([make(rng)] if make else [])]
        for _ in range(count)
    ]
    quotes = form.startswith("csv")
    if form == "txt":  # fields have no spaces there
        table = [[field.replace(" ", "_") for field in row] for row in table]
        gap, trailing, header = None, False, False
    if table and gap is not None and gap < len(table[0]):
        table[rng.randrange(count)][gap] = ""
    names = ["user_id", "item_id", "timestamp"][: 3 if make else 2]
    # a column that nobody asked for, with what confuses readers
    extra = form != "txt"
    if extra:
        names.append("title")
        table_out = [[*row, rng.choice(['"Heroes', "", "a", "b c"])] for row in table]
    else:
        table_out = table
    place_of = list(range(len(names)))
    rng.shuffle(place_of) if extra else None
    options = {"min_user_count": least[0], "min_item_count": least[1]}
    reading = {}
    if form in ("csv;", "csv|"):
        reading["separator"] = separator
    if encoding == "cp1252":
        reading["encoding"] = encoding
    if form == "inter":
        header = True
    if not header and form != "txt":
        reading["columns"] = [names[i] for i in place_of]

    def line(fields, tail=False):
        out = []
        for field in fields:
            must = any(c in field for c in (separator, '"', "\n", "\r"))
            if quotes and (must or rng.random() < 0.2):
                field = '"' + field.replace('"', '""') + '"'
            out.append(field)
        return separator.join(out) + (separator if tail else "")

    lines = []
    if header:
        head = [names[i] + (":token" if form == "inter" else "") for i in place_of]
        lines.append(line(head, trailing == "all"))
    lines += [line([row[i] for i in place_of], bool(trailing)) for row in table_out]
    if rng.random() < 0.3:
        lines.insert(rng.randint(0, len(lines)), "")
    text = end.join(lines) + (end if rng.random() < 0.7 else "")

    used = [row[:3] for row in table]
    ids = [oracle.ids_of(list({row[i] for row in used if row[i]})) for i in (0, 1)] if used else []
    expected = InputError
    with contextlib.suppress(oracle.RefusedError):
        log = [
            (ids[0].get(row[0]), ids[1].get(row[1]),
             (oracle.moment(row[2]) if row[2] else None) if make else None)
            for row in used
        ]  # fmt: skip
        if not make or all(row[2] for row in used):  # of no times at all the oracle thinks none
            expected = oracle.histories(log, *least)

    content = text.encode(encoding or "utf-8")
    with folder() as place:
        name = f"log.{form.rstrip(';|')}"
        path = place / (name + packed)
        pack = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
        if packed == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(name, content)
                archive.writestr(f"__MACOSX/._{name}", b"\x00")
        else:
            path.write_bytes(pack.get(packed, bytes)(content))
        with in_pieces(rows):
            made = outcome(lambda: Sequences.from_file(path, **reading, **options))
            stored = outcome(lambda: built(path, place / "out", **reading, **options))
    check(expected, made, bool(make))
    check(expected, stored, bool(make))
    same_times(made, stored)
