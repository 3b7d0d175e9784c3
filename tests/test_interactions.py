"""Logs of any origin: formats, compression, column names, and what is wrong with a file."""

import gzip
import lzma

import pandas as pd
import pytest
from helpers import SHARED

from bert4rec import InputError, Sequences, build_sequences, read_interactions
from bert4rec.data.interactions import find_columns

LOG = pd.DataFrame({"user_id": ["a", "a", "b"], "item_id": [7, 8, 7], "timestamp": [1, 2, 3]})


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.csv.xz", "x.tsv", "x.parquet", "X.CSV"])
def test_tables_round_trip(tmp_path, name):
    path = tmp_path / name
    if "parquet" in name:
        LOG.to_parquet(path)
    else:
        LOG.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    pd.testing.assert_frame_equal(read_interactions(path), LOG, check_dtype=False)


def test_inter_drops_the_types_from_its_header(tmp_path):
    path = tmp_path / "ml.inter"
    path.write_text("user_id:token\titem_id:token\trating:float\n196\t242\t3\n")
    assert list(read_interactions(path).columns) == ["user_id", "item_id", "rating"]
    path.write_text("user_id\titem_id\n196\t242\n")
    with pytest.raises(InputError, match=r"ml\.inter is not a \.inter file.*name:type"):
        read_interactions(path)


def test_user_item_text(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("1 5\n1 6\n2 5\n")
    assert read_interactions(path).to_dict("list") == {"user": [1, 1, 2], "item": [5, 6, 5]}
    (tmp_path / "log.txt.xz").write_bytes(lzma.compress(path.read_bytes()))
    assert len(read_interactions(tmp_path / "log.txt.xz")) == 3
    path.write_text("1 5 2000\n")
    with pytest.raises(InputError, match=r"expected `user item`.*found 3 fields"):
        read_interactions(path)


@pytest.mark.parametrize(
    ("name", "users", "items", "interactions"),
    [
        ("ml-1m/ml-1m.txt.xz", 6_040, 3_416, 999_611),
        ("ml-100k/ml-100k.inter", 943, 1_682, 100_000),
        ("beauty/beauty.txt.xz", 40_226, 54_542, 353_962),
    ],
)
def test_real_files(name, users, items, interactions):
    if not (SHARED / name).exists():
        pytest.skip(f"{name} is not beside the repository")
    sequences = Sequences.from_file(SHARED / name)
    counted = (sequences.num_users, sequences.num_items, sequences.num_interactions)
    assert counted == (users, items, interactions)


def test_ids_of_a_long_column_have_one_type(tmp_path):
    """pandas reads long files in pieces and would give numbers at first, texts further down."""
    path = tmp_path / "long.csv"
    rows = "".join(f"{user},{user % 7}\n" for user in range(300_000))
    path.write_text("user,item\n" + rows + "guest,1\n")
    assert {type(user) for user in read_interactions(path)["user"]} == {str}


def test_absent_file_suggests_a_name(tmp_path):
    (tmp_path / "ratings.csv").write_text("")
    with pytest.raises(InputError, match=r"no file .*rating\.csv.*Did you mean 'ratings\.csv'"):
        read_interactions(tmp_path / "rating.csv")


def test_bad_files_are_named(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=r"empty\.csv is empty"):
        read_interactions(tmp_path / "empty.csv")
    (tmp_path / "log.xlsx").write_text("")
    with pytest.raises(InputError, match=r"format '\.xlsx' is not known; use \.csv"):
        read_interactions(tmp_path / "log.xlsx")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"user,item\n" * 1000)[:-20])
    with pytest.raises(InputError, match=r"cut\.csv\.gz cannot be read"):
        read_interactions(tmp_path / "cut.csv.gz")
    (tmp_path / "not.parquet").write_text("hello")
    with pytest.raises(InputError, match=r"not\.parquet"):
        read_interactions(tmp_path / "not.parquet")


def test_columns_are_found_or_asked_for():
    assert find_columns(LOG) == ("user_id", "item_id", "timestamp")
    other = LOG.rename(columns={"user_id": "customer no", "timestamp": "when"})
    with pytest.raises(InputError, match=r"no column looks like the user.*'customer no'.*user='…'"):
        find_columns(other)
    assert find_columns(other, user="customer no", time="when") == (
        "customer no",
        "item_id",
        "when",
    )
    with pytest.raises(InputError, match=r"no column 'itemid'.*Did you mean 'item_id'"):
        find_columns(LOG, item="itemid")


@pytest.mark.parametrize(
    "columns", [("userId", "movieId", "timestamp"), ("reviewerID", "asin", "unixReviewTime")]
)
def test_column_names_of_public_data(columns):
    frame = LOG.set_axis(list(columns), axis="columns")
    assert find_columns(frame) == columns


@pytest.mark.parametrize(
    "name", ["transaction_timestamp", "orderDate", "created_at", "TIME_OF_SALE"]
)
def test_a_column_that_looks_like_a_time_is_not_passed_over_in_silence(name, tmp_path):
    log = pd.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 2, 1], name: [4, 3, 2, 1]})
    with pytest.warns(UserWarning, match=f"{name}' looks like one: time='{name}'"):
        Sequences.from_interactions(log)
    log.to_csv(tmp_path / "log.csv", index=False)
    with pytest.warns(UserWarning, match=f"time='{name}'") as said:
        build_sequences(tmp_path / "log.csv", tmp_path / "log")
    assert len(said) == 1


def test_a_named_time_and_other_columns_are_no_cause_for_a_note(recwarn):
    log = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 2], "sentiment": 0, "days_late": 1})
    Sequences.from_interactions(log)
    dated = log.assign(sold=pd.to_datetime(["2020-01-01"] * 3))
    Sequences.from_interactions(dated, time="sold")
    assert not recwarn.list
    with pytest.warns(UserWarning, match="'sold' looks like one"):
        Sequences.from_interactions(dated)
