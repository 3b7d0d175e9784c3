"""Titles in, titles out, the same as evaluation scores, and a folder that round-trips."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_model

from bert4rec import InputError, Recommender, Sequences, Vocabulary, evaluate
from bert4rec.data.titles import normalised
from bert4rec.evaluation.ranks import allowed, score_histories

TITLES = {
    1: "Toy Story (1995)",
    2: "Matrix, The (1999)",
    3: "Hamlet (2000)",
    4: "Hamlet (2000)",
    5: "War of the Worlds, The (1953)",
    6: "War of the Worlds (2005)",
    7: "Léon: The Professional (1994)",
    9: "2001 (1968)",
}
MOVIES = pd.DataFrame({"movieId": list(TITLES), "title": list(TITLES.values())})


@pytest.fixture
def recommender():
    return Recommender(tiny_model(num_items=9), Vocabulary(list(range(1, 10))), MOVIES)


def test_recommendations_are_ranked_titled_and_new(recommender):
    table = recommender.recommend(["Toy Story (1995)", 7], k=4)
    assert list(table.columns) == ["item", "title", "score"]
    assert table.index.tolist() == [1, 2, 3, 4]
    assert table.index.name == "rank"
    assert table["score"].is_monotonic_decreasing
    assert not set(table["item"]) & {1, 7}
    for row in table.itertuples():
        assert row.title == TITLES.get(row.item, str(row.item))


def test_what_it_recommends_is_what_evaluation_ranks(sequences):
    split = sequences.leave_one_out()
    model = tiny_model(sequences.num_items)
    recommender = Recommender(model, sequences.vocabulary)
    users = np.arange(len(split.test))
    scores = score_histories(model, split.test.histories, users)
    scores[~allowed(scores, split.test.histories, users)] = -torch.inf
    for user in users:
        history = sequences.vocabulary.ids(split.test.histories[user]).tolist()
        table = recommender.recommend(history, k=5)
        best = scores[user].topk(5)
        assert table["item"].tolist() == sequences.vocabulary.ids(best.indices).tolist()
        np.testing.assert_allclose(table["score"], best.values, atol=1e-5)


@pytest.mark.parametrize(
    ("entry", "token"),
    [
        ("Matrix, The (1999)", 2),
        ("the matrix (1999)", 2),
        ("  The  MATRIX ", 2),
        ("toy story", 1),
        ("War of the Worlds (2005)", 6),
        ("The War of the Worlds", 5),
        ("LÉON: the professional", 7),
        ("9", 9),
        (9, 9),
        (np.int64(9), 9),
    ],
)
def test_how_an_item_may_be_called(recommender, entry, token):
    assert recommender.tokens([entry]).tolist() == [token]


def test_a_title_that_does_not_exist_is_left_out_and_suggests_others(recommender):
    with pytest.warns(
        UserWarning,
        match=r"1 unknown item is left out of the history: 'Toy Storey \(1995\)' "
        r"\(did you mean 'Toy Story \(1995\)'\?\)\.$",
    ):
        table = recommender.recommend(["Toy Storey (1995)", 2], k=3)
    pd.testing.assert_frame_equal(table, recommender.recommend([2], k=3), atol=1e-5)
    with pytest.warns(UserWarning, match=r"'professional' is taken for 'Léon: The Professional"):
        recommender.tokens(["professional"])
    with pytest.warns(UserWarning, match=r"left out of the history: 'xyzzy'\.$"):
        recommender.tokens(["xyzzy"])


def test_a_title_of_two_items_is_said(recommender):
    with pytest.warns(UserWarning, match=r"'Hamlet' fits 2 titles; took 'Hamlet \(2000\)'"):
        assert recommender.tokens(["Hamlet"]).tolist() == [3]


def test_unknown_ids_are_left_out_with_one_warning(recommender):
    with pytest.warns(UserWarning, match=r"2 unknown items are left out of the history: 77, 78"):
        table = recommender.recommend([77, 1, 78], k=3)
    pd.testing.assert_frame_equal(table, recommender.recommend([1], k=3), atol=1e-5)


def test_an_empty_history_gets_what_is_popular_and_says_so(recommender):
    counts = np.array([0, 5, 1, 9, 2, 2, 2, 2, 2, 7, 0])
    popular = Recommender(recommender.model, recommender.vocabulary, MOVIES, counts)
    with pytest.warns(UserWarning, match="the history is empty and answered with the items most"):
        table = popular.recommend([], k=3)
    assert table["item"].tolist() == [3, 9, 1]
    assert np.exp(table["score"].iloc[0]) == pytest.approx(9.5 / 32)
    with pytest.warns(UserWarning, match="2 of 3 histories are empty"):
        tables = popular.recommend([[], [1], []], k=3)
    assert tables.loc[2, "item"].tolist() == [3, 9, 1]
    pd.testing.assert_frame_equal(tables.loc[1], popular.recommend([1], k=3), atol=1e-5)
    with pytest.warns(UserWarning, match="guesses for nobody in particular"):
        assert len(recommender.recommend([], k=3)) == 3


def test_k_beyond_the_catalogue_and_bad_k(recommender):
    table = recommender.recommend([1, 2], k=1000)
    assert sorted(table["item"]) == [3, 4, 5, 6, 7, 8, 9]
    for k in (0, -1, 2.5, True, None):
        with pytest.raises(InputError, match=f"k must be at least 1, a whole number, not {k}"):
            recommender.recommend([1], k=k)
    with pytest.raises(InputError, match=r"must be a list, as \['Toy Story'\]"):
        recommender.recommend("Toy Story")


def test_a_long_history_keeps_its_newest_items(recommender):
    long = [1, 2] * 10 + [5, 6, 7, 8, 9, 1, 2]
    newest = recommender.recommend([5, 6, 7, 8, 9, 1, 2], k=2)
    pd.testing.assert_frame_equal(recommender.recommend(long, k=2), newest, atol=1e-5)


@pytest.mark.parametrize("ids", [[5, 900, 2**40], ["a", "7", "NA", 'é,"x']])
def test_save_and_load(tmp_path, ids):
    movies = pd.DataFrame({"item": ids[:2], "title": ["None", 'A "quoted", title (1999)']})
    saved = Recommender(tiny_model(len(ids)), Vocabulary(ids), movies)
    saved.save(tmp_path / "model", note="hello")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.vocabulary.items.tolist() == ids
    assert loaded.titles == saved.titles
    pd.testing.assert_frame_equal(loaded.recommend([ids[0]]), saved.recommend([ids[0]]), atol=1e-5)


def test_many_histories_get_what_each_alone_would(recommender):
    histories = {"ann": [1, 2], "bob": ["Matrix, The (1999)"], "cleo": [5, 6, 7, 8, 9, 1, 2]}
    tables = recommender.recommend(histories, k=4)
    assert tables.index.names == ["user", "rank"]
    for user, history in histories.items():
        alone = recommender.recommend(history, k=4)
        pd.testing.assert_frame_equal(tables.loc[user], alone, atol=1e-5, check_index_type=False)
    by_place = recommender.recommend(list(histories.values()), k=4)
    assert by_place["item"].tolist() == tables["item"].tolist()
    assert by_place.index.get_level_values("user").unique().tolist() == [0, 1, 2]
    assert recommender.recommend(np.array([[1, 2], [3, 4]]), k=2).loc[1].shape == (2, 3)
    assert len(recommender.recommend({}, k=2)) == 0


def test_sequences_are_many_histories(sequences):
    recommender = Recommender(tiny_model(sequences.num_items), sequences.vocabulary)
    tables = recommender.recommend(sequences, k=5)
    user = sequences.users[3]
    history = sequences.vocabulary.ids(sequences[3]).tolist()
    assert tables.loc[user, "item"].tolist() == recommender.recommend(history, 5)["item"].tolist()
    other = Recommender(tiny_model(3), Vocabulary([1, 2, 3]))
    with pytest.raises(InputError, match="of another vocabulary than the model"):
        other.recommend(sequences)


def test_many_histories_have_one_warning(recommender):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        recommender.recommend([[1, 77], [77, 2], [78]], k=2)
    texts = [str(warning.message) for warning in caught]
    assert any("2 unknown items are left out of the histories: 77, 78." in t for t in texts)
    assert len(texts) == 2  # and that one history is empty now


def test_exclude_and_only(recommender):
    everything = recommender.recommend([1], k=9)["item"].tolist()
    some = recommender.recommend([1], k=9, exclude=["The Matrix", 9])["item"].tolist()
    assert some == [item for item in everything if item not in (2, 9)]
    chosen = recommender.recommend([1], k=9, only={3, 5, 1, 9}, exclude={9})["item"].tolist()
    assert chosen == [item for item in everything if item in (3, 5)]
    assert len(recommender.recommend([1], k=9, only=[])) == 0
    with pytest.warns(UserWarning, match="1 unknown item is left out of only: 77"):
        assert recommender.recommend([1], only=[77, 3])["item"].tolist() == [3]


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (7, "history must be a list"),
        ({1, 2}, "history must be a list"),
        (pd.DataFrame({"item": [1]}), "not DataFrame of columns"),
        ([1, [2]], "history must be a list"),
        ([[1], [[2]]], "neither a title nor an id"),
    ],
)
def test_what_is_no_history(recommender, history, message):
    with pytest.raises(InputError, match=message):
        recommender.recommend(history)


def test_similar_items_by_cosine(recommender):
    table = recommender.similar("Toy Story", k=3)
    assert table.index.tolist() == [1, 2, 3]
    vectors = recommender.model.model.embedding.token_embeddings.weight.detach().numpy()
    vectors = vectors[1:10] / np.linalg.norm(vectors[1:10], axis=1, keepdims=True)
    expected = vectors[1:] @ vectors[0]
    assert table["item"].tolist() == (np.argsort(-expected)[:3] + 2).tolist()
    np.testing.assert_allclose(table["similarity"], np.sort(expected)[::-1][:3], rtol=1e-5)
    assert len(recommender.similar(1, k=100)) == 8
    with pytest.raises(InputError, match=r"is called 'Toy Storey'\. Did you mean 'Toy Story"):
        recommender.similar("Toy Storey")
    with pytest.raises(InputError, match=r"no item is called 77\.$"):
        recommender.similar(77)


def test_explain_shows_the_attention_of_the_question_and_what_each_entry_did(recommender):
    history = [1, 2, 5]
    table = recommender.explain(history)
    assert table.index.tolist() == [TITLES[1], TITLES[2], TITLES[5], "[MASK]"]
    layers, heads = recommender.model.config.num_layers, recommender.model.config.num_heads
    attention = table.drop(columns="gain", level=0)
    assert attention.shape == (4, layers * heads)
    np.testing.assert_allclose(attention.sum(), 1, rtol=1e-5)
    weights = recommender.model.attention(torch.tensor([[1, 2, 5, 10]]))
    np.testing.assert_allclose(attention["layer 2", "head 1"], weights[1][0, 0, -1], rtol=1e-5)
    best = recommender.recommend(history, k=1)
    gain = table["gain", best["title"].iloc[0]]
    rest = recommender.recommend([2, 5], k=9).set_index("item")["score"]
    assert gain.iloc[0] == pytest.approx(
        best["score"].iloc[0] - rest[best["item"].iloc[0]], abs=1e-4
    )
    assert np.isnan(gain.iloc[-1])
    assert ("gain", TITLES[9]) in recommender.explain(history, 9).columns
    assert len(recommender.explain([1, 2] * 10)) == recommender.model.config.max_len
    with pytest.raises(InputError, match="nothing to explain in an empty history"):
        recommender.explain([])


def test_evaluate_is_evaluate(sequences):
    split = sequences.leave_one_out()
    model = tiny_model(sequences.num_items)
    recommender = Recommender(model, sequences.vocabulary)
    report = recommender.evaluate(split)
    assert set(report.models) == {"BERT4Rec", "item transitions", "popularity"}
    expected = evaluate(model, split.test).models["BERT4Rec"]
    assert np.array_equal(report.models["BERT4Rec"].above, expected.above)
    assert recommender.evaluate(split.validation, "uniform-5").split == "validation"
    other = Recommender(tiny_model(3), Vocabulary([1, 2, 3]))
    with pytest.raises(InputError, match="the split is of another vocabulary"):
        other.evaluate(split)


def test_a_folder_of_the_first_version_loads(tmp_path, recommender):
    """As 0.1.0 wrote it: no counts, no digest, whole numbers called "int"."""
    import json

    import safetensors.torch

    recommender.save(tmp_path)
    table = pd.read_csv(tmp_path / "vocabulary.csv").assign(type="int")
    table[["item", "type", "title"]].to_csv(tmp_path / "vocabulary.csv", index=False)
    tensors = safetensors.torch.load_file(tmp_path / "model.safetensors")
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text())
    config = {key: config[key] for key in ("format", "model")}
    (tmp_path / "config.json").write_text(json.dumps(config))
    loaded = Recommender.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.recommend([1]), recommender.recommend([1]), atol=1e-5)
    (tmp_path / "config.json").write_text(json.dumps(config | {"format": 2}))
    with pytest.raises(InputError, match="format 2, expected 1"):
        Recommender.load(tmp_path)
    config["model"]["sparkles"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"does not know: sparkles\. A newer version"):
        Recommender.load(tmp_path)


def test_damaged_folders(tmp_path, recommender):
    with pytest.raises(InputError, match=r"is .* the folder of a model"):
        Recommender.load(tmp_path / "nothing")
    recommender.save(tmp_path / "model")
    vocabulary = tmp_path / "model" / "vocabulary.csv"
    content = vocabulary.read_text()
    vocabulary.write_text("\n".join(content.splitlines()[:-2]))
    with pytest.raises(InputError, match="the model knows 9 items, the vocabulary 7"):
        Recommender.load(tmp_path / "model")
    vocabulary.write_text("nothing,of,it\n1,2,3\n")
    with pytest.raises(InputError, match=r"vocabulary\.csv is missing or damaged"):
        Recommender.load(tmp_path / "model")
    vocabulary.unlink()
    with pytest.raises(InputError, match=r"vocabulary\.csv is missing or damaged"):
        Recommender.load(tmp_path / "model")


def test_a_table_without_titles():
    with pytest.raises(
        InputError, match=r"needs an item and a title column; it has \['movieId', 'x'\]"
    ):
        Recommender(tiny_model(1), Vocabulary([1]), pd.DataFrame({"movieId": [1], "x": ["a"]}))


def test_normalised_titles():
    assert normalised("Beautiful Mind, A (2001)") == "beautiful mind 2001"
    assert normalised("Misérables, Les") == "miserables les"


def test_real_titles(ratings_and_movies):
    ratings, movies = ratings_and_movies
    sequences = Sequences.from_interactions(ratings)
    torch.manual_seed(0)
    recommender = Recommender(tiny_model(sequences.num_items), sequences.vocabulary, movies)
    tokens = recommender.tokens(
        ["The Matrix", "Toy Story (1995)", "Seven Samurai", "Amelie (2001)"]
    )
    assert sequences.vocabulary.ids(tokens).tolist() == [2571, 1, 2019, 4973]
