"""Files and tables as people have them: what is read, and what each mistake is told."""

import datetime
import decimal
import io
import uuid
import zipfile

import numpy as np
import pandas as pd
import pytest
from helpers import SHARED

from bert4rec import InputError, Sequences, build_sequences, read_interactions
from bert4rec.data.times import time_values
from bert4rec.data.values import numbers_or_text


def items_by_user(sequences: Sequences) -> dict:
    ids = sequences.vocabulary.items.to_numpy()
    users = pd.Index(sequences.users).tolist()
    return dict(zip(users, (ids[row - 1].tolist() for row in sequences), strict=True))


def read_both(path, tmp_path, **options) -> dict:
    """The items by user, which must be the same in memory and from disk."""
    build_sequences(path, tmp_path / "built", **options)
    in_memory = items_by_user(Sequences.from_file(path, **options))
    assert items_by_user(Sequences.open(tmp_path / "built")) == in_memory
    return in_memory


# ------------------------------------------------------------------ the order of a log


def test_milliseconds_do_not_mix_users():
    times = ["2014-04-18", "2014-04-24 16:04:18.819", "2014-04-17 07:08:13.502", "2014-04-19"]
    log = {
        "user": ["anna"] * 2 + ["bob"] * 2,
        "item": ["a1", "a2", "b1", "b2"],
        "time": pd.to_datetime(times, format="ISO8601"),
    }
    expected = {"anna": ["a1", "a2"], "bob": ["b1", "b2"]}
    assert items_by_user(Sequences.from_interactions(pd.DataFrame(log))) == expected
    assert items_by_user(Sequences.from_interactions({**log, "time": times})) == expected


@pytest.mark.parametrize(
    ("times", "order"),
    [
        (np.array([-100, 100, -50, 3], "int8"), [0, 2, 3, 1]),
        (np.array([2**64 - 1, 0, 2**63, 1], "uint64"), [1, 3, 2, 0]),
        (np.array([2**63 - 1, -(2**63), 0, -1], "int64"), [1, 3, 2, 0]),
        (np.array(["2300-01-01", "1500-01-01", "1700-01-01", "2200-01-01"], "M8[s]"), [1, 2, 3, 0]),
        (np.array([3, -1, 2, 0], "m8[s]"), [1, 3, 2, 0]),
        ([datetime.date(year, 1, 1) for year in (3000, 1, 1969, 1970)], [1, 2, 3, 0]),
        (["2014-01-02T00:00+02:00", "2014-01-01T23:00Z", "2014-01-01T21:59Z", "2014-01-01T22:30Z"],
         [2, 0, 3, 1]),
    ],
)  # fmt: skip
def test_times_of_every_type_are_in_exact_order(times, order):
    log = pd.DataFrame({"user": ["a"] * 4 + ["b"], "item": [0, 1, 2, 3, 4]})
    log["time"] = pd.Series([*times, times[0]], dtype=getattr(times, "dtype", object))
    assert items_by_user(Sequences.from_interactions(log))["a"] == order


def test_ids_above_two_to_the_sixty_third():
    log = {"user": [1, 2], "item": np.array([2**64 - 1, 5], "uint64")}
    assert Sequences.from_interactions(log).vocabulary.items.tolist() == [5, 2**64 - 1]
    with pytest.raises(InputError, match="64 bits"):
        Sequences.from_interactions({"user": [1, 2], "item": [2**64, 5]})


@pytest.mark.parametrize("wrong", [[True, False], [1j, 2j], [1.0, np.inf], [[1], [2]], ["x", 3]])
def test_times_that_are_none(wrong):
    with pytest.raises(InputError, match="not a number or a date"):
        time_values(pd.Series(wrong), "when")


def test_time_format():
    days = ["03.12.2014", "11.01.2015", "12.01.2014"]
    log = {"user": ["a", "a", "a", "b"], "item": [1, 2, 3, 1], "time": [*days, days[0]]}
    with pytest.raises(InputError, match=r"'03\.12\.2014'.*time_format"):
        Sequences.from_interactions(log)
    made = Sequences.from_interactions(log, time_format="%d.%m.%Y")
    assert items_by_user(made)["a"] == [3, 1, 2]
    digits = {**log, "time": [12112014, 11122014, 10012015, 1]}  # numbers to a file's reader
    with pytest.raises(InputError, match="'1'"):
        Sequences.from_interactions(digits, time_format="%d%m%Y")
    digits["time"][-1] = 12112014
    made = Sequences.from_interactions(digits, time_format="%d%m%Y")
    assert items_by_user(made)["a"] == [1, 2, 3]


