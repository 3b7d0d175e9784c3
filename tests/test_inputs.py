"""Logs as people have them: what is read as meant, and what is refused with a reason."""

import bz2
import gzip
import lzma
import re

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT, docs_script, make_log, tiny_model

from bert4rec import InputError, Recommender, Sequences, Vocabulary, read_interactions

ROWS = "user,item,timestamp\nann,Amélie,3\nann,七人の侍,1\nbob,Amélie,-5\nbob,Das Boot,2\n"
MEANT = {"ann": ["七人の侍", "Amélie"], "bob": ["Amélie", "Das Boot"]}


def meant(path) -> bool:
    sequences = Sequences.from_file(path)
    ids = sequences.vocabulary.ids
    found = {user: ids(sequences[i]).tolist() for i, user in enumerate(sequences.users)}
    return found == MEANT


@pytest.mark.parametrize("bom", [False, True], ids=["", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".inter"])
def test_byte_order_marks_line_ends_and_scripts(tmp_path, bom, end, suffix):
    text = ROWS.replace("\n", end)
    if suffix != ".csv":
        text = text.replace(",", "\t")
    if suffix == ".inter":
        text = text.replace("user\titem\ttimestamp", "user:token\titem:token\ttimestamp:float")
    path = tmp_path / f"log{suffix}"
    path.write_bytes(text.encode("utf-8-sig" if bom else "utf-8"))
    assert meant(path)


@pytest.mark.parametrize("bom", [False, True], ids=["", "bom"])
def test_text_with_a_byte_order_mark_and_windows_line_ends(tmp_path, bom):
    path = tmp_path / "log.txt"
    path.write_bytes("1 5\r\n1 6\r\n2 5\r\n".encode("utf-8-sig" if bom else "utf-8"))
    assert read_interactions(path)["user"].tolist() == [1, 1, 2]


@pytest.mark.parametrize("suffix", ["gz", "xz", "bz2", "zst"])
def test_compressed(tmp_path, suffix):
    pack = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress}
    if suffix == "zst":
        pack["zst"] = pytest.importorskip("zstandard").ZstdCompressor().compress
    path = tmp_path / f"log.csv.{suffix}"
    path.write_bytes(pack[suffix](ROWS.encode()))
    assert meant(path)
    path.write_bytes(pack[suffix](ROWS.encode() * 999)[:-9])
    with pytest.raises(InputError, match=rf"log\.csv\.{suffix} cannot be read: .* Is it whole\?"):
        read_interactions(path)


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.txt", "log.inter", "log.csv.gz"])
@pytest.mark.parametrize("content", ["", "\n", "\n\n"])
def test_empty_files(tmp_path, name, content):
    pack = gzip.compress if name.endswith("gz") else bytes
    (tmp_path / name).write_bytes(pack(content.encode()))
    with pytest.raises(InputError, match=re.escape(name)):
        read_interactions(tmp_path / name)


def test_a_header_alone(tmp_path):
    (tmp_path / "log.csv").write_text("user,item\n")
    with pytest.raises(InputError, match="the log of interactions is empty"):
        Sequences.from_file(tmp_path / "log.csv")


def table(**columns):
    return pd.DataFrame(columns)


def test_duplicate_events_stay_in_their_order():
    log = table(user=[1, 1, 1, 2], item=[7, 7, 8, 7], time=[1, 1, 2, 1])
    sequences = Sequences.from_interactions(log)
    assert sequences.vocabulary.ids(sequences[0]).tolist() == [7, 7, 8]


def test_negative_times_come_before_positive_ones():
    log = table(user=[1, 1, 1, 2], item=[7, 8, 9, 7], time=[5, -3, 0, 1])
    sequences = Sequences.from_interactions(log)
    assert sequences.vocabulary.ids(sequences[0]).tolist() == [8, 9, 7]


