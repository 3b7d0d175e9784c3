"""Tables in a notebook: what pandas shows, to the left or to the right, in three digits, whole."""

from xml.etree import ElementTree

import IPython
import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from bert4rec.notebook.tables import table_html, use_tables

LONG = "A title of more than fifty letters, which pandas would cut (1995)"


@pytest.fixture
def table():
    index = pd.Index([1, 2], name="rank")
    columns = {"item": [595, 7], "title": ["<b>Up</b> & away (2009)", LONG]}
    return pd.DataFrame({**columns, "score": [0.235771, -1.5], "share": [0.5, np.nan]}, index)


def test_a_table_holds_what_the_data_frame_holds(table):
    rows = [
        [cell.text for cell in row] for row in ElementTree.fromstring(table_html(table)).iter("tr")
    ]
    assert rows[0] == ["rank", *table.columns]
    assert rows[1:] == [
        ["1", "595", "<b>Up</b> & away (2009)", "0.236", "0.5"],
        ["2", "7", LONG, "-1.500", "nan"],
    ]


def test_text_stands_left_and_numbers_right_under_one_row_of_names(table):
    lines = table_html(table).split("\n")
    assert lines[1].count("<tr>") == 1
    names = ["rank", "item", "title", "score", "share"]
    sides = ["left", "right", "left", "right", "right"]
    for line, tags in ((lines[1], "hhhhh"), (lines[3], "hdddd")):
        at = [f'<t{tag} style="text-align: {s}">' for tag, s in zip(tags, sides, strict=True)]
        assert all(part in line for part in at)
    assert all(f">{name}</th>" in lines[1] for name in names)
    assert "&lt;b&gt;Up&lt;/b&gt; &amp; away" in lines[3]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([1.0, 2.0], ["1.0", "2.0"]),
        ([0.25, 10.5], ["0.25", "10.50"]),
        ([0.1234567, 7.0], ["0.123", "7.000"]),
        ([0.00001234, 3.0], ["1.23e-05", "3"]),
        ([np.nan, -np.inf], ["nan", "-inf"]),
        ([1260759144, 2], ["1260759144", "2"]),
        ([True, False], ["True", "False"]),
        ([0.5, "none"], ["0.500", "none"]),
        ([(2, "divided by √d"), "none"], ["2, divided by √d", "none"]),
    ],
)
def test_numbers_have_the_digits_that_they_need(values, shown):
    rows = table_html(pd.DataFrame({"a": values})).split("\n")[3:5]
    assert [row.split(">")[-3].split("<")[0] for row in rows] == shown


def test_what_has_levels_or_is_too_large_is_left_to_pandas(table):
    for other in (
        table.set_index("item", append=True),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pd.DataFrame({"a": range(61)}),
        pd.DataFrame([range(21)]),
    ):
        with pd.option_context("display.max_columns", 20):  # as in a notebook
            assert table_html(other) == other._repr_html_()
    assert table_html(table.iloc[:0]).count("<tr>") == 1


def test_a_notebook_shows_every_table_so(table, monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    use_tables()
    data, _ = shell.display_formatter.format(table)
    assert data["text/html"] == table_html(table)
    assert data["text/plain"] == repr(table)