# ------------------------------------------------------------------ what is a number


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["7", "-12", "0"], [7, -12, 0]),
        (["7", "0007"], ["7", "0007"]),
        (["7", "+7"], ["7", "+7"]),
        (["7", " 7"], ["7", " 7"]),
        (["7", "-0"], ["7", "-0"]),
        (["7", "1_0"], ["7", "1_0"]),
        (["7", "٣"], ["7", "٣"]),
        ([str(2**64 - 1), "1"], [2**64 - 1, 1]),
        ([str(2**64), "1"], [str(2**64), "1"]),
        ([str(2**64 - 1), "-1"], [str(2**64 - 1), "-1"]),
        (["4.5", "4.0"], [4.5, 4.0]),
        (["4.5", "4"], [4.5, 4.0]),
        (["4.50", "4.00"], [4.5, 4.0]),
        (["4.50", "4.5"], ["4.50", "4.5"]),
        (["0.0", "-0.0"], ["0.0", "-0.0"]),
        (["1.5", "nan"], ["1.5", "nan"]),
        (["1e5", "inf"], ["1e5", "inf"]),
        (["0.1000000000000000055"], ["0.1000000000000000055"]),
    ],
)
def test_the_rule_for_numbers(texts, expected):
    assert numbers_or_text(texts).tolist() == expected


