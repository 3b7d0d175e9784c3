"""The vocabulary, order in time, filters, splits, and gathering from flat storage."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import PAD, InputError, Sequences, Vocabulary
from bert4rec.data.sorting import by_user_and_time, left_padded


def frame(*rows, columns=("user", "item", "time")):
    return pd.DataFrame(rows, columns=list(columns))


logs = st.lists(
    st.tuples(st.integers(0, 6), st.integers(-50, 50), st.integers(0, 5)), min_size=1, max_size=80
).filter(lambda rows: len({row[0] for row in rows}) > 1)


def by_user(rows):
    """The same in plain Python: each user's items by time, ties in the order of the file."""
    histories = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):  # sorted() is stable
        histories.setdefault(user, []).append(item)
    return histories


@given(logs)
def test_histories_equal_plain_python(rows):
    sequences = Sequences.from_interactions(frame(*rows))
    expected = by_user(rows)
    assert sequences.users.tolist() == sorted(expected)
    for index, user in enumerate(sequences.users):
        assert sequences.vocabulary.ids(sequences[index]).tolist() == expected[user]
    assert sequences.tokens.dtype == np.int32
    assert sequences.tokens.min() >= 1
    assert sequences.tokens.max() == sequences.num_items < sequences.vocabulary.mask_token


@given(logs)
def test_leave_one_out_by_definition(rows):
    sequences = Sequences.from_interactions(frame(*rows))
    expected = by_user(rows)
    long = [user for user in sorted(expected) if len(expected[user]) >= 3]
    if not long:
        with pytest.raises(InputError, match=r"no user has the 3.*longest of \d+ histories has"):
            sequences.leave_one_out()
        return
    split = sequences.leave_one_out()
    ids = sequences.vocabulary.ids
    assert split.test.num_short_users == len(expected) - len(long)
    for index, user in enumerate(sequences.users):
        cut = -2 if user in long else None
        assert ids(split.train[index]).tolist() == expected[user][:cut]
    for holdout, cut in ((split.validation, -2), (split.test, -1)):
        assert holdout.histories.users.tolist() == long
        for index, user in enumerate(long):
            assert ids(holdout.histories[index]).tolist() == expected[user][:cut]
            assert ids([holdout.targets[index]])[0] == expected[user][cut]


@given(logs, st.integers(1, 6))
def test_validation_of_some_users_leaves_the_others_one_more_item(rows, count):
    sequences = Sequences.from_interactions(frame(*rows))
    if sequences.lengths.max() < 3:
        return
    everybody, some = sequences.leave_one_out(), sequences.leave_one_out(count)
    assert len(some.validation) == min(count, len(everybody.validation))
    validated = set(some.validation.histories.users.tolist())

    def targets(holdout):
        return dict(zip(holdout.histories.users, holdout.targets, strict=True))

    before = targets(everybody.validation)
    assert targets(some.validation) == {
        user: target for user, target in before.items() if user in validated
    }
    for index, user in enumerate(sequences.users):
        expected = everybody.train[index].tolist()
        if user in before and user not in validated:
            expected.append(before[user])
        assert some.train[index].tolist() == expected
    assert some.test.targets.tolist() == everybody.test.targets.tolist()
    assert some.test.histories.tokens.tolist() == everybody.test.histories.tokens.tolist()
    assert some.test.train is some.validation.train is some.train
    again = sequences.leave_one_out(count)
    assert again.validation.targets.tolist() == some.validation.targets.tolist()
    assert (some.name == "leave-one-out") == (count >= len(before))


@pytest.mark.parametrize("count", [0, -1, True, 2.5, "all"])
def test_a_bad_number_of_users_to_validate_is_named(sequences, count):
    with pytest.raises(InputError, match=rf"validation_users must be a whole.*not {count!r}\."):
        sequences.leave_one_out(count)


@given(logs, st.integers(1, 4), st.integers(1, 4))
def test_filters_hold_for_both_sides(rows, min_user, min_item):
    try:
        sequences = Sequences.from_interactions(
            frame(*rows), min_user_count=min_user, min_item_count=min_item
        )
    except InputError as error:
        assert "nothing is left" in str(error)
        return
    assert sequences.lengths.min() >= min_user
    assert np.bincount(sequences.tokens)[1:].min() >= min_item