@pytest.mark.parametrize("dtype", ["float64", "float32", "Int64", "uint8", "category", object])
def test_whole_numbers_of_any_type_are_the_same_ids(dtype):
    log = table(user=[1, 1, 2], item=pd.Series([7, 8, 7]).astype(dtype))
    items = Sequences.from_interactions(log).vocabulary.items
    assert items.tolist() == [7, 8]
    assert items.dtype.kind in "iu"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([7, "7", 8], r"mixes types of ids: int \(as 7\), str \(as '7'\)"),
        ([1.5, 2, 3], r"holds 1\.5, which is no whole number"),
        ([np.inf, 2, 3], "holds inf, which is no whole number"),
        ([2**70, 2, 3], "holds numbers as large as 1180591620717411303424"),
        ([True, False, True], "holds True of type bool"),
        ([pd.Timestamp(0)] * 3, "holds Timestamp.* of type Timestamp"),
        ([[1], [2], [3]], r"holds list \(as \[1\]\)"),
        ([None, 2, 3], r"has 1 missing ids, the first in row 0"),
        ([np.nan, 2, 3], r"has 1 missing ids, the first in row 0"),
    ],
)
def test_ids_that_are_none(items, message):
    with pytest.raises(InputError, match=f"column 'item' {message}"):
        Sequences.from_interactions(table(user=[1, 1, 2], item=pd.Series(items, dtype=object)))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1, None, 3], "has 1 missing times, the first in row 1"),
        ([pd.Timestamp(0), pd.NaT, pd.Timestamp(1)], "has 1 missing times"),
        (["1/2/2020"] * 3, r"holds '1/2/2020', which is not a number or a date.*time_format"),
    ],
)
def test_times_that_are_none(times, message):
    with pytest.raises(InputError, match=f"column 'time' {message}"):
        Sequences.from_interactions(table(user=[1, 1, 2], item=[7, 8, 9], time=times))


def test_columns_that_are_ambiguous():
    log = pd.DataFrame([[1, 2, 3]] * 3, columns=["user", "user", "item"])
    with pytest.raises(InputError, match="the log has 2 columns named 'user'"):
        Sequences.from_interactions(log)
    with pytest.raises(InputError, match="cannot both be in column 'a'"):
        Sequences.from_interactions(table(a=[1, 2, 3]), user="a", item="a")


def test_a_log_with_nothing_of_the_vocabulary():
    log = table(user=[1, 2], item=["1", "2"])
    with pytest.raises(InputError, match=r"the log has '1', the vocabulary 1\. Are they"):
        Sequences.from_interactions(log, vocabulary=Vocabulary([1, 2]))


def test_titles_of_another_type_are_noticed():
    titles = table(item=["1", "2"], title=["One", "Two"])
    with pytest.warns(UserWarning, match="none of the 2 items has a title .* the same kind"):
        Recommender(tiny_model(2), Vocabulary([1, 2]), titles)


def test_two_million_items_with_one_event_each():
    count = 2_000_000
    random = np.random.default_rng(0)
    log = table(user=random.integers(0, 1000, count), item=random.permutation(count))
    sequences = Sequences.from_interactions(log)
    assert sequences.num_items == count
    split = sequences.leave_one_out()
    assert split.train.num_interactions == count - 2000
    assert sequences.item_counts()[1:-1].tolist() == [1] * count
    with pytest.raises(InputError, match="nothing is left of 2,000,000 interactions"):
        Sequences.from_interactions(log, min_item_count=2)


def test_every_error_is_in_the_docs():
    """docs/errors.md is made from the source by docs/make_errors.py."""
    make_errors = docs_script("make_errors")
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == make_errors.page()
    with pytest.raises(InputError) as caught:
        Sequences.from_interactions(make_log(), user="who")
    rows = map(re.escape, make_errors.messages())
    patterns = [re.sub(r"(\\ )?\\\{.*?\\\}", ".*", row) for row in rows]
    assert any(re.fullmatch(pattern, str(caught.value)) for pattern in patterns)