def test_ids_are_text_as_they_stand(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('user,item\n0007,NA\n7,null\n0007,None\n7,nan\n7,"x, y"\n')
    assert read_both(path, tmp_path) == {"0007": ["NA", "None"], "7": ["null", "nan", "x, y"]}
    path.write_text("user,item\na,1.10\na,1.1\nb,1.5\n")
    assert read_both(path, tmp_path) == {"a": ["1.10", "1.1"], "b": ["1.5"]}
    path.write_text("user,item\n1.0,5.0\n2.0,6.0\n")  # as tables write ids that once had gaps
    assert read_both(path, tmp_path) == {1: [5], 2: [6]}


def test_a_table_and_its_csv_are_read_alike(tmp_path):
    log = pd.DataFrame(
        {
            "user": [3, 3, 20],
            "item": ["a", "b", "a"],
            "rating": [4.5, 3.0, np.nan],
            "time": pd.to_datetime(["2014-01-03", "2014-01-01", "2014-01-02"]),
        }
    )
    log.to_csv(tmp_path / "log.csv", index=False)
    read = read_interactions(tmp_path / "log.csv")
    assert read["rating"].tolist()[:2] == [4.5, 3.0]
    assert read["rating"].isna().tolist() == [False, False, True]
    one, two = Sequences.from_interactions(log), Sequences.from_interactions(read)
    assert one.digest() == two.digest()
    assert np.array_equal(one.times, two.times)


def test_whole_numbers_with_gaps_stay_exact(tmp_path):
    (tmp_path / "log.csv").write_text(f"user,item,shop\n1,2,{2**53 + 1}\n2,3,\n")
    shop = read_interactions(tmp_path / "log.csv")["shop"]
    assert shop[0] == 2**53 + 1
    assert shop.isna().tolist() == [False, True]


# ------------------------------------------------------------------ the form of a file


def test_a_separator_at_the_end_of_each_line(tmp_path):
    path = tmp_path / "log.csv"
    for header in ("user,item,rating", "user,item,rating,"):
        path.write_text(header + "\n1,20,3,\n1,21,4,\n2,20,5,\n")
        assert read_both(path, tmp_path) == {1: [20, 21], 2: [20]}
        assert list(read_interactions(path).columns) == ["user", "item", "rating"]


@pytest.mark.parametrize("name", ["log.tsv", "log.inter"])
def test_a_quote_at_the_start_of_a_title(tmp_path, name):
    header = "user\titem\ttitle" if "tsv" in name else "user:token\titem:token\ttitle:token"
    rows = [f"{i % 4}\t{i}\t{chr(34) if i % 48 == 0 else ''}Heroes" for i in range(96)]
    (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    table = read_interactions(tmp_path / name)
    assert len(table) == 96
    assert table["title"][0] == '"Heroes'


def test_quotes_in_csv(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('user,item,title\n1,2,"Heroes, ""the"" first\nand last"\n2,3,5" nail\n')
    assert read_interactions(path)["title"].tolist() == ['Heroes, "the" first\nand last', '5" nail']
    path.write_text('user,item,title\n1,2,"Heroes\n2,3,"Other"\n3,4,x\n')
    with pytest.raises(InputError, match=r"log\.csv, up to line 3.*quote left open"):
        read_interactions(path)
    path.write_text('user,item,title\n1,2,x\n2,3,"Heroes\n3,4,x\n')
    with pytest.raises(InputError, match=r"log\.csv, up to line 4.*quote left open"):
        read_interactions(path)


def test_lines_with_more_or_fewer_fields(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("user,item,title\n1,2,Toy Story\n1,3,Story, The\n")
    with pytest.raises(InputError, match=r"line 3 has 4 fields, the header 3: '1', '3', 'Story'"):
        read_interactions(path)
    path.write_text("user,item,title\n1,2,Toy Story\n1,3\n")
    with pytest.raises(InputError, match=r"line 3 has 2 fields"):
        read_interactions(path)


def test_other_separators_and_encodings(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes("user;item\nrené;crème\nbob;thé\n".encode("cp1252"))
    with pytest.raises(InputError, match=r"encoding='cp1252' \(--encoding cp1252\)"):
        read_interactions(path)
    with pytest.raises(InputError, match=r"separated by ';'.*separator=';' \(--separator"):
        read_interactions(path, encoding="cp1252")
    options = {"separator": ";", "encoding": "cp1252"}
    assert read_both(path, tmp_path, **options) == {"bob": ["thé"], "rené": ["crème"]}
    path.write_text("sep=;\nuser;item\n1;2\n2;3\n")  # how Excel says it
    assert read_both(path, tmp_path) == {1: [2], 2: [3]}
    path.write_bytes("user,item\nrené,2\nbob,3\n".encode("utf-16"))  # its mark says so
    assert read_both(path, tmp_path) == {"bob": [3], "rené": [2]}
    path.write_bytes("user,item\n1,2\n".encode("utf-16-le"))
    with pytest.raises(InputError, match="UTF-16"):
        read_interactions(path)
    for wrong in ({"separator": ", "}, {"encoding": "latin-99"}, {"columns": "user"}):
        with pytest.raises(InputError, match="|".join(map(str, wrong.values()))):
            read_interactions(path, **wrong)


def test_a_file_without_a_header(tmp_path):
    path = tmp_path / "clicks.csv"
    path.write_text("1,2014-04-07T10:51:09.277Z,214536502,0\n2,2014-04-07T10:54:09.868Z,21,0\n")
    with pytest.raises(InputError, match=r"'1' looks like data.*columns=\['user'.*\(--columns"):
        Sequences.from_file(path)
    columns = ["session_id", "timestamp", "item_id", "category"]
    assert read_both(path, tmp_path, columns=columns) == {1: [214536502], 2: [21]}
    with pytest.raises(InputError, match="line 1 has 4 fields, the 2 columns that were named"):
        Sequences.from_file(path, columns=["user", "item"])


def test_user_item_lines(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("1 5 6 7\n2 5\n3 6 5\n")  # a line for each user
    assert read_both(path, tmp_path) == {1: [5, 6, 7], 2: [5], 3: [6, 5]}
    path.write_text("user item\n1 5\n2 6\n")
    assert read_both(path, tmp_path) == {1: [5], 2: [6]}
    path.write_text("uid iid\n1 5\n2 6\n")
    with pytest.raises(InputError, match="'uid iid', looks like a header"):
        read_interactions(path)
    path.write_text("1 5 99\n2 6 98\n")
    with pytest.raises(InputError, match=r"found 3 fields.*columns="):
        read_interactions(path)
    columns = ["user", "item", "time"]
    assert read_both(path, tmp_path, columns=columns) == {1: [5], 2: [6]}
    path.write_text("1\n2 5\n")
    with pytest.raises(InputError, match="line 1: '1' is a user without an item"):
        read_interactions(path)


def test_titles_of_recbole(tmp_path):
    path = tmp_path / "ml.item"
    path.write_text(
        "item_id:token\tmovie_title:token_seq\tclass:token_seq\n1\tToy Story\tAnimation\n"
    )
    assert read_interactions(path).to_dict("list") == {
        "item_id": [1], "movie_title": ["Toy Story"], "class": ["Animation"],
    }  # fmt: skip
    if (SHARED / "ml-100k/ml-100k.item").exists():
        assert len(read_interactions(SHARED / "ml-100k/ml-100k.item")) == 1682


def test_zip_archives(tmp_path):
    path = tmp_path / "log.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("log.csv", "user,item\n1,2\n2,3\n")
        archive.writestr("__MACOSX/._log.csv", b"\0\0")
        archive.writestr(".DS_Store", b"\0")
    assert read_both(path, tmp_path) == {1: [2], 2: [3]}
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.csv", "")
    with pytest.raises(InputError, match=r"2 files: log\.csv, more\.csv"):
        read_interactions(path)


def test_places_that_are_no_file(tmp_path, monkeypatch):
    (tmp_path / "log.csv").write_text("user,item\n1,2\n2,3\n")
    with pytest.raises(InputError, match="is an address; download"):
        read_interactions("https://example.org/log.csv")
    with pytest.raises(InputError, match=r"is a folder; name a file in it: log\.csv"):
        read_interactions(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(read_interactions("~/log.csv")) == 2


# ------------------------------------------------------------------ tables of other kinds


def test_tables_of_other_libraries():
    pa = pytest.importorskip("pyarrow")
    columns = {"user": [1, 1, 2], "item": ["b", "a", "a"], "time": [2, 1, 3]}
    expected = {1: ["a", "b"], 2: ["a"]}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    class Stream:  # what polars and others have
        def __arrow_c_stream__(self, requested_schema=None):
            return pa.table(columns).__arrow_c_stream__(requested_schema)

    for table in (columns, rows, pa.table(columns), Stream(), pd.DataFrame(columns)):
        assert items_by_user(Sequences.from_interactions(table)) == expected
    for wrong in ([1, 2], "log.csv", 5, None, {"user": [1], "item": [1, 2]}, io.StringIO()):
        with pytest.raises(InputError, match="table"):
            Sequences.from_interactions(wrong)


def test_ids_of_unusual_types(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names = [uuid.UUID(int=i) for i in (1, 2)]
    good = {
        "dictionary": (pa.array(["x", "y"]).dictionary_encode(), ["x", "y"]),
        "decimal": (pa.array([decimal.Decimal(7), decimal.Decimal(8)]), [7, 8]),
        "large": (pa.array(["x", "y"], pa.large_string()), ["x", "y"]),
    }
    for column, items in good.values():
        table = pa.table({"user": [1, 2], "item": column})
        parquet.write_table(table, tmp_path / "log.parquet")
        build_sequences(tmp_path / "log.parquet", tmp_path / "out")
        for made in (Sequences.from_interactions(table), Sequences.open(tmp_path / "out")):
            assert made.vocabulary.items.tolist() == items
    made = Sequences.from_interactions({"user": [1, 2], "item": names})
    assert made.vocabulary.items.tolist() == list(map(str, names))
    for column in (
        pa.array([[1], [2]]),
        pa.array([decimal.Decimal("1.5")] * 2),
        pa.array([b"a", b"b"]),
    ):
        table = pa.table({"user": [1, 2], "item": column})
        parquet.write_table(table, tmp_path / "log.parquet")
        with pytest.raises(InputError, match="Ids must be"):
            Sequences.from_interactions(table)
        with pytest.raises(InputError, match="Ids must be"):
            build_sequences(tmp_path / "log.parquet", tmp_path / "out")


def test_one_column_for_two_roles():
    log = {"user": [1, 2], "item": [1, 2]}
    with pytest.raises(InputError, match="items and times cannot both be in column 'item'"):
        Sequences.from_interactions(log, time="item")
    with pytest.raises(InputError, match="min_item_count must be a whole number"):
        Sequences.from_interactions(log, min_item_count="5")


@pytest.mark.parametrize("header", ['"\t"', ",,", '"",""', " , "])
def test_a_header_without_names(tmp_path, header):
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError):
        Sequences.from_file(path)
    with pytest.raises(InputError):
        build_sequences(path, tmp_path / "out")
