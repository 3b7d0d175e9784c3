"""The interactive picker, driven as its widgets would drive it."""

import html

import pandas as pd
import pytest
from helpers import tiny_model

from bert4rec import InputError, Recommender, Vocabulary
from bert4rec.notebook.picker import picker

TITLES = ["Toy Story (1995)", "Heat (1995)", "<b>Bold</b> & Co", "Alien (1979)", "Aliens (1986)"]


@pytest.fixture
def recommender():
    items = pd.DataFrame({"item": range(5), "title": TITLES})
    return Recommender(tiny_model(5), Vocabulary(list(range(5))), items)


def shown(box) -> str:
    return " ".join(row.children[0].value for row in box.rows if row.layout.display != "none")


def enter(box, text: str) -> None:
    """What the browser sends when a text is typed and Enter is pressed."""
    box.find.value = text
    box.find._handle_custom_msg({"event": "submit"}, [])


def test_a_chosen_title_joins_the_history_and_changes_the_answer(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, ["Toy Story", 1], k=2)
    assert box.history.value == TITLES[:2]
    before, picture = shown(box), box.reason.value
    expected = recommender.recommend([0, 1], k=2)["title"]
    assert expected[1].replace("<b>Bold</b> & Co", "&lt;b&gt;Bold") in before
    assert b"<svg" in bytes(picture)
    box.find.value = "Alien"  # not a whole title yet
    assert box.history.value == TITLES[:2]
    box.find.value = "Alien (1979)"
    assert box.history.value == [*TITLES[:2], "Alien (1979)"]
    assert box.find.value == ""
    assert shown(box) != before
    assert box.reason.value != picture
    box.find.value = "Heat (1995)"  # chosen again it is the newest
    assert box.history.value == [TITLES[0], "Alien (1979)", "Heat (1995)"]


def test_enter_adds_the_only_title_that_fits_and_names_what_is_near(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, ["Toy Story"], k=2)
    enter(box, "hea")
    assert box.history.value == [TITLES[0], "Heat (1995)"]
    enter(box, "alie")
    assert box.history.value == [TITLES[0], "Heat (1995)"]
    assert box.note.value == "Several fit: Alien (1979), Aliens (1986)"
    enter(box, "Hete")
    assert box.note.value.startswith("No title is called so. Near it: Heat (1995)")
    box.find.value = "H"
    assert box.note.value == ""


def test_a_recommendation_is_added_or_asked_for_its_reason(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, ["Toy Story"], k=2)
    first = recommender.recommend(["Toy Story"], k=2)["title"].iloc[0]
    picture = box.reason.value
    box.rows[1].children[2].click()
    assert box.reason.value != picture, "the reason of the second"
    box.rows[0].children[1].click()
    assert box.history.value == ["Toy Story (1995)", first]
    assert html.escape(first) not in shown(box)


def test_titles_are_text_and_an_empty_history_is_said(recommender):
    pytest.importorskip("ipywidgets")
    box = picker(recommender, k=8)
    assert "With an empty history" in box.heading.value
    assert "&lt;b&gt;Bold&lt;/b&gt; &amp; Co" in shown(box)
    assert box.reason.layout.display == "none"
    assert box.rows[0].children[2].disabled, "no reason without a history"
    assert box.rows[7].layout.display == "none", "there are five titles"


def test_without_ipywidgets_it_says_what_to_do(recommender, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    with pytest.raises(InputError, match=r"needs ipywidgets.* recommender\.recommend"):
        picker(recommender)
