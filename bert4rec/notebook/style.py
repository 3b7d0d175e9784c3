"""One style for all figures, light or dark: labelled axes, colours that colour-blind readers tell.

Light figures take matplotlib's `petroff10` (Petroff 2021), dark ones the colours of Okabe and Ito
(2008), which are bright enough on a dark ground. Heat maps use `cividis` in both. The ground is
opaque, so that a page of the other kind does not swallow the labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt

from ..errors import InputError, did_you_mean
from .shell import notebook_shell

LINES = ("-", "--", ":", "-.")  # told apart without colour, in the order of the colours


_SHARED = {
    "figure.dpi": 90,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Theme:
    """The colours of figures.

    Attributes:
        style: matplotlib's styles and settings, in order.
        paper, ink, muted, faint: the ground, and three strengths of what stands on it.
        boxes: fills of boxes with text, by what they hold.
    """

    style: tuple
    paper: str
    ink: str
    muted: str
    faint: str
    boxes: dict[str, str]


_NIGHT = "#1b1e23"


_OKABE_ITO = (
    "#56b4e9",
    "#e69f00",
    "#009e73",
    "#999999",
    "#cc79a7",
    "#d55e00",
    "#f0e442",
    "#0072b2",
    "#dddddd",
    "#8fd3c1",
)


THEMES = {
    "light": Theme(
        ("default", "petroff10", {**_SHARED, "figure.facecolor": "white"}),
        paper="white",
        ink="black",
        muted="0.35",
        faint="0.8",
        boxes={
            "hidden": "#ffd17a",
            "answer": "#a9d5f5",
            "padding": "#e2e2e2",
            "item": "white",
            "counted": "#cfe8cf",
        },
    ),
    "dark": Theme(
        (
            "default",
            "dark_background",
            {
                **_SHARED,
                "axes.prop_cycle": plt.cycler(color=_OKABE_ITO),
                "figure.facecolor": _NIGHT,
                "savefig.facecolor": _NIGHT,
                "axes.facecolor": _NIGHT,
                "legend.facecolor": _NIGHT,
                "grid.color": "0.6",
            },
        ),
        paper=_NIGHT,
        ink="white",
        muted="0.75",
        faint="0.35",
        boxes={
            "hidden": "#7a5600",
            "answer": "#1d5480",
            "padding": "#3a3f46",
            "item": _NIGHT,
            "counted": "#2c5a3a",
        },
    ),
}


_chosen = "light"


def use_theme(name: str) -> None:
    """Draw all figures from now on in the theme "light" (the default) or "dark".

    Raises:
        InputError: there is no such theme.
    """
    if name not in THEMES:
        raise InputError(
            f"no theme is called {name!r}; there are {' and '.join(THEMES)}."
            + did_you_mean(name, THEMES)
        )
    global _chosen
    _chosen = name


def theme() -> Theme:
    """The theme in use."""
    return THEMES[_chosen]


def shortened(text: str, length: int) -> str:
    """A text of at most `length` characters, cut off with an ellipsis if it was longer."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _sharpen() -> None:
    """In a notebook, draw figures in twice the pixels, shown at the same size: sharp everywhere."""
    shell = notebook_shell()
    if shell is not None and "inline" in plt.get_backend():
        from matplotlib_inline.config import InlineBackend

        InlineBackend.instance(parent=shell).figure_formats = {"retina"}


_sharpen()


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7, 3.6), **options):
    """A figure and its axes in the theme in use; arguments as for `plt.subplots`."""
    plt.style.use(list(theme().style))
    return plt.subplots(rows, columns, figsize=size, **options)
