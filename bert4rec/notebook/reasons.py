"""Figures that ask why: where a gain comes from, what is left of a lead, and on which logs.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import new_figure, theme


def gains(groups: Mapping[str, Mapping[str, Mapping]], label: str) -> Figure:
    """How much users of each kind gain, a panel for each question that parts them.

    Args:
        groups: by question and kind of user, "gain", "standard error" and "users".
        label: what the axis shows.
    """
    sizes = [len(kinds) for kinds in groups.values()]
    figure, axes = new_figure(
        len(sizes),
        1,
        (7.5, 0.36 * sum(sizes) + 0.55 * len(sizes) + 0.4),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": sizes},
    )
    for number, (question, kinds) in enumerate(groups.items()):
        axis, rows = axes[number, 0], list(kinds.values())
        places = np.arange(len(rows))
        axis.barh(
            places,
            [row["gain"] for row in rows],
            xerr=[row["standard error"] for row in rows],
            color=f"C{number}",
            ecolor=theme().muted,
            height=0.7,
        )
        names = [f"{kind}  ({row['users']:,} users)" for kind, row in kinds.items()]
        axis.set_yticks(places, names, fontsize=9)
        axis.axvline(0, color=theme().muted, linewidth=1)
        axis.set_title(question, fontsize=10, loc="left")
        axis.invert_yaxis()
        axis.grid(axis="y", visible=False)
    axes[-1, 0].set_xlabel(label)
    return figure


def dots(values: Mapping[str, Sequence[float]], label: str, line: tuple[str, float]) -> Figure:
    """A row for each way of training: a dot for each seed, and a bar at their mean.

    Args:
        values: by name, a number for each seed.
        label: what the axis shows.
        line: a name and a value to compare with, drawn across.
    """
    figure, axes = new_figure(size=(7.5, 0.5 * len(values) + 1.2))
    for number, seeds in enumerate(values.values()):
        axes.plot(seeds, np.full(len(seeds), number), "o", color="C0", alpha=0.7)
        axes.plot(np.mean(seeds), number, "|", color="C1", markersize=22, markeredgewidth=3)
    _rows_beside_a_line(axes, list(values), label, f"{line[0]}: {line[1]:.3f}", line[1])
    return figure


def several_logs(found: Mapping[str, Mapping[str, float]], line: str, label: str) -> Figure:
    """A row for each log, a mark for each model: how many times as good as one of them it is.

    Args:
        found: by log and model, a measure.
        line: the model that the others are divided by, drawn as a line.
        label: what the axis shows.
    """
    figure, axes = new_figure(size=(7.5, 0.55 * len(found) + 1.5))
    models = [model for model in next(iter(found.values())) if model != line]
    for number, model in enumerate(models):
        shares = [values[model] / values[line] for values in found.values()]
        rows = np.arange(len(found)) + 0.08 * (number - (len(models) - 1) / 2)  # seen beside equals
        marker = "osD^vP*X"[number % 8]
        axes.plot(shares, rows, marker, color=f"C{number}", label=model, ms=8)
    _rows_beside_a_line(axes, list(found), label, line, 1)
    axes.set_xlim(0, None)
    figure.legend(loc="outside upper center", ncols=3, fontsize=9)
    return figure


def _rows_beside_a_line(axes: Axes, names: list[str], label: str, line: str, place: float) -> None:
    """Name the rows from the top down and the axis; draw a line to compare with, its name above."""
    axes.axvline(place, color=theme().muted, linestyle="--", linewidth=1)
    axes.annotate(line, (place, -0.75), (4, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel=label, ylim=(len(names) - 0.5, -1.1))
    axes.grid(axis="y", visible=False)
