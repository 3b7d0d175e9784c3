"""Counting and attention together, and logs where people take things again."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bert4rec import (
    InputError,
    ItemTransitions,
    Negatives,
    Recommender,
    Sequences,
    cli,
    evaluate,
    rank_targets,
)
from bert4rec.data.neighbours import followers, near_counts
from bert4rec.evaluation import Blend, OwnPopularity, TransitionTable, choose_blend, choose_weight
from bert4rec.evaluation.blend import BACK, WEIGHTS
from bert4rec.files import TRANSITIONS

FIT = {
    "hidden_size": 16, "num_heads": 2, "max_len": 8, "batch_size": 16, "epochs": 3,
    "min_user_count": 1, "min_item_count": 1, "device": "cpu", "progress": False,
}  # fmt: skip


@pytest.fixture
def split():
    return Sequences.from_interactions(make_log(num_users=60)).leave_one_out()


@pytest.fixture
def model(split):
    return tiny_model(split.train.num_items)


@pytest.mark.parametrize("back", [0.0, 0.25, 1.0])
def test_the_table_is_item_transitions_if_nothing_is_left_out(split, back):
    table = TransitionTable.count(split.train, width=split.train.num_items, back=back)
    histories = split.test.histories.newest(np.arange(len(split.test)), 25)
    expected = ItemTransitions(split.train, back=back).score(histories)[:, 1:-1]
    expected /= expected.sum(dim=1, keepdim=True)
    shares = table(histories)
    torch.testing.assert_close(shares[:, 1:-1], expected, atol=1e-3, rtol=2e-3)
    assert not shares[:, [0, -1]].any()
    assert torch.equal(table.score(histories), shares)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 1000),
    width=st.integers(1, 12),
    reach=st.integers(1, 6),
    back=st.sampled_from([0, 0.5, 1]),
)
def test_the_followers_that_are_kept_are_the_most_frequent(seed, width, reach, back):
    train = Sequences.from_interactions(make_log(num_users=12, num_items=15, seed=seed))
    one_way = near_counts(train, reach).to_dense().T.numpy()  # by the earlier item
    counts = one_way + back * one_way.T
    both_ways = near_counts(train, reach, back).to_dense().T.numpy()
    np.testing.assert_allclose(both_ways, counts, rtol=1e-5)
    tokens, kept, totals = followers(train, reach, width, back)
    np.testing.assert_allclose(totals, counts.sum(axis=1), rtol=1e-5)
    for item, row in enumerate(counts):
        best = np.sort(row)[::-1][:width]
        np.testing.assert_allclose(kept[item], best, rtol=1e-5)
        there = kept[item] > 0
        np.testing.assert_allclose(row[tokens[item][there]], kept[item][there], rtol=1e-5)
        assert (tokens[item][~there] == 0).all()


def test_a_blend_is_its_formula(split, model):
    table = TransitionTable.count(split.train)
    histories = split.test.histories.newest(np.arange(5), 10)
    scores, items = model.score(histories), split.train.num_items
    share = table(histories)[:, 1:-1]
    for weight in (0.0, 0.3, 1.0):
        expected = (1 - weight) * scores.softmax(dim=1)[:, 1:-1].log()
        expected += weight * (share + 1 / items).log()
        found = Blend(model, table, weight).score(histories)
        torch.testing.assert_close(found[:, 1:-1], expected, atol=1e-4, rtol=1e-4)
        assert (found[:, [0, -1]] == -torch.inf).all()
    with pytest.raises(InputError, match=r"must lie in \[0, 1\], not 1\.5"):
        Blend(model, table, 1.5)


@pytest.mark.parametrize("batch", [1, 7])
def test_the_weight_is_the_best_of_the_validation_by_evaluates_own_ranks(split, model, batch):
    table = TransitionTable.count(split.train)
    blend, found = choose_weight(model, table, split.validation, "MRR")
    assert list(found) == list(WEIGHTS)
    assert found[blend.weight] == max(found.values())
    for weight in (0.0, 0.5, 1.0):
        ranks = rank_targets(Blend(model, table, weight), split.validation, batch_size=batch)
        assert ranks.metric("MRR") == pytest.approx(found[weight], abs=1e-9)
    alone = rank_targets(model, split.validation).metric("MRR")
    assert found[0.0] == pytest.approx(alone, abs=1e-6)  # never worse than the network


def test_merged_tables_hold_the_larger_count_of_each_pair(split):
    one, two = split.train.select(np.arange(20)), split.train.select(np.arange(10, 40))
    size = split.train.num_items
    tables = [TransitionTable.count(part, size) for part in (one, two)]
    merged = tables[0].merged(tables[1])

    def dense(table):
        counts = torch.zeros(size + 2, size + 2)
        counts.scatter_add_(1, table.tokens.long(), table.shares * table.totals[:, None])
        return counts

    larger = torch.maximum(*map(dense, tables))
    torch.testing.assert_close(dense(merged), larger, atol=0.05, rtol=2e-3)
    assert torch.equal(merged.totals, torch.maximum(tables[0].totals, tables[1].totals))


def unordered(num_users=80, seed=0) -> pd.DataFrame:
    """A log of baskets: people take some things of a kind, in an order that is chance."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user}", 100 + 10 * kind + item, step)
        for user in range(num_users)
        for kind in [rng.integers(8)]
        for step, item in enumerate(rng.permutation(10)[: rng.integers(6, 10)])
    ]
    return pd.DataFrame(rows, columns=["user", "item", "timestamp"])


