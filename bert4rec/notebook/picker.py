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
    """Return a widget: a field to find titles, the history, recommendations, and their reasons.

    Choosing a title adds it to the history, and so does Enter where only one fits; where several
    do, or none, what is near is named. The history can be dragged into another order and shortened
    by its crosses. Everything follows: a recommendation can be added, or asked for its reason.

    Args:
        recommender: what answers.
        history: titles or ids to begin with.
        k: how many recommendations.

    Returns:
        An ipywidgets.VBox. Of its attributes `history`, `find`, `note`, `rows` and `reason`, the
        first holds the titles as `history.value`.

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
    known = set(recommender.titles)
    titles = [recommender.titles[token - 1] for token in recommender.tokens(history)]
    find = widgets.Combobox(
        placeholder="type a title, choose it from the list",
        options=recommender.titles,
        layout={"width": "95%"},
    )
    chosen = widgets.TagsInput(value=titles, allowed_tags=recommender.titles)
    chosen.allow_duplicates = False
    note, heading = widgets.HTML(), widgets.HTML()
    reason = widgets.Image(
        format="svg+xml",
        layout={
            "flex": "1 1 400px",
            "min_width": "0",
            "max_width": "560px",
            "object_fit": "contain",
        },
    )
    rows = [
        widgets.HBox(
            [
                widgets.HTML(layout={"width": "270px"}),
                widgets.Button(description="add", layout={"width": "4em"}),
                widgets.Button(description="why?", layout={"width": "4.5em"}),
            ]
        )
        for _ in range(k)
    ]
    listed: list[str] = []

    def add(title: str) -> None:
        chosen.value = [*(t for t in chosen.value if t != title), title]
        find.value = note.value = ""

    def typed(change: dict) -> None:
        note.value = ""
        if change["new"] in known:
            add(change["new"])

    def entered(_: object, content: object, __: object) -> None:
        text = find.value.strip()
        if content != {"event": "submit"} or not text:
            return
        near = recommender.suggest(text, count=4)
        fits = [title for title in near if text.casefold() in title.casefold()]
        if len(fits) == 1:
            add(fits[0])
        else:
            said = "Several fit" if fits else "No title is called so. Near it"
            names = ", ".join(html.escape(title) for title in fits or near)
            note.value = f"{said}: {names}" if names else "No title is like it."

    def explain(title: str) -> None:
        history = list(chosen.value)
        reason.value = _picture(recommender, history, title) if history else b""
        reason.layout.display = "block" if history else "none"

    def show(_: object = None) -> None:
        history = list(chosen.value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said in the heading instead
            table = recommender.recommend(history, k)
        said = "What next?" if history else "With an empty history: what is popular"
        heading.value = f"<b>{said}</b>"
        listed[:] = table["title"]
        for place, row in enumerate(rows):
            row.layout.display = "flex" if place < len(listed) else "none"
            if place < len(listed):
                score = table["score"].iloc[place]
                row.children[0].value = f"{place + 1}. {html.escape(listed[place])} · {score:.2f}"
                row.children[2].disabled = not history
        explain(listed[0])

    for place, row in enumerate(rows):
        row.children[1].on_click(lambda _, place=place: add(listed[place]))
        row.children[2].on_click(lambda _, place=place: explain(listed[place]))
    find.observe(typed, "value")
    find.on_msg(entered)
    chosen.observe(show, "value")
    show()
    answer = widgets.VBox([heading, *rows])
    answer.add_class("bert4rec-answer")
    beside = widgets.HBox([answer, reason], layout={"flex_flow": "row wrap"})
    box = widgets.VBox([find, note, widgets.HTML("Your history, oldest first:"), chosen, beside])
    box.find, box.note, box.history, box.rows, box.reason = find, note, chosen, rows, reason
    box.heading = heading
    return box


def _picture(recommender: Recommender, history: list[str], title: str) -> bytes:
    """The figure of a recommendation's reasons, as SVG: sharp at any size."""
    import matplotlib.pyplot as plt

    from . import plots

    figure = plots.explanation(recommender.explain(history, title), stacked=True)
    content = io.BytesIO()
    figure.savefig(content, format="svg")
    plt.close(figure)
    return content.getvalue()
