"""An interactive recommender for a notebook: choose titles, see what comes next and why.

It needs ipywidgets and a running kernel; what it shows, `recommend` and `explain` show in plain
cells.
"""

from __future__ import annotations

import html
import io
import warnings
from collections.abc import Sequence

from ..errors import InputError
from ..recommend import Recommender


def picker(recommender: Recommender, history: Sequence[object] = (), k: int = 10):
    """Return a widget: a field to find titles, the history, recommendations, and attention.

    Typing narrows the titles down; choosing one adds it to the history, which can be dragged into
    another order and shortened by its crosses. Recommendations and the attention behind the first
    of them follow every change.

    Args:
        recommender: what answers.
        history: titles or ids to begin with.
        k: how many recommendations.

    Returns:
        An ipywidgets.VBox; `widget.titles` is the history.

    Raises:
        InputError: ipywidgets is not installed, or as in `Recommender.recommend`.
    """
    try:
        import ipywidgets as widgets
    except ImportError as error:
        raise InputError(
            "the picker needs ipywidgets: pip install 'bert4rec[notebooks]'. Without it, use "
            "recommender.recommend([…]) in a cell."
        ) from error
    titles = [recommender.titles[token - 1] for token in recommender.tokens(history)]
    find = widgets.Combobox(
        placeholder="type a title, choose it from the list",
        options=recommender.titles,
        ensure_option=True,
        layout={"width": "95%"},
    )
    chosen = widgets.TagsInput(value=titles, allowed_tags=recommender.titles)
    chosen.allow_duplicates = False
    answer, reason = widgets.HTML(), widgets.Image(format="png", layout={"max_width": "100%"})

    def add(change: dict) -> None:
        if change["new"] in recommender.titles:
            chosen.value = [*(t for t in chosen.value if t != change["new"]), change["new"]]
            find.value = ""

    def show(_: object = None) -> None:
        history = list(chosen.value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said in the table's heading instead
            table = recommender.recommend(history, k)
        answer.value = _as_html(table, bool(history))
        reason.value = _picture(recommender, history) if history else b""
        reason.layout.display = "block" if history else "none"

    find.observe(add, "value")
    chosen.observe(show, "value")
    show()
    box = widgets.VBox(
        [find, widgets.HTML("Your history, oldest first:"), chosen, answer, reason],
        layout={"max_width": "900px"},
    )
    box.find, box.history, box.answer, box.reason = find, chosen, answer, reason
    return box


def _as_html(table, personal: bool) -> str:
    heading = "What next?" if personal else "With an empty history: what is popular"
    cell = "padding:1px 8px;line-height:1.3;text-align"
    rows = "".join(
        f"<tr><td style='{cell}:right'>{rank}</td>"
        f"<td style='{cell}:left'>{html.escape(str(row.title))}</td>"
        f"<td style='{cell}:right'>{row.score:.2f}</td></tr>"
        for rank, row in zip(table.index, table.itertuples(), strict=True)
    )
    head = (
        f"<tr><th></th><th style='{cell}:left'>title</th><th style='{cell}:right'>score</th></tr>"
    )
    return f"<b>{heading}</b><table>{head}{rows}</table>"


def _picture(recommender: Recommender, history: list[str]) -> bytes:
    import matplotlib.pyplot as plt

    from . import plots

    figure = plots.explanation(recommender.explain(history))
    content = io.BytesIO()
    figure.savefig(content, format="png")
    plt.close(figure)
    return content.getvalue()