def test_what_came_before_counts_where_order_is_chance(split, model):
    forwards, _ = choose_blend(model, split.train, split.validation)
    assert forwards.table.back == 0  # everybody walks upwards
    baskets = Sequences.from_interactions(unordered()).leave_one_out()
    scorer, validation = tiny_model(baskets.train.num_items), baskets.validation
    reached = {
        back: choose_weight(
            scorer, TransitionTable.count(baskets.train, back=back), validation, "MRR"
        )
        for back in BACK
    }
    best = [max(values.values()) for _, values in reached.values()]
    blend, values = choose_blend(scorer, baskets.train, validation, "MRR")
    chosen = BACK.index(blend.table.back)
    assert chosen > 0
    assert (blend.weight, values) == (reached[BACK[chosen]][0].weight, reached[BACK[chosen]][1])
    assert best[: chosen + 1] == sorted(set(best[: chosen + 1])), "each is better than the last"
    assert chosen + 1 == len(BACK) or best[chosen + 1] <= best[chosen]
    alone = [rank_targets(one, validation).metric("MRR") for one in (blend.table, scorer)]
    assert max(values.values()) >= max(alone) - 1e-6
    with pytest.raises(InputError, match=r"back must lie in \[0, 1\], not -1"):
        TransitionTable.count(baskets.train, back=-1)


def test_a_folder_remembers_how_much_what_came_before_counts(tmp_path, capsys):
    options = FIT | {"progress": True}
    made = Recommender.fit(
        unordered(), output=tmp_path / "model", log_dir=tmp_path / "logs", **options
    )
    back, name = made.blend.table.back, "item transitions (both ways)"
    assert back > 0
    assert f"item transitions (what came before counts {back:g})" in capsys.readouterr().out
    assert list(made.report.models) == [
        "BERT4Rec + transitions", "BERT4Rec", "item transitions", name, "popularity",
    ]  # fmt: skip
    made.save(tmp_path / "copy")
    for folder in ("model", "copy"):
        config = json.loads((tmp_path / folder / "config.json").read_text())
        assert config["blend"] == {"weight": made.blend.weight, "back": back}
        loaded = Recommender.load(tmp_path / folder)
        again = loaded.evaluate(made.split).models[name].above
        np.testing.assert_array_equal(again, made.report.models[name].above)
    # an update counts as the folder did, even where it would have chosen otherwise
    before = loaded.blend.table
    loaded.update(make_log(num_users=20, seed=3), progress=False, min_item_count=1)
    expected = before.merged(TransitionTable.count(loaded.split.train, back=back))
    assert loaded.blend.table.back == back
    assert torch.equal(loaded.blend.table.shares, expected.shares)
    # before there was a choice, only what followed was counted
    path = tmp_path / "copy" / "config.json"
    path.write_text(json.dumps(config | {"blend": {"weight": 0.5}}))
    assert Recommender.load(tmp_path / "copy").blend.table.back == 0
    for entry in (0.5, [1], {"weight": 0.5, "back": -1}, {"weight": 0.5, "back": "much"}):
        path.write_text(json.dumps(config | {"blend": entry}))
        with pytest.raises(InputError, match=r"transitions\.safetensors does not fit"):
            Recommender.load(tmp_path / "copy")


