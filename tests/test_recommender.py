"""Titles in, titles out, the same as evaluation scores, and a folder that round-trips."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_model

from bert4rec import InputError, Recommender, Sequences, Vocabulary
from bert4rec.evaluation import hide_seen, score_histories
from bert4rec.recommender import plain_title

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
    hide_seen(scores, split.test.histories, users)
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
    assert recommender.tokens([entry]) == [token]


def test_a_title_that_does_not_exist_suggests_others(recommender):
    with pytest.raises(
        InputError, match=r"'Toy Storey \(1995\)'.*Did you mean 'Toy Story \(1995\)'"
    ):
        recommender.recommend(["Toy Storey (1995)"])
    with pytest.raises(InputError, match=r"'professional'\. Did you mean 'Léon: The Professional"):
        recommender.recommend(["professional"])
    with pytest.raises(InputError, match=r"no item is called 'xyzzy'\.$"):
        recommender.recommend(["xyzzy"])


def test_a_title_of_two_items_asks_for_the_id(recommender):
    with pytest.raises(
        InputError, match=r"fits several items: 'Hamlet \(2000\)' \(id 3\); .* \(id 4\)"
    ):
        recommender.recommend(["Hamlet"])


def test_unknown_ids_are_left_out_with_one_warning(recommender):
    with pytest.warns(UserWarning, match=r"2 unknown items are left out of the history: 77, 78"):
        table = recommender.recommend([77, 1, 78], k=3)
    pd.testing.assert_frame_equal(table, recommender.recommend([1], k=3))


def test_an_empty_history_says_what_it_gets(recommender):
    with pytest.warns(UserWarning, match="the history is empty"):
        table = recommender.recommend([], k=3)
    assert len(table) == 3


def test_k_beyond_the_catalogue_and_bad_k(recommender):
    table = recommender.recommend([1, 2], k=1000)
    assert sorted(table["item"]) == [3, 4, 5, 6, 7, 8, 9]
    for k in (0, -1):
        with pytest.raises(InputError, match=f"k must be at least 1, not {k}"):
            recommender.recommend([1], k=k)
    with pytest.raises(InputError, match=r"must be a list, as \['Toy Story'\]"):
        recommender.recommend("Toy Story")


def test_a_long_history_keeps_its_newest_items(recommender):
    long = [1, 2] * 10 + [5, 6, 7, 8, 9, 1, 2]
    newest = recommender.recommend([5, 6, 7, 8, 9, 1, 2], k=2)
    pd.testing.assert_frame_equal(recommender.recommend(long, k=2), newest)


@pytest.mark.parametrize("ids", [[5, 900, 2**40], ["a", "7", "NA", 'é,"x']])
def test_save_and_load(tmp_path, ids):
    movies = pd.DataFrame({"item": ids[:2], "title": ["None", 'A "quoted", title (1999)']})
    saved = Recommender(tiny_model(len(ids)), Vocabulary(ids), movies)
    saved.save(tmp_path / "model", note="hello")
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.vocabulary.items.tolist() == ids
    assert loaded.titles == saved.titles
    pd.testing.assert_frame_equal(loaded.recommend([ids[0]]), saved.recommend([ids[0]]))


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


def test_plain_title():
    assert plain_title("Beautiful Mind, A (2001)") == "a beautiful mind (2001)"
    assert plain_title("Misérables, Les") == "misérables, les"


def test_real_titles(ratings_and_movies):
    ratings, movies = ratings_and_movies
    sequences = Sequences.from_interactions(ratings)
    torch.manual_seed(0)
    recommender = Recommender(tiny_model(sequences.num_items), sequences.vocabulary, movies)
    tokens = recommender.tokens(
        ["The Matrix", "Toy Story (1995)", "Seven Samurai", "Amelie (2001)"]
    )
    assert sequences.vocabulary.ids(tokens).tolist() == [2571, 1, 2019, 4973]
