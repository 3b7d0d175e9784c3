"""Logs on disk: sorted there as in memory, trained on without being loaded."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert4rec import InputError, Sequences, TrainingConfig, build_sequences, rank_targets, train
from bert4rec.data import sequences as module

pytest.importorskip("pyarrow")


def same(one: Sequences, two: Sequences) -> bool:
    return (
        np.array_equal(one.tokens, two.tokens)
        and np.array_equal(one.offsets, two.offsets)
        and list(one.users) == list(two.users)
        and one.vocabulary.items.tolist() == two.vocabulary.items.tolist()
        and (one.times is None) == (two.times is None)
        and (one.times is None or np.array_equal(one.times, two.times))
    )


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(-2, 2)), min_size=9, max_size=60
    ),
    text=st.booleans(),
    timed=st.booleans(),
    suffix=st.sampled_from(["csv", "parquet"]),
)
def test_it_is_what_memory_gives(tmp_path, rows, text, timed, suffix):
    log = pd.DataFrame(rows, columns=["user", "item", "timestamp"])
    if text:
        log["item"] = "b" + log["item"].astype(str)
    if not timed:
        log = log.drop(columns="timestamp")
    log = log[log.groupby("user")["item"].transform("size") >= 3]
    if log["user"].nunique() < 2:
        return
    path = tmp_path / f"log.{suffix}"
    log.to_csv(path, index=False) if suffix == "csv" else log.to_parquet(path)
    build_sequences(path, tmp_path / "out")
    assert same(Sequences.open(tmp_path / "out"), Sequences.from_interactions(log))


@pytest.mark.parametrize("kind", ["datetime64[ns]", "datetime64[ms]", "float64", "int32"])
def test_times_of_any_type(tmp_path, kind):
    times = pd.Series([5, 3, 4, 1, 2, 2]).astype(kind)
    log = pd.DataFrame({"user": [1, 1, 1, 2, 2, 2], "item": [1, 2, 3, 4, 5, 6], "time": times})
    log.to_parquet(tmp_path / "log.parquet")
    build_sequences(tmp_path / "log.parquet", tmp_path / "out")
    assert same(Sequences.open(tmp_path / "out"), Sequences.from_interactions(log))


@pytest.fixture
def built(tmp_path):
    log = make_log(num_users=40)
    log.iloc[:200].to_parquet(tmp_path / "part-1.parquet")
    log.iloc[200:].to_parquet(tmp_path / "part-2.parquet")
    build_sequences(tmp_path / "part-*.parquet", tmp_path / "sequences")
    return Sequences.open(tmp_path / "sequences"), Sequences.from_interactions(log)


@pytest.mark.parametrize("option", [{"validation_users": 5}, {"seen": "include"}])
def test_options_of_the_split_are_not_taken_without_a_word(option, tmp_path):
    make_log().to_csv(tmp_path / "log.csv", index=False)
    with pytest.raises(InputError, match=rf"{next(iter(option))} is not stored with the sequences"):
        build_sequences(tmp_path / "log.csv", tmp_path / "sequences", **option)


@pytest.mark.parametrize("validated", [None, 15])
def test_the_split_shares_the_file_and_is_the_same(built, validated):
    mapped, memory = built
    split, expected = mapped.leave_one_out(validated), memory.leave_one_out(validated)
    assert np.shares_memory(split.train.tokens, mapped.tokens)
    assert isinstance(split.train.tokens, np.memmap)
    assert split.train.num_interactions == expected.train.num_interactions
    assert split.train.digest() == expected.train.digest()
    assert np.array_equal(split.train.item_counts(), expected.train.item_counts())
    for part in ("validation", "test"):
        one, two = getattr(split, part), getattr(expected, part)
        assert np.array_equal(one.targets, two.targets)
        for user in range(len(one)):
            assert np.array_equal(one.histories[user], two.histories[user])


def test_training_and_ranking_are_the_same_to_the_bit(built):
    config = TrainingConfig(epochs=2, batch_size=16, device="cpu", start_at_neighbours=3)
    models = []
    for sequences in built:
        split = sequences.leave_one_out()
        model = tiny_model(split.train.num_items)
        train(model, split, config, progress=False)
        models.append((model, rank_targets(model, split.test)))
    for one, two in zip(models[0][0].parameters(), models[1][0].parameters(), strict=True):
        assert torch.equal(one, two)
    assert np.array_equal(models[0][1].above, models[1][1].above)


def test_blocks_cover_every_user_once(built, monkeypatch):
    mapped, _ = built
    expected = mapped.item_counts(), mapped.digest()
    for size in (1, 7, 50):
        monkeypatch.setattr(module, "BLOCK", size)
        blocks = list(mapped.blocks())
        assert len(blocks) > 3
        assert np.array_equal(np.concatenate([block.tokens for block in blocks]), mapped.tokens)
        assert np.array_equal(mapped.item_counts(), expected[0])
        assert mapped.digest() == expected[1]


def test_save_and_open(built, tmp_path):
    mapped, memory = built
    mapped.leave_one_out().train.save(tmp_path / "train")
    opened = Sequences.open(tmp_path / "train")
    assert opened.digest() == memory.leave_one_out().train.digest()
    (tmp_path / "train" / "tokens.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(InputError, match="does not hold saved sequences"):
        Sequences.open(tmp_path / "train")
    with pytest.raises(InputError, match="does not hold saved sequences"):
        Sequences.open(tmp_path / "nothing")


def test_a_sample_of_the_users_is_ranked(built):
    holdout = built[0].leave_one_out().validation
    some = holdout.sample(10, seed=1)
    assert len(some) == 10
    assert len(holdout.sample(10**6)) == len(holdout)
    place = {user: i for i, user in enumerate(holdout.histories.users)}
    for i, user in enumerate(some.histories.users):
        assert some.targets[i] == holdout.targets[place[user]]
        assert np.array_equal(some.histories[i], holdout.histories[place[user]])


def test_rare_users_and_items_are_left_out_as_in_memory(tmp_path):
    log = pd.DataFrame({"user": [1, 1, 1, 2, 2, 3, 3, 3], "item": [5, 6, 5, 5, 6, 5, 5, 7]})
    log.to_csv(tmp_path / "log.csv", index=False)
    for least in ({}, {"min_item_count": 2}, {"min_user_count": 3}):
        build_sequences(tmp_path / "log.csv", tmp_path / "out", **least)
        assert same(Sequences.open(tmp_path / "out"), Sequences.from_interactions(log, **least))
    assert not (tmp_path / "out" / ".building").exists()


def test_short_users_stay_in_training_and_on_disk(tmp_path):
    log = pd.concat([make_log(), pd.DataFrame({"user": ["u7x"], "item": [101], "timestamp": [1]})])
    log.to_parquet(tmp_path / "log.parquet")
    build_sequences(tmp_path / "log.parquet", tmp_path / "out")
    one = Sequences.open(tmp_path / "out").leave_one_out()
    two = Sequences.from_interactions(log).leave_one_out()
    assert isinstance(one.test.histories.tokens, np.memmap)
    assert one.test.num_short_users == two.test.num_short_users == 1
    for part in ("validation", "test"):
        assert getattr(one, part).histories.digest() == getattr(two, part).histories.digest()
        assert np.array_equal(getattr(one, part).targets, getattr(two, part).targets)
    assert one.train.digest() == two.train.digest()


def test_a_split_of_a_split_sees_only_its_own(tmp_path):
    """A part of a log on disk shares the file with what was held out of it."""
    make_log(num_users=60).to_parquet(tmp_path / "log.parquet")
    build_sequences(tmp_path / "log.parquet", tmp_path / "out")
    one = Sequences.open(tmp_path / "out").leave_one_out().train.split_by_time()
    two = Sequences.open(tmp_path / "out").select(np.arange(60)).leave_one_out()
    two = two.train.split_by_time()
    assert one.train.digest() == two.train.digest()
    assert np.array_equal(one.test.targets, two.test.targets)
    assert one.test.histories.digest() == two.test.histories.digest()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (None, {}, "there is no file"),
        ("who,what\n1,2\n", {}, "no column looks like the user"),
        ("user,item\n1,2\n1,\n", {}, "column 'item' has 1 missing ids, the first in row 1"),
        ("user,item\n1,2\n1,3\n", {}, "one user only"),
        ("user,item\n1,2\n2,3\n", {"min_item_count": 2}, "nothing is left"),
        ("user,item\n1,2\n2,3\n", {"memory": "2 elephants"}, "memory must be like"),
        ("user,item\n1,2\n", {"time": "when"}, "no column 'when'"),
    ],
)
def test_mistakes(tmp_path, content, options, message):
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        build_sequences(tmp_path / "log.csv", tmp_path / "out", **options)
    assert not (tmp_path / "out" / "offsets.npy").exists()


def test_any_text_is_an_id_on_disk_too(tmp_path):
    odd = ["a\0b", "a\rb", "a\nb", '"q', "", " ", "\t", "NA", "x,y", "\ufeffz", "1", "\u2028k"]
    made = Sequences.from_interactions({"user": odd, "item": odd[::-1]})
    made.save(tmp_path / "saved")
    assert same(Sequences.open(tmp_path / "saved"), made)
    pd.DataFrame({"user": odd, "item": odd[::-1]}).to_parquet(tmp_path / "log.parquet")
    build_sequences(tmp_path / "log.parquet", tmp_path / "built")
    assert same(Sequences.open(tmp_path / "built"), made)
    users = (tmp_path / "saved" / "users.csv").read_text().splitlines()
    (tmp_path / "saved" / "users.csv").write_text("\n".join(users[:-1]) + "\n")
    with pytest.raises(InputError, match="does not hold saved sequences"):
        Sequences.open(tmp_path / "saved")