def test_fit_blends_and_the_folder_remembers(tmp_path):
    made = Recommender.fit(make_log(num_users=60), output=tmp_path / "model", **FIT)
    assert list(made.report.models) == [
        "BERT4Rec + transitions", "BERT4Rec", "item transitions", "popularity",
    ]  # fmt: skip
    record = json.loads((tmp_path / "model" / "metrics.json").read_text())
    by_weight = record["weights of transitions"]
    assert by_weight[f"{made.blend.weight:g}"] == max(by_weight.values())
    history = [101, 102, 103]
    expected = made.recommend(history, k=40)
    made.save(tmp_path / "copy")
    for folder in ("model", "copy"):
        loaded = Recommender.load(tmp_path / folder)
        pd.testing.assert_frame_equal(loaded.recommend(history, k=40), expected, atol=1e-5)
        report = loaded.evaluate(made.split)
        np.testing.assert_array_equal(
            report.models["BERT4Rec + transitions"].above,
            made.report.models["BERT4Rec + transitions"].above,
        )
    alone = Recommender.load(tmp_path / "copy", blend=False)
    assert alone.scorer is alone.model
    (tmp_path / "copy" / TRANSITIONS).write_bytes(b"half a file")
    with pytest.raises(InputError, match="damaged"):
        Recommender.load(tmp_path / "copy")
    (tmp_path / "model" / TRANSITIONS).unlink()
    with pytest.raises(InputError, match=r"there is no .*transitions\.safetensors"):
        Recommender.load(tmp_path / "model")


def test_a_blend_of_another_model_is_refused(tmp_path):
    for name, items in (("one", 40), ("two", 30)):
        Recommender.fit(make_log(num_items=items), output=tmp_path / name, **FIT)
    other = (tmp_path / "two" / TRANSITIONS).read_bytes()
    (tmp_path / "one" / TRANSITIONS).write_bytes(other)
    with pytest.raises(InputError, match="it is of another model"):
        Recommender.load(tmp_path / "one")


def test_it_can_be_left_out(tmp_path):
    made = Recommender.fit(make_log(), output=tmp_path, blend=False, **FIT)
    assert made.blend is None
    assert made.scorer is made.model
    assert list(made.report.models) == ["BERT4Rec", "item transitions", "popularity"]
    assert not (tmp_path / TRANSITIONS).exists()
    again = Recommender.fit(make_log(), output=tmp_path, overwrite=True, **FIT)
    assert again.blend is not None
    plain = Recommender.fit(make_log(), output=tmp_path, overwrite=True, blend=False, **FIT)
    loaded = Recommender.load(tmp_path)  # what an earlier blend left behind does not count
    assert loaded.blend is None
    pd.testing.assert_frame_equal(loaded.recommend([101]), plain.recommend([101]), atol=1e-5)


def test_explain_says_what_counting_and_what_attention_did(tmp_path):
    made = Recommender.fit(make_log(num_users=60), **FIT)
    made.blend = Blend(made.model, made.blend.table, 0.4)
    table = made.explain([101, 102, 103])
    gain, parts = table["gain"].iloc[:, 0].to_numpy(), table["of which"]
    assert list(parts.columns) == ["attention", "counting"]
    np.testing.assert_allclose(parts.sum(axis=1, skipna=False), gain, atol=1e-5)
    first = made.recommend([101, 102, 103], k=1)
    assert table["gain"].columns[0] == first["title"].iloc[0]
    token = made.catalogue.token(first["item"].iloc[0])
    tokens = torch.from_numpy(made.tokens([101, 102, 103]))[None].long()
    without = made.blend.score(tokens[:, 1:])[0, token]
    assert gain[0] == pytest.approx(float(made.blend.score(tokens)[0, token] - without), abs=1e-5)


def test_an_update_keeps_what_was_counted(tmp_path):
    made = Recommender.fit(make_log(num_users=60), **FIT)
    before = made.blend.table
    made.update(make_log(num_users=20, num_items=45, seed=3), progress=False, min_item_count=1)
    after = made.blend.table
    assert len(after.totals) == made.vocabulary.num_items + 2 > len(before.totals)
    kept = slice(1, len(before.totals) - 1)
    assert (after.totals[kept] >= before.totals[kept]).all()


