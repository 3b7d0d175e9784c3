"""Figures of trainings over their epochs: one run, several beside each other, and a record of many.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import LINES, new_figure, theme


def learning(curve: Sequence[Mapping], lines: Mapping[str, float] | None = None) -> Figure:
    """Loss and validation NDCG@10 over the epochs of one run, and what to compare it with.

    Args:
        curve: a row per epoch with "epoch", "loss" and "NDCG@10".
        lines: NDCG@10 on the same validation by label, drawn across.
    """
    epochs = [row["epoch"] for row in curve]
    values = [row["NDCG@10"] for row in curve]
    best = int(np.argmax(values))
    figure, (left, right) = new_figure(1, 2, (9, 3.4))
    left.plot(epochs, [row["loss"] for row in curve], "o-", markersize=3)
    left.set(xlabel="epoch", ylabel="loss (nats per hidden item)", title="Training loss")
    right.plot(epochs, values, "o-", markersize=3, label="this training")
    right.plot(epochs[best], values[best], "o", color="C0", label="best, kept")
    _across(right, lines or {})
    right.set(xlabel="epoch", ylabel="NDCG@10", title="Validation, full ranking")
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def compared(
    curves: Mapping[str, Sequence[float]], lines: Mapping[str, float] | None = None, **labels: str
) -> Figure:
    """Several curves in one frame, one value per epoch or per step from 1 on.

    Args:
        curves: the values by label.
        lines: values to compare by label, drawn across.
        labels: of the axes and the title, as for `Axes.set`.
    """
    figure, axes = new_figure()
    for number, (label, values) in enumerate(curves.items()):
        steps = np.arange(1, len(values) + 1)
        axes.plot(steps, values, LINES[number % len(LINES)], color=f"C{number}", label=label)
    _across(axes, lines or {})
    axes.set(**labels)
    axes.legend()
    return figure


def additions(record: Mapping, metric: str = "NDCG@10") -> Figure:
    """What each addition to a plain loop gives: validation over the epochs, and the test.

    Args:
        record: results/additions.json: "added" names the rows in order, "rows" holds a training
            per row and seed.
    """
    figure, (left, right) = new_figure(1, 2, (10, 3.8), gridspec_kw={"width_ratios": [3, 2]})
    names = list(record["added"])
    for number, name in enumerate(names):
        runs = [row for key, row in record["rows"].items() if key.startswith(f"{name}, seed")]
        curve = np.array([[point[metric] for point in run["curve"]] for run in runs])
        test = np.array([run["test"][metric] for run in runs])
        epochs, style = np.arange(1, curve.shape[1] + 1), LINES[number % len(LINES)]
        left.plot(epochs, curve.mean(axis=0), style, color=f"C{number}", label=name)
        left.fill_between(
            epochs, curve.min(axis=0), curve.max(axis=0), color=f"C{number}", alpha=0.15
        )
        right.barh(number, test.mean(), color=f"C{number}", alpha=0.6)
        right.plot(test, [number] * len(test), "o", color=theme().ink, markersize=3)
    left.set(xlabel="epoch", ylabel=metric, title="Validation: mean and range of the seeds")
    left.set_ylim(0, 1.45 * left.get_ylim()[1])  # room for the names
    left.legend(loc="upper center", ncols=3, fontsize=9)
    right.set(xlabel=metric, title="Test: mean, and each seed", yticks=range(len(names)))
    right.set_yticklabels(names)
    right.invert_yaxis()
    return figure


def _across(axes: Axes, lines: Mapping[str, float]) -> None:
    """Draw values across, in muted lines that are told apart by their dashes."""
    for number, (label, value) in enumerate(lines.items()):
        style = LINES[1:][number % 3]
        axes.axhline(value, color=theme().muted, linestyle=style, label=label)
