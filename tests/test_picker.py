"""The interactive picker, driven as its widgets would drive it."""

import pandas as pd
import pytest
from helpers import tiny_model

from bert4rec import InputError, Recommender, Vocabulary
from bert4rec.notebook.picker import picker

TITLES = ["Toy Story (1995)", "Heat (1995)", "<b>Bold</b> & Co", "Alien (1979)", "Big (1988)"]


@pytest.fixture
def recommender():
    items = pd.DataFrame({"item": range(5), "title": TITLES})
    return Recommender(tiny_model(5), Vocabulary(list(range(5))), items)


def test_a_chosen_title_joins_the_history_and_changes_the_answer(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, ["Toy Story", 1], k=2)
    assert box.history.value == TITLES[:2]
    before, picture = box.answer.value, box.reason.value
    expected = recommender.recommend([0, 1], k=2)["title"]
    assert before.index(expected[1].replace("<b>Bold</b> & Co", "&lt;b&gt;Bold")) > 0
    assert bytes(picture).startswith(b"\x89PNG")
    box.find.value = "Alien"  # not a whole title yet
    assert box.history.value == TITLES[:2]
    box.find.value = "Alien (1979)"
    assert box.history.value == [*TITLES[:2], "Alien (1979)"]
    assert box.find.value == ""
    assert box.answer.value != before
    assert box.reason.value != picture
    box.find.value = "Heat (1995)"  # chosen again it is the newest
    assert box.history.value == [TITLES[0], "Alien (1979)", "Heat (1995)"]


def test_titles_are_text_and_an_empty_history_is_said(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, k=5)
    assert "With an empty history" in box.answer.value
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; Co" in box.answer.value
    assert box.reason.layout.display == "none"


def test_without_ipywidgets_it_says_what_to_do(recommender, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    with pytest.raises(InputError, match=r"needs ipywidgets.* recommender\.recommend"):
        picker(recommender)