def test_one_pass_of_the_filters_would_not_be_enough():
    # without b's only item-9 event, user b is too short, and then item 1 too rare
    rows = [("a", 1, 0), ("a", 2, 1), ("b", 1, 0), ("b", 9, 1), ("c", 2, 0), ("c", 3, 1)]
    rows += [("a", 3, 2)]
    sequences = Sequences.from_interactions(frame(*rows), min_user_count=2, min_item_count=2)
    assert sequences.users.tolist() == ["a", "c"]
    assert sequences.vocabulary.items.tolist() == [2, 3]


def test_ties_keep_the_order_of_the_file():
    rows = [("a", item, 7) for item in (5, 3, 9, 1)] + [("b", 1, 1)]
    sequences = Sequences.from_interactions(frame(*rows))
    assert sequences.vocabulary.ids(sequences[0]).tolist() == [5, 3, 9, 1]


def test_unsorted_log_and_log_without_times():
    rows = [("a", 1, 30), ("b", 5, 1), ("a", 2, 10), ("a", 3, 20)]
    sequences = Sequences.from_interactions(frame(*rows))
    assert sequences.vocabulary.ids(sequences[0]).tolist() == [2, 3, 1]
    sequences = Sequences.from_interactions(frame(*rows).drop(columns="time"))
    assert sequences.vocabulary.ids(sequences[0]).tolist() == [1, 2, 3]
    assert sequences.times is None


def test_ids_of_any_type_round_trip_and_zero_is_not_padding():
    sequences = Sequences.from_interactions(frame(("a", 0, 1), ("b", 3952, 2), ("b", 0, 3)))
    assert sequences.tokens.tolist() == [1, 2, 1]
    assert sequences.vocabulary.ids([1, 2]).tolist() == [0, 3952]
    texts = Sequences.from_interactions(frame((1, "é", 1), (2, "0", 2)))
    assert texts.vocabulary.items.tolist() == ["0", "é"]
    floats = Sequences.from_interactions(frame((1.0, 7.0, 1), (2.0, 8.0, 2)))
    assert floats.vocabulary.items.tolist() == [7, 8]
    assert floats.vocabulary.items.dtype.kind == "i"


def test_vocabulary_rejects_what_is_not_an_item():
    vocabulary = Vocabulary(["apple", "pear"])
    assert vocabulary.tokens(["pear", "apple"]).tolist() == [2, 1]
    with pytest.raises(InputError, match=r"'aple' is not in the vocabulary.*Did you mean 'apple'"):
        vocabulary.tokens(["pear", "aple"])
    for token in (PAD, vocabulary.mask_token, -1):
        with pytest.raises(InputError, match=rf"token {token} is not an item"):
            vocabulary.ids([1, token])
    with pytest.raises(InputError, match="'a' is listed twice"):
        Vocabulary(["a", "b", "a"])


def test_fixed_vocabulary_drops_other_items_with_a_warning():
    rows = [("a", 1, 1), ("a", 2, 2), ("b", 3, 1), ("b", 1, 2)]
    with pytest.warns(UserWarning, match="1 of 4 interactions"):
        sequences = Sequences.from_interactions(frame(*rows), vocabulary=Vocabulary([1, 2, 9]))
    assert sequences.num_items == 3
    assert sequences.tokens.tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (frame(), "log of interactions is empty"),
        (frame(("a", 1, 1), ("a", 2, 2)), r"one user only \('a'\)"),
        (frame(("a", 1, 1), (None, 2, 2)), r"column 'user' has 1 missing ids, the first in row 1"),
        (frame(("a", 1, 1), ("b", np.nan, 2)), r"column 'item' has 1 missing.*dropna"),
        (frame(("a", 1, 1), ("b", 2, np.nan)), r"column 'time' has 1 missing times"),
        (frame(("a", 1, "noon"), ("b", 2, "1 pm")), r"'time' holds 'noon'.*time_format"),
        (
            frame(("a", 1, 1), ("b", "x", 2)),
            r"mixes types of ids: int \(as 1\), str.*astype\(str\)",
        ),
        (frame(("a", 1), ("b", 2), columns=("user", "itm")), r"looks like the item.*item='…'"),
    ],
)
def test_bad_logs_are_named(log, message):
    with pytest.raises(InputError, match=message):
        Sequences.from_interactions(log)


