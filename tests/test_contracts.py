"""What holds for every scorer, not only for ours."""

import numpy as np
import oracle
import pytest
import torch
from helpers import make_log, tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import InputError, ItemTransitions, Negatives, Sequences, Vocabulary, evaluate
from bert4rec.data.splits import Holdout
from bert4rec.evaluation.ranks import rank_targets, score_histories


class Fixed:
    """A scorer with nothing but `score`: a table of scores for everybody, perhaps its own."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, histories):
        return self.scores(histories) if callable(self.scores) else self.scores


@pytest.fixture
def split(sequences):
    return sequences.leave_one_out()


def test_a_constant_scorer_ranks_items_alone(split):
    items = split.test.histories.num_items
    report = evaluate(Fixed(lambda h: torch.zeros(len(h), items + 2)), split.test)
    ranks = report.models["Fixed"]
    unseen = items - np.array([len(set(row.tolist())) for row in split.test.histories])
    targets_seen = [
        t in row for t, row in zip(split.test.targets, split.test.histories, strict=True)
    ]
    assert (ranks.above == 0).all()
    assert (ranks.tied == unseen + targets_seen).all()
    assert ranks.coverage <= 1


@settings(max_examples=150)
@given(st.data())
def test_ranks_are_the_oracles(data):
    """Ties, infinities, targets seen before, [PAD] and [MASK] ahead of all, sampled negatives."""
    items, users = data.draw(st.integers(3, 8)), data.draw(st.integers(1, 5))
    value = st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf])
    some = st.lists(st.integers(1, items), max_size=6)
    histories = data.draw(st.lists(some, min_size=users, max_size=users))
    targets = data.draw(st.lists(st.integers(1, items), min_size=users, max_size=users))
    scores = np.array(
        [[np.inf, *data.draw(st.lists(value, min_size=items, max_size=items)), np.inf]
         for _ in range(users)]
    )  # fmt: skip
    sequences = Sequences(
        np.array([item for row in histories for item in row], dtype=np.int32),
        np.cumsum([0, *map(len, histories)]),
        np.arange(users),
        Vocabulary(list(range(1, items + 1))),
    )
    holdout = Holdout("test", sequences, np.array(targets, dtype=np.int32), sequences)
    kind = data.draw(st.sampled_from([torch.float32, torch.float64, None]))
    table = scores if kind is None else torch.from_numpy(scores).to(kind)
    order = np.argsort(sequences.lengths, kind="stable")
    scorer = Fixed(lambda h: table[order])
    ranks = rank_targets(scorer, holdout)
    for user in range(users):
        named = dict(enumerate(scores[user][1:-1].tolist(), start=1))
        right = oracle.rank(named, targets[user], histories[user])
        assert (ranks.above[user], ranks.tied[user]) == right
    assert 0 <= ranks.coverage <= 1
    drawn = np.array([data.draw(st.permutations(range(1, items + 1)))[:2] for _ in range(users)])
    ranks = rank_targets(scorer, holdout, Negatives(drawn))
    for user in range(users):
        mine, others = scores[user][targets[user]], scores[user][drawn[user]]
        assert ranks.above[user] == (others > mine).sum()
        assert ranks.tied[user] == 1 + (others == mine).sum()


def test_a_scorers_own_table_is_left_alone(split):
    items = split.test.histories.num_items
    row = torch.arange(items + 2.0)
    before = row.clone()
    evaluate(Fixed(lambda h: row.expand(len(h), -1)), split.test)
    assert torch.equal(row, before)


def test_whole_numbers_do_not_tie_by_rounding(split):
    items = split.test.histories.num_items
    row = 2**24 + torch.arange(items + 2)  # float32 holds every second of them
    ranks = rank_targets(Fixed(lambda h: row.expand(len(h), -1)), split.test)
    assert (ranks.tied == 1).all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda h: torch.zeros(len(h), 40),
        lambda h: torch.zeros(1, 42),
        lambda h: [[0.0] * 42] * len(h),
        lambda h: None,
        lambda h: torch.zeros(len(h), 42, dtype=torch.complex64),
    ],
)
def test_scores_of_another_form_are_refused(split, wrong):
    with pytest.raises(InputError, match=r"Fixed\.score gave .*expected a tensor.*42"):
        evaluate(Fixed(wrong), split.test)


def test_scores_that_are_not_numbers(split):
    row = torch.zeros(42)
    row[[0, -1]] = torch.nan  # nobody asks for those
    evaluate(Fixed(lambda h: row.expand(len(h), -1)), split.test)
    row[5] = torch.nan
    with pytest.raises(FloatingPointError, match="Fixed gave scores that are not numbers"):
        evaluate(Fixed(lambda h: row.expand(len(h), -1)), split.test)


def test_a_model_is_called_by_its_name(split):
    report = evaluate(tiny_model(40, causal=True), split.test)
    assert list(report.models) == ["SASRec", "popularity"]


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 11), min_size=1, max_size=6),
    causal=st.booleans(),
    norm_first=st.booleans(),
    extra=st.integers(0, 5),
)
def test_a_history_is_scored_alike_whatever_stands_beside_it(lengths, causal, norm_first, extra):
    model = tiny_model(20, causal=causal, norm_first=norm_first)
    rng = np.random.default_rng(len(lengths))
    rows = [rng.integers(1, 21, length) for length in lengths]
    width = max(1, max(lengths) + extra)
    batch = torch.zeros(len(rows), width, dtype=torch.int64)
    for place, row in enumerate(rows):
        batch[place, width - len(row) :] = torch.from_numpy(row)
    together = model.score(batch)
    for place, row in enumerate(rows):
        alone = model.score(torch.from_numpy(row)[None].reshape(1, -1).long())
        torch.testing.assert_close(together[place, 1:-1], alone[0, 1:-1], atol=1e-5, rtol=1e-5)


def test_transitions_are_counted_alike_in_pieces(monkeypatch):
    from bert4rec.data import neighbours

    train = Sequences.from_interactions(make_log(num_users=50)).leave_one_out().train
    whole = ItemTransitions(train, window=4).transitions.to_dense()
    counts = np.zeros((42, 42))
    for row in train:
        for place, item in enumerate(row):
            for distance in range(1, min(4, place) + 1):
                counts[item, row[place - distance]] += 1 / distance
    expected = counts / np.maximum(counts.sum(axis=0), 1e-30)
    np.testing.assert_allclose(whole.numpy(), expected, atol=1e-6)
    for pairs in (1, 7, 100):
        monkeypatch.setattr(neighbours, "PAIRS", pairs)
        torch.testing.assert_close(ItemTransitions(train, window=4).transitions.to_dense(), whole)


def test_a_scorer_without_history_length_sees_whole_histories(split):
    seen = []
    scorer = Fixed(lambda h: seen.append(h.shape[1]) or torch.zeros(len(h), 42))
    users = np.array([int(split.test.histories.lengths.argmax())])
    score_histories(scorer, split.test.histories, users)
    assert seen == [split.test.histories.lengths.max()]
