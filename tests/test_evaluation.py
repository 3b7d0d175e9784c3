"""Ranks and metrics against other libraries, the protocols, and what must not change a metric."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_reciprocal_rank,
)

from bert4rec import (
    METRICS,
    PAD,
    InputError,
    ItemTransitions,
    Negatives,
    Popularity,
    Ranks,
    Report,
    Sequences,
    evaluate,
    rank_targets,
)


def ranks_of(scores: np.ndarray, targets: np.ndarray) -> Ranks:
    own = scores[np.arange(len(targets)), targets][:, None]
    return Ranks((scores > own).sum(axis=1), (scores == own).sum(axis=1))


score_tables = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 8), st.integers(2, 40), st.booleans())
)


@given(score_tables, st.integers(1, 15))
def test_ndcg_equals_scikit_learn_ties_included(table, k):
    seed, users, items, ties = table
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (users, items)) if ties else rng.random((users, items))
    targets = rng.integers(items, size=users)
    relevance = np.eye(items)[targets]
    # scikit-learn averages over the orders of ties as well
    expected = ndcg_score(relevance, scores, k=k)
    assert ranks_of(scores, targets).metric(f"NDCG@{k}") == pytest.approx(expected, abs=1e-12)


@given(score_tables, st.integers(1, 15))
def test_metrics_equal_torchmetrics_without_ties(table, k):
    seed, users, items, _ = table
    rng = np.random.default_rng(seed)
    # above 0: torchmetrics takes a score of 0 or less for an item that was not retrieved
    scores = np.stack([rng.permutation(items) for _ in range(users)]) + 1.0
    targets = rng.integers(items, size=users)
    ranks = ranks_of(scores, targets)
    for user in range(users):
        preds = torch.from_numpy(scores[user])
        target = torch.from_numpy(np.eye(items, dtype=int)[targets[user]])
        k = min(k, items)
        for name, function in (
            (f"HR@{k}", lambda p, t, k=k: retrieval_hit_rate(p, t, top_k=k)),
            (f"NDCG@{k}", lambda p, t, k=k: retrieval_normalized_dcg(p, t, top_k=k)),
            ("MRR", retrieval_reciprocal_rank),
        ):
            expected = float(function(preds, target))
            assert ranks.per_user(name)[user] == pytest.approx(expected, abs=1e-6)


def test_hit_rate_equals_scikit_learn():
    rng = np.random.default_rng(0)
    scores, targets = rng.random((200, 30)), rng.integers(30, size=200)
    for k in (1, 5, 10):
        expected = top_k_accuracy_score(targets, scores, k=k, labels=np.arange(30))
        assert ranks_of(scores, targets).metric(f"HR@{k}") == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), min_size=1, max_size=20))
def test_ties_are_the_mean_over_every_order(pairs):
    above, tied = np.array(pairs).T
    ranks = Ranks(above, tied)
    for metric in (*METRICS, "NDCG@3"):
        expected = [
            np.mean([Ranks(np.array([r]), np.array([1])).metric(metric) for r in range(a, a + t)])
            for a, t in pairs
        ]
        np.testing.assert_allclose(ranks.per_user(metric), expected, atol=1e-12)
    assert ranks.expected.tolist() == [a + (t + 1) / 2 for a, t in pairs]


def test_the_discount():
    ranks = Ranks(np.array([0, 1, 2, 9, 10]), np.ones(5, dtype=int))
    np.testing.assert_allclose(
        ranks.per_user("NDCG@10"), [1, 0.63093, 0.5, 1 / np.log2(11), 0], atol=1e-5
    )
    assert ranks.per_user("HR@10").tolist() == [1, 1, 1, 1, 0]
    np.testing.assert_allclose(ranks.per_user("MRR"), [1, 1 / 2, 1 / 3, 1 / 10, 1 / 11])
    np.testing.assert_allclose(ranks.per_user("MRR@10"), [1, 1 / 2, 1 / 3, 1 / 10, 0])


@pytest.mark.parametrize("metric", ["HR@0", "HR@x", "recall@10", "ndcg@10", "NDCG", "HR"])
def test_unknown_metrics(metric):
    with pytest.raises(InputError, match=r"is not one of HR@k|needs a number of ranks"):
        Ranks(np.array([0]), np.array([1])).per_user(metric)


@pytest.fixture
def split(sequences):
    return sequences.leave_one_out()


@pytest.fixture
def model(sequences):
    return tiny_model(sequences.num_items)


def test_full_ranking_by_definition(split, model):
    """One user at a time, in plain Python."""
    ranks = rank_targets(model, split.test)
    recommended = set()
    for user, target in enumerate(split.test.targets):
        history = split.test.histories[user]
        scores = model.score(torch.from_numpy(history.astype(np.int64))[None])[0]
        unseen = [
            t for t in range(1, model.config.num_items + 1) if t not in history or t == target
        ]
        better = [t for t in unseen if scores[t] > scores[target] + 1e-5]
        assert ranks.above[user] == len(better)
        recommended |= set(sorted(unseen, key=lambda t: -scores[t])[:10])
    assert (ranks.tied == 1).all()
    assert ranks.coverage == pytest.approx(len(recommended) / model.config.num_items)


@pytest.mark.parametrize("protocol", ["full", "uniform-10", "popular-10"])
def test_batch_size_and_order_of_users_change_nothing(split, model, protocol):
    expected = evaluate(model, split.test, protocol, batch_size=256).to_dict()
    for batch_size in (1, 7):
        assert evaluate(model, split.test, protocol, batch_size).to_dict() == expected


class Constant:
    """Knows nothing: every item scores the same."""

    history_length = 1

    def __init__(self, num_items, value=0.0):
        self.size, self.value = num_items + 2, value

    def score(self, histories):
        scores = torch.full((len(histories), self.size), self.value)
        scores[:, [PAD, -1]] = -torch.inf
        return scores


def test_a_model_that_knows_nothing_gets_what_chance_gives(split):
    ranks = rank_targets(Constant(split.train.num_items), split.test)
    unseen = split.train.num_items - np.array(
        [len(set(h)) for h in map(split.test.histories.__getitem__, range(len(split.test)))]
    )
    np.testing.assert_array_equal(ranks.above, 0)
    np.testing.assert_array_equal(ranks.tied, unseen)
    assert ranks.metric("HR@1") == pytest.approx((1 / unseen).mean())


def test_scores_that_are_not_numbers_are_an_error(split):
    with pytest.raises(FloatingPointError, match="Constant gave scores that are not numbers"):
        rank_targets(Constant(split.train.num_items, float("nan")), split.test)


def test_a_target_that_was_seen_before_is_still_ranked():
    rows = [("a", i, t) for t, i in enumerate([1, 2, 3, 1])] + [("b", i, i) for i in (1, 2, 3, 4)]
    import pandas as pd

    split = Sequences.from_interactions(
        pd.DataFrame(rows, columns=["user", "item", "time"])
    ).leave_one_out()
    ranks = rank_targets(Popularity(split.train), split.test)
    assert (ranks.tied >= 1).all()
    assert ranks.above[0] == 0  # against the unseen item 4, which training never saw


def test_the_report_says_what_it_is(split, model):
    report = evaluate({"mine": model, "moves": ItemTransitions(split.train)}, split.test)
    assert list(report.models) == ["mine", "moves", "popularity"]
    content = json.loads(json.dumps(report.to_dict()))
    assert content["protocol"] == "full ranking, seen items left out"
    assert (content["num_users"], content["num_items"]) == (30, 40)
    assert content["split"] == "test"
    assert list(content["models"]["mine"]) == [*METRICS, "coverage@10"]
    assert str(report).startswith("test, full ranking, seen items left out; 30 users, 40 items\n")
    assert content["num_short_users"] == 0
    assert report.table().loc["mine", "HR@10"] == content["models"]["mine"]["HR@10"]
    assert evaluate(model, split.test).models.keys() == {"BERT4Rec", "popularity"}


def test_users_too_short_are_counted_in_the_report():
    log = make_log()
    log = log.drop(log[log["user"] == "u3"].index[2:])
    split = Sequences.from_interactions(log).leave_one_out()
    report = evaluate(Popularity(split.train), split.test)
    assert (report.num_users, report.num_short_users) == (29, 1)
    assert str(report).splitlines()[0].endswith("; 1 users too short to be ranked")


@pytest.mark.parametrize("by", ["uniform", "popular"])
def test_negatives_are_unseen_different_and_fixed(split, by):
    negatives = Negatives.sample(split.test, by, count=15, seed=3)
    for user, drawn in enumerate(negatives.tokens):
        assert len(set(drawn)) == 15
        assert not set(drawn) & {*split.test.histories[user], split.test.targets[user]}
        assert drawn.min() >= 1
        assert drawn.max() <= split.train.num_items
    again = Negatives.sample(split.test, by, count=15, seed=3)
    assert np.array_equal(again.tokens, negatives.tokens)
    assert not np.array_equal(Negatives.sample(split.test, by, 15, seed=4).tokens, again.tokens)
    assert len({tuple(sorted(row)) for row in negatives.tokens}) > 20  # not the same for everybody


def test_how_often_negatives_are_drawn():
    log = make_log(num_users=400, num_items=60)
    log = log[~((log["item"] < 115) & (log["user"].str[-1].isin(list("0123456"))))]  # rare items
    split = Sequences.from_interactions(log).leave_one_out()
    counts = split.train.item_counts()[1:-1]
    for by, expected in (("uniform", np.ones(60)), ("popular", counts)):
        drawn = Negatives.sample(split.test, by, count=1).tokens
        share = np.bincount(drawn.ravel(), minlength=62)[1:-1] / drawn.size
        rare = counts < np.median(counts) / 2
        assert rare.sum() >= 5
        assert share[rare].sum() == pytest.approx(
            expected[rare].sum() / expected.sum(), rel=0.35, abs=0.03
        )


def test_negatives_save_and_load(split, model, tmp_path):
    negatives = Negatives.sample(split.test, count=10)
    negatives.save(tmp_path / "negatives.npz")
    loaded = Negatives.load(tmp_path / "negatives.npz")
    assert loaded.name == "10 uniform negatives (seed 0)"
    assert evaluate(model, split.test, loaded).to_dict() == (
        evaluate(model, split.test, "uniform-10").to_dict()
    )
    (tmp_path / "other.npz").write_text("no")
    with pytest.raises(InputError, match=r"other\.npz does not hold saved negatives"):
        Negatives.load(tmp_path / "other.npz")


def test_sampled_ranks_by_definition(split, model):
    negatives = Negatives.sample(split.test, count=10)
    ranks = rank_targets(model, split.test, negatives)
    assert ranks.coverage is None
    for user, target in enumerate(split.test.targets):
        history = torch.from_numpy(split.test.histories[user].astype(np.int64))
        scores = model.score(history[None])[0]
        drawn = scores[negatives.tokens[user].astype(np.int64)]
        assert ranks.above[user] == int((drawn > scores[target] + 1e-5).sum())


def test_bad_protocols(split, model):
    for protocol in ("fully", "uniform", "popular-x", "random-100", "uniform-0"):
        with pytest.raises(InputError, match=rf"protocol '{protocol}' is not known"):
            evaluate(model, split.test, protocol)
    with pytest.raises(InputError, match=r"user 'u\d+' has \d+ unseen items to draw 100 uniform"):
        evaluate(model, split.test, "uniform-100")
    with pytest.raises(InputError, match=r"for 2 users, the holdout has 30"):
        evaluate(model, split.test, Negatives(np.ones((2, 5), dtype=np.int32)))
    with pytest.raises(InputError, match="not 'often'"):
        Negatives.sample(split.test, "often")


def test_standard_error():
    ranks = Ranks(np.array([0, 30, 0, 30]), np.ones(4, dtype=int))
    assert ranks.metric("HR@10") == 0.5
    assert ranks.standard_error("HR@10") == pytest.approx((1 / 3) ** 0.5 / 2)


def test_the_paired_test_is_scipys(sequences):
    from scipy.stats import ttest_rel

    random = np.random.default_rng(0)
    above = random.geometric(0.02, size=(2, 4000))
    above[1] = np.where(random.random(4000) < 0.7, above[0], above[1])
    ranks = [Ranks(values, np.ones(4000, dtype=int)) for values in above]
    report = Report("full", 4000, 500, 0, "test", {"a": ranks[0], "b": ranks[1]})
    for metric in ("NDCG@10", "HR@10", "MRR"):
        found = report.difference("a", "b", metric)
        expected = ttest_rel(ranks[0].per_user(metric), ranks[1].per_user(metric))
        assert found["p"] == pytest.approx(expected.pvalue, abs=1e-3)
        assert found["difference"] / found["standard_error"] == pytest.approx(expected.statistic)
    assert report.difference("a", "a") == {"difference": 0.0, "standard_error": 0.0, "p": 1.0}
    with pytest.raises(InputError, match="no model is called 'c'; the report has a, b"):
        report.difference("a", "c")


def test_targets_that_users_had_before_are_said(recwarn):
    """Where people take things again, to leave out what was seen leaves the target alone."""
    again = pd.DataFrame({"user": np.repeat(np.arange(20), 4), "item": [0, 1, 2, 0] * 20})
    split = Sequences.from_interactions(again).leave_one_out()
    assert split.test.repeated() == 1
    assert split.validation.repeated() == 0
    with pytest.warns(UserWarning, match="100% of the targets stand in their users' histories"):
        evaluate(ItemTransitions(split.train), split.test)
    recwarn.clear()
    evaluate(ItemTransitions(split.train), split.validation)
    evaluate(ItemTransitions(split.train), split.test, seen="exclude")  # as was asked for
    evaluate(ItemTransitions(split.train), split.with_seen("include").test)
    assert not recwarn.list
