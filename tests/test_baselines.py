"""Popularity and item transitions, by definition and on real data."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import SHARED, make_log
from hypothesis import given
from hypothesis import strategies as st

from bert4rec import PAD, InputError, ItemKNN, ItemTransitions, Popularity, Sequences, evaluate


@given(
    st.integers(0, 10_000),
    st.integers(1, 6),
    st.integers(1, 5),
    st.floats(0.1, 1),
    st.sampled_from([0, 0.25, 1]),
)
def test_item_transitions_by_definition(seed, window, history_length, decay, back):
    sequences = Sequences.from_interactions(make_log(num_users=8, num_items=15, seed=seed))
    n = sequences.num_items
    counts = np.zeros((n + 2, n + 2))
    for user in range(len(sequences)):
        items = sequences[user]
        for i, before in enumerate(items):
            for j in range(i + 1, min(i + window, len(items) - 1) + 1):
                counts[before, items[j]] += 1 / (j - i)
                counts[items[j], before] += back / (j - i)
    counts /= np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    scorer = ItemTransitions(sequences, window, history_length, decay, back)
    histories = torch.tensor([[PAD, 1, 2, 3], [4, 5, 6, 7], [PAD, PAD, PAD, PAD]])
    scores = scorer.score(histories)
    for row, history in zip(scores, histories.tolist(), strict=True):
        expected = np.zeros(n + 2)
        for steps, item in enumerate(reversed(history[-history_length:])):
            if item != PAD:
                expected += decay**steps * counts[item]
        np.testing.assert_allclose(row[1 : n + 1], expected[1 : n + 1], rtol=1e-4, atol=1e-5)
        assert torch.isneginf(row[[0, n + 1]]).all()


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("cells", [1, 2**24])
def test_item_knn_is_the_cosine_of_scikit_learn(repeats, cells, monkeypatch):
    neighbors = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr(ItemKNN, "CELLS", cells)  # in one piece, and an item at a time
    log = make_log(num_users=30, num_items=20)
    sequences = Sequences.from_interactions(pd.concat([log, log]) if repeats else log)
    had = np.zeros((sequences.num_items + 2, len(sequences)))
    for user in range(len(sequences)):
        had[sequences[user], user] = 1
    n, k = sequences.num_items, 4
    nearest = neighbors.NearestNeighbors(n_neighbors=k, metric="cosine").fit(had[1:-1])
    distances, _ = nearest.kneighbors()  # of each item, itself left out
    scorer = ItemKNN(sequences, k)
    for item in range(1, n + 1):
        expected = 1 - distances[item - 1]
        np.testing.assert_allclose(scorer.similarities[item], expected, atol=1e-6)
    histories = torch.tensor([[PAD, 1, 2], [3, 3, 5], [PAD, PAD, PAD]])
    for row, history in zip(scorer.score(histories), histories.tolist(), strict=True):
        expected = np.zeros(n + 2)
        for item in history:
            np.add.at(expected, scorer.neighbours[item].numpy(), scorer.similarities[item].numpy())
        np.testing.assert_allclose(row[1:-1], expected[1:-1], atol=1e-6)
        assert torch.isneginf(row[[0, -1]]).all()
    newest = ItemKNN(sequences, k, history_length=1).score(histories)
    torch.testing.assert_close(newest, scorer.score(histories[:, -1:]))


def test_popularity_counts_training_only(sequences):
    split = sequences.leave_one_out()
    scores = Popularity(split.train).score(torch.tensor([[3], [5]]))
    counts = np.bincount(split.train.tokens, minlength=sequences.num_items + 2)
    assert (scores[:, 1:-1] == torch.from_numpy(counts[1:-1])).all()
    assert torch.isneginf(scores[:, [0, -1]]).all()


def test_bad_settings(sequences):
    bad = {"window": 0}, {"history_length": 0}, {"decay": 0}, {"decay": 1.1}, {"back": 1.1}
    for settings in (*bad, {"back": -0.1}):
        with pytest.raises(InputError, match="expected window >= 1"):
            ItemTransitions(sequences, **settings)
    for settings in ({"k": 0}, {"history_length": 0}):
        with pytest.raises(InputError, match="expected k >= 1"):
            ItemKNN(sequences, **settings)


def test_movielens_1m_reaches_what_is_published():
    path = SHARED / "ml-1m" / "ml-1m.txt.xz"
    if not path.exists():
        pytest.skip("the MovieLens-1M sequences are not beside the repository")
    torch.set_num_threads(2)
    split = Sequences.from_file(path).leave_one_out()
    chain = ItemTransitions(split.train, window=1, history_length=1)
    report = evaluate({"chain": chain, "transitions": ItemTransitions(split.train)}, split.test)
    ndcg = report.table()["NDCG@10"]
    assert ndcg["popularity"] == pytest.approx(0.018, abs=0.001)
    assert ndcg["chain"] == pytest.approx(0.126, abs=0.003)
    assert ndcg["transitions"] >= 0.155
    assert isinstance(report.table(), pd.DataFrame)