def test_nothing_left_after_filtering():
    with pytest.raises(InputError, match=r"nothing is left of 4 .*min_item_count=9; lower"):
        Sequences.from_interactions(
            frame(("a", 1, 1), ("a", 2, 1), ("b", 1, 1), ("b", 2, 1)), min_item_count=9
        )


def test_dates_sort_like_numbers():
    dates = pd.to_datetime(["2020-01-03", "2020-01-01", "2020-01-02"])
    log = pd.DataFrame({"user": ["a", "a", "b"], "item": [1, 2, 1], "date": dates})
    assert Sequences.from_interactions(log).tokens.tolist() == [2, 1, 1]


@settings(max_examples=50)
@given(st.integers(0, 1000), st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_split_by_time_never_looks_ahead(seed, validation_share, test_share):
    log = make_log(seed=seed)
    log["timestamp"] = np.random.default_rng(seed).integers(0, 200, len(log))
    sequences = Sequences.from_interactions(log)
    try:
        split = sequences.split_by_time(validation_share, test_share)
    except InputError as error:
        assert "no user has a history before" in str(error)
        return
    moments = np.sort(log["timestamp"])
    first = moments[int(len(log) * (1 - test_share - validation_share))]
    second = moments[int(len(log) * (1 - test_share))]
    assert split.train.times.max() < first
    assert split.train.num_interactions == (log["timestamp"] < first).sum()
    assert split.validation.histories.times.max() < first
    assert split.test.histories.times.max() < second
    # a target is the user's first item after the moment
    user = 0
    name = split.test.histories.users[user]
    known = len(split.test.histories[user])
    whole = sequences[list(sequences.users).index(name)]
    assert split.test.targets[user] == whole[known]


def test_split_by_time_needs_times_and_shares(sequences, log):
    for shares in ((0, 0.1), (0.1, 1.0), (0.6, 0.5)):
        with pytest.raises(InputError, match="share"):
            sequences.split_by_time(*shares)
    untimed = Sequences.from_interactions(log.drop(columns="timestamp"))
    with pytest.raises(InputError, match="needs times"):
        untimed.split_by_time()


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(1, 10))
def test_left_padded_keeps_the_newest_items_last(lengths, columns):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens = torch.arange(1, offsets[-1] + 2, dtype=torch.int32)
    batch = left_padded(
        tokens, torch.from_numpy(offsets[:-1]), torch.from_numpy(offsets[1:]), columns
    )
    assert batch.shape == (len(lengths), columns)
    for row, begin, end in zip(batch, offsets[:-1], offsets[1:], strict=True):
        items = tokens[begin:end].tolist()[-columns:]
        assert row.tolist() == [PAD] * (columns - len(items)) + items


def test_select_and_counts(sequences):
    picked = sequences.select(np.array([4, 1]), np.array([2, 1]))
    assert picked[0].tolist() == sequences[4][:2].tolist()
    assert picked[1].tolist() == sequences[1][:1].tolist()
    assert picked[-1].tolist() == picked[1].tolist()
    assert sequences.item_counts().sum() == sequences.num_interactions
    assert len(sequences.item_counts()) == sequences.num_items + 2
    with pytest.raises(IndexError):
        sequences[len(sequences)]


def test_digest_depends_on_the_data_alone(log):
    one, two = (Sequences.from_interactions(log) for _ in range(2))
    assert one.digest() == two.digest()
    log.loc[3, "item"] += 1
    assert Sequences.from_interactions(log).digest() != one.digest()


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=60),
    st.sampled_from(["int64", "int8", "uint8", "uint64", "float64", "huge", "none"]),
)
def test_the_order_is_by_user_then_time_and_ties_keep_theirs(rows, kind):
    users, times = (np.array(column) for column in zip(*rows, strict=True))
    if kind == "huge":  # too far apart for one number per row
        times = times * (2**61) - 2**62
    times = None if kind == "none" else times.astype("int64" if kind == "huge" else kind)
    expected = sorted(range(len(rows)), key=lambda i: (users[i], 0 if times is None else times[i]))
    assert by_user_and_time(users, times).tolist() == expected
