"""Films typed as people type them are the films they mean."""

import subprocess
import sys
import unicodedata
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import Catalogue, Recommender, Vocabulary, load_movielens
from bert4rec.data.titles import normalised

# what is typed, and the MovieLens id of what is meant
TYPED = [
    ("Matrix", 2571), ("Star Wars", 260), ("Terminator", 1240), ("Terminator 2", 589),
    ("E.T.", 1097), ("Sixth Sense", 2762), ("Silence of the Lambs", 593), ("Se7en", 47),
    ("Schindlers List", 527), ("Titanic", 1721), ("Psycho", 1219), ("Toy Story", 1),
    ("lion king", 364), ("Aladdin", 588), ("jurassic park", 480), ("Forrest Gump", 356),
    ("pulp fiction", 296), ("Shawshank Redemption", 318), ("BRAVEHEART", 110), ("fargo", 608),
    ("The Godfather", 858), ("godfather part 2", 1221), ("Empire Strikes Back", 1196),
    ("return of the jedi", 1210), ("Raiders of the Lost Ark", 1198), ("Leon", 293),
    ("Alien", 1214), ("Aliens", 1200), ("Monty Python and the Holy Grail", 1136),
    ("wizard of oz", 919), ("Casablanca", 912), ("back to the future", 1270),
    ("Princess Bride", 1197), ("the usual suspects", 50), ("Dr Strangelove", 750),
]  # fmt: skip
MORE = [
    ("2001 a space odyssey", 924), ("Apollo 13", 150), ("Twelve Monkeys", 32), ("12 monkeys", 32),
    ("Blade Runner", 541), ("LA Confidential", 1617), ("Fight Club", 2959), ("ghostbusters", 2716),
    ("Indiana Jones and the Last Crusade", 1291), ("Men in Black", 1580), ("Die Hard", 1036),
    ("Being John Malkovich", 2997), ("american beauty", 2858), ("Saving Private Ryan", 2028),
    ("groundhog day", 1265), ("the shining", 1258), ("Annie Hall", 1230), ("Citizen Kane", 923),
    ("one flew over the cuckoos nest", 1193), ("Amadeus", 1225), ("a clockwork orange", 1206),
    ("good will hunting", 1704), ("Trainspotting", 778), ("Babe", 34), ("Gladiator", 3578),
    ("Mission Impossible", 648), ("Beauty and the Beast", 595), ("Bug's Life", 2355),
    ("some like it hot", 910), ("Life is Beautiful", 2324),
]  # fmt: skip


@pytest.fixture(scope="module", params=["ml-1m", "small"])
def catalogue(request):
    if request.param == "ml-1m":
        return Recommender.load("ml-1m").catalogue
    ratings, movies = load_movielens("small")
    counts = ratings["movieId"].value_counts().sort_index()
    vocabulary = Vocabulary(counts.index.to_numpy())
    return Catalogue(vocabulary, movies, np.array([0, *counts, 0]))


def test_everyday_titles_are_found(catalogue):
    assert len(TYPED) == 35
    assert len(MORE) == 30
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for typed, meant in TYPED + MORE:
            token = catalogue.find([typed])[0]
            found = catalogue.vocabulary.ids([token])[0] if token else None
            if meant in catalogue.vocabulary and found != meant:
                wrong.append((typed, meant, found))
    assert len(wrong) <= 2, wrong


def test_of_several_the_most_watched_is_taken_and_said(catalogue):
    with pytest.warns(UserWarning, match=r"^'Titanic' fits \d titles; took 'Titanic \(1997\)'"):
        catalogue.find(["Titanic"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        catalogue.find(["Titanic (1997)", "titanic 1997", "The Matrix", "Terminator 2"])


def test_unknown_titles_are_said_in_one_line_with_a_suggestion_each():
    code = """if True:
        from bert4rec import Recommender
        recommender = Recommender.load("ml-1m")
        for _ in range(2):  # the second time too
            recommender.tokens(["Pulp Fricton", "Frgo", "xyzzy"])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines() == 2 * [
        "note: 3 unknown items are left out of the history: 'Pulp Fricton' (did you mean "
        "'Pulp Fiction (1994)'?), 'Frgo' (did you mean 'Fargo (1996)'?), 'xyzzy'."
    ]


@pytest.mark.parametrize("text", ["", "a", "the", "t", "of", "?!", "é", "(1995)"])
def test_a_scrap_is_no_title(text):
    items = pd.DataFrame({"item": [1, 2, 3], "title": ["Toy Story (1995)", "The Other", "Offer"]})
    catalogue = Catalogue(Vocabulary([1, 2, 3]), items)
    with pytest.warns(UserWarning, match="unknown item"):
        assert catalogue.find([text])[0] == 0


def test_a_code_is_never_taken_for_another():
    catalogue = Catalogue(Vocabulary(["A1", "A10", "b-2", "B2", "12"]))
    for known in ("A1", "A10", "b-2", "B2", "12"):
        assert catalogue.vocabulary.ids([catalogue.token(known)])[0] == known
    for unknown in ("A", "A100", "a1", "b2", "A1 ", "1"):
        with pytest.warns(UserWarning, match="unknown item"):
            assert catalogue.find([unknown])[0] == 0


WORDS = st.lists(
    st.sampled_from(["the", "a", "Léon", "II", "2", "Toy", "story", "it's", "&", "m", "—", "(x)"]),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=200)
@given(
    titles=st.lists(st.tuples(WORDS, st.integers(1990, 1993)), min_size=1, max_size=8),
    text_ids=st.booleans(),
)
def test_the_exact_title_and_the_id_always_find_their_item(titles, text_ids):
    names = [f"{' '.join(words)} ({year})" for words, year in titles]
    ids = [f"i{n}" if text_ids else 7 * n for n in range(len(names))]
    counts = np.arange(len(names) + 2)
    catalogue = Catalogue(Vocabulary(ids), pd.DataFrame({"item": ids, "title": names}), counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place, name in enumerate(names):
            assert catalogue.token(ids[place]) == place + 1
            assert catalogue.titles[catalogue.token(name) - 1] == name
            plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
            for typed in (name.upper(), name.lower(), plain, name.replace("'", "")):
                if normalised(typed) == normalised(name):
                    found = catalogue.titles[catalogue.token(typed) - 1]
                    assert normalised(found) == normalised(name)