def test_onnx_gives_the_blends_scores(tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    made = Recommender.fit(make_log(num_users=60), **FIT)
    made.blend = Blend(made.model, made.blend.table, 0.4)
    made.to_onnx(tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    for rows in ([[1, 2, 3]], [[0, 4], [5, 6]], [[*range(1, 16)], [0, *range(20, 34)]]):
        histories = torch.tensor(rows)
        (found,) = session.run(None, {"histories": histories.numpy()})
        expected = made.blend.score(histories).numpy()
        np.testing.assert_allclose(found[:, 1:-1], expected[:, 1:-1], atol=1e-4, rtol=1e-4)


# ------------------------------------------------------------------ people take things again


@pytest.fixture
def again():
    """A log in which everybody takes two items of their own, over and over."""
    rows = [
        (f"u{user}", 100 + (2 * user + step % 2) % 30, step)
        for user in range(40)
        for step in range(6 + user % 3)
    ]
    return pd.DataFrame(rows, columns=["user", "item", "timestamp"])


def test_what_was_seen_is_a_candidate_where_the_holdout_says_so(again):
    split = Sequences.from_interactions(again).leave_one_out()
    own = OwnPopularity(split.train)
    assert split.with_seen("include").test.seen == "include"
    assert split.test.seen == "exclude"
    included = evaluate(own, split.test, seen="include")
    assert "seen items included" in included.protocol
    assert "own popularity" in included.models
    assert included.models["own popularity"].metric("HR@5") == 1.0
    left_out = evaluate(own, split.test)
    assert "own popularity" not in left_out.models
    # the other item that a user takes is no candidate then
    assert rank_targets(own, split.test).above.sum() == 0
    assert included.models["own popularity"].above.sum() > 0
    for text in ("included", 1, None):
        with pytest.raises(InputError, match="seen must be 'exclude' or 'include'"):
            split.with_seen(text)


def test_negatives_may_have_been_seen_where_that_counts(again):
    holdout = Sequences.from_interactions(again).leave_one_out().with_seen("include").test
    drawn = Negatives.sample(holdout, "uniform", 20)
    seen = [set(row) & set(holdout.histories[user]) for user, row in enumerate(drawn.tokens)]
    assert any(seen)
    assert not (drawn.tokens == holdout.targets[:, None]).any()


def test_own_popularity_by_hand(again):
    split = Sequences.from_interactions(again).leave_one_out()
    scores = OwnPopularity(split.train).score(torch.tensor([[0, 3, 5, 3]]))
    order = scores[0, 1:-1].argsort(descending=True) + 1
    assert order[:2].tolist() == [3, 5]
    popular = torch.from_numpy(split.train.item_counts()).double()
    assert popular[order[2]] == max(popular[t] for t in range(1, 31) if t not in (3, 5))


def test_a_recommender_of_such_a_log_recommends_what_people_have(again, tmp_path):
    made = Recommender.fit(again, output=tmp_path, seen="include", **FIT | {"epochs": 20})
    assert made.seen == "include"
    assert "own popularity" in made.report.models
    history = [100, 101, 100, 101]
    assert set(history) & set(made.recommend(history, k=3)["item"])
    assert not set(history) & set(made.recommend(history, k=3, seen="exclude")["item"])
    loaded = Recommender.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.recommend(history), made.recommend(history), atol=1e-5)
    with pytest.raises(InputError, match="seen must be"):
        made.recommend(history, seen="maybe")


def test_the_command_line_knows_both(again, tmp_path, capsys):
    again.to_csv(tmp_path / "log.csv", index=False)
    args = [
        "train", "--data", tmp_path / "log.csv", "--output", tmp_path / "model", "--log-dir",
        tmp_path / "logs", "--hidden-size", 16, "--max-len", 8, "--device", "cpu", "--epochs", 2,
        "--min-user-count", 1, "--min-item-count", 1, "--seen", "include", "--json",
    ]  # fmt: skip
    assert cli.main(list(map(str, args))) == 0
    trained = json.loads(capsys.readouterr().out)
    assert cli.main(["evaluate", "--model", str(tmp_path / "model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"] == trained["models"]
    assert "included" in trained["protocol"]
    assert cli.main([*map(str, args), "--overwrite", "--no-blend"]) == 0
    assert "BERT4Rec + transitions" not in json.loads(capsys.readouterr().out)["models"]
