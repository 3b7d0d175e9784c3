"""Figures of who looks at whom: masks of visibility, and vectors that take something in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from .style import new_figure, theme


def visibility(masks: Mapping[str, torch.Tensor], names: Sequence[str]) -> Figure:
    """What each position may look at, a panel per mask: a dot where it may.

    Args:
        masks: (length, length) bool by title; rows look at columns.
        names: a label for each position.
    """
    side = 0.36 * len(names)
    size = (len(masks) * (side + 0.4) + 1.2, side + 2.2)
    figure, axes = new_figure(1, len(masks), size, squeeze=False, sharey=True)
    for axis, (title, mask) in zip(axes[0], masks.items(), strict=True):
        for row, column in torch.cartesian_prod(*map(torch.arange, mask.shape)).tolist():
            seen = bool(mask[row, column])
            fill = theme().boxes["answer" if seen else "item"]
            corner = (column - 0.46, row - 0.46)
            axis.add_patch(plt.Rectangle(corner, 0.92, 0.92, facecolor=fill, edgecolor="0.5"))
            if seen:
                axis.plot(column, row, "o", color=theme().ink, markersize=3)
        axis.set_xticks(range(len(names)), names, rotation=90)
        axis.set(title=title, xlabel="may look at", aspect="equal")
        axis.set(xlim=(-0.6, len(names) - 0.4), ylim=(len(names) - 0.4, -0.6))
        axis.title.set_fontsize(10)
        axis.grid(False)
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].set_ylabel("position")
    return figure


def moved(
    before: torch.Tensor, after: torch.Tensor, names: Sequence[str], labels: tuple[str, str]
) -> Figure:
    """Vectors of two numbers before and after something was added, with arrows between.

    Args:
        before, after: (count, 2).
        names: of the vectors.
        labels: what the two numbers mean.
    """
    figure, axes = new_figure(size=(5, 3.8))
    for number, name in enumerate(names):
        start, end = before[number].tolist(), after[number].tolist()
        arrow = {"arrowstyle": "-|>", "color": f"C{number}", "shrinkA": 5, "shrinkB": 4}
        arrow["connectionstyle"] = f"arc3,rad={-0.15 * (number + 1)}"  # arrows may share a line
        axes.annotate("", end, start, arrowprops=arrow)
        axes.plot(*start, "o", color=f"C{number}", markerfacecolor=theme().paper)
        axes.plot(*end, "o", color=f"C{number}")
        axes.annotate(name, start, (9, -4), textcoords="offset points", fontsize=9)
    both = torch.cat([before, after])
    (left, low), (right, high) = both.amin(dim=0).tolist(), both.amax(dim=0).tolist()
    axes.set(xlabel=labels[0], ylabel=labels[1])
    axes.set(xlim=(left - 0.3, right + 0.7), ylim=(low - 0.3, high + 0.4))
    return figure
