"""Figures about measures: what a rank is worth, what sampling does to it, which weight is best.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from ..evaluation.metrics import values_of
from .style import LINES, new_figure, theme


def rank_gains(longest: int = 20, k: int = 10) -> Figure:
    """What a target at each rank is worth to HR@k, NDCG@k and MRR.

    Args:
        longest: the last rank drawn.
        k: the cutoff.
    """
    rank = np.arange(1, longest + 1)
    figure, axes = new_figure(size=(7.5, 3.4))
    for number, metric in enumerate((f"HR@{k}", f"NDCG@{k}", "MRR")):
        worth = values_of(metric, rank - 1, np.ones_like(rank))
        marker = "os^"[number]
        axes.plot(rank, worth, LINES[number] + marker, color=f"C{number}", label=metric, ms=4)
    axes.set(xlabel="rank of the target", ylabel="what it is worth", ylim=(-0.03, 1.05))
    axes.set_xticks(range(1, longest + 1))
    axes.set_title("One target, three measures")
    axes.legend()
    return figure


def sampled_hits(expected: Mapping[str, Sequence[float]], label: str = "expected HR@1") -> Figure:
    """A measure over the number of negatives drawn, for several models: do the lines cross?

    Args:
        expected: by model, the measure with 1, 2, … negatives; the last stands for all of them.
        label: what the axis shows.
    """
    figure, axes = new_figure(size=(7.5, 3.4))
    for number, (name, values) in enumerate(expected.items()):
        drawn = range(1, len(values) + 1)
        marker = "os^D"[number % 4]
        axes.plot(drawn, values, LINES[number % 4] + marker, color=f"C{number}", label=name, ms=5)
    axes.set_xticks(list(drawn), [*map(str, drawn[:-1]), f"all {len(values)}"])
    axes.set(xlabel="negatives that the target is ranked against", ylabel=label, ylim=(-0.03, 1.05))
    axes.set_title("The same models, ranked against fewer and fewer films")
    axes.invert_xaxis()  # from all films to few
    axes.legend(loc="upper left")
    return figure


def blend_curve(values: Mapping[float, float], metric: str = "NDCG@10") -> Figure:
    """A validation metric over the weight of counting, with the two ends and the best named.

    Args:
        values: of `choose_weight`: the metric by weight.
        metric: its name.
    """
    weights, heights = np.array(list(values)), np.array(list(values.values()))
    best = int(heights.argmax())
    figure, axes = new_figure(size=(7.5, 3.6))
    axes.plot(weights[[0, -1]], heights[[0, -1]], ":", color=theme().muted)
    axes.plot(weights, heights, "-o", color="C0", ms=4)
    axes.plot(weights[best], heights[best], "D", color="C1", ms=8)
    axes.vlines(weights[best], 0, heights[best], color="C1", linestyle="--")
    for place, text, side in (
        (0, f"the network alone: {heights[0]:.3f}", "left"),
        (len(weights) - 1, f"counting alone: {heights[-1]:.3f}", "right"),
    ):
        axes.annotate(
            text, (weights[place], heights[place]), (0, -16), textcoords="offset points", ha=side
        )
    axes.annotate(
        f"best: w = {weights[best]:g}, {heights[best]:.3f}",
        (weights[best], heights[best]),
        (0, 9),
        textcoords="offset points",
        ha="center",
    )
    axes.set(xlabel="w, the weight of counting", ylabel=f"validation {metric}")
    axes.set(ylim=(0, heights.max() * 1.2), title="From the network alone to counting alone")
    return figure
