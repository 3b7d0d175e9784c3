"""Every figure that a notebook shows; those of the model's inside come from diagrams.py
and looking.py.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
Colours and the dark theme are in style.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data import Sequences
from ..evaluation import Report
from .curves import additions, compared, learning
from .diagrams import attention, explanation, masking, position_similarity, sublayer_stack
from .looking import moved, visibility
from .measuring import blend_curve, rank_gains, sampled_hits
from .reasons import dots, gains, several_logs
from .style import LINES, new_figure, shortened, theme, use_theme

__all__ = [
    "additions",
    "attention",
    "blend_curve",
    "compared",
    "cost_over_catalogue",
    "dots",
    "effects",
    "explanation",
    "gains",
    "history_lengths",
    "item_map",
    "learning",
    "long_tail",
    "masking",
    "moved",
    "popularity_of_lists",
    "position_similarity",
    "protocols",
    "quality_over_time",
    "rank_gains",
    "sampled_hits",
    "several_logs",
    "sublayer_stack",
    "target_ranks",
    "use_theme",
    "visibility",
]


def long_tail(sequences: Sequences) -> Figure:
    """How often each item was chosen, from the most popular on, and the share of all choices."""
    counts = np.sort(sequences.item_counts())[::-1][: sequences.num_items]
    rank = np.arange(1, len(counts) + 1)
    figure, (left, right) = new_figure(1, 2, (9, 3.4))
    left.loglog(rank, counts)
    left.set(xlabel="item, by popularity (log)", ylabel="interactions (log)")
    left.set_title("Few items are chosen often")
    right.plot(100 * rank / len(rank), 100 * counts.cumsum() / counts.sum())
    fifth = counts[: max(1, len(counts) // 5)].sum() / counts.sum()
    right.plot(20, 100 * fifth, "o", color="C1")
    right.annotate(
        f"the top 20% of the items\nhave {fifth:.0%} of the interactions",
        (20, 100 * fifth),
        (35, 45),
        arrowprops={"arrowstyle": "->", "color": "C1"},
    )
    right.set(xlabel="share of the items (%)", ylabel="share of the interactions (%)")
    right.set_title("and make up most of the log")
    return figure


def history_lengths(sequences: Sequences, max_len: int) -> Figure:
    """How many items users have, with the length that the model looks at."""
    lengths = sequences.lengths
    figure, axes = new_figure()
    short = lengths.max() <= 50  # a bar for each length, else 40 of equal width on a log axis
    bins = np.geomspace(lengths.min(), lengths.max() + 1, 40)
    if short:
        bins = np.arange(lengths.min(), lengths.max() + 2) - 0.5
    axes.hist(lengths, bins=bins, color="C0", rwidth=0.85 if short else None)
    axes.axvline(np.median(lengths), color="C1", label=f"median: {np.median(lengths):.0f}")
    axes.axvline(max_len, color="C2", linestyle="--", label=f"max_len: {max_len}")
    axes.set_xscale("linear" if short else "log")
    axes.set(xlabel=f"items in a history{'' if short else ' (log)'}", ylabel="users")
    axes.set_title("Histories differ in length")
    axes.legend()
    return figure


def quality_over_time(runs: Sequence[Mapping], lines: Mapping[str, float]) -> Figure:
    """Loss and validation NDCG@10 over the minutes of training, with values to compare.

    Args:
        runs: records of runs as metrics.json holds them: "curve", "best_epoch", and "seed" or
            "name" for the legend.
        lines: NDCG@10 by label, drawn across.
    """
    figure, (left, right) = new_figure(1, 2, (10, 4), gridspec_kw={"width_ratios": [2, 3]})
    for number, run in enumerate(runs):
        colour, name = f"C{number}", run.get("name", f"seed {run.get('seed')}")
        minutes = [row["seconds"] / 60 for row in run["curve"]]
        left.plot(minutes, [row["loss"] for row in run["curve"]], color=colour, label=name)
        rows = [row for row in run["curve"] if "NDCG@10" in row]
        minutes = [row["seconds"] / 60 for row in rows]
        values = [row["NDCG@10"] for row in rows]
        right.plot(minutes, values, color=colour, label=name)
        best = next(i for i, row in enumerate(rows) if row["epoch"] == run["best_epoch"])
        right.plot(minutes[best], values[best], "o", color=colour)
    for number, (label, value) in enumerate(lines.items()):
        style = LINES[1:][number % 3]
        right.axhline(value, color=theme().muted, linestyle=style, label=f"{label}: {value:.3f}")
    left.set(xlabel="minutes of training", ylabel="loss (nats per answer)", title="Training loss")
    right.set(xlabel="minutes of training", ylabel="NDCG@10, full ranking")
    right.set_title("Validation, a dot at the epoch kept")
    right.set_ylim(bottom=0)
    right.legend(loc="lower right", fontsize=9)
    return figure


def effects(differences: Mapping[str, float], noise: float, label: str) -> Figure:
    """What single changes did to a metric, a bar each, with a band that chance alone would fill.

    Args:
        differences: of the metric, by change.
        noise: half the width of the band around 0.
        label: what the axis shows.
    """
    figure, axes = new_figure(size=(7.5, 0.34 * len(differences) + 1.2))
    places = range(len(differences))
    axes.axvspan(-noise, noise, color=theme().faint, alpha=0.5, label="between seeds")
    axes.axvline(0, color=theme().muted, linewidth=0.8)
    values = np.array(list(differences.values()))
    axes.barh(places, values, color=["C0" if value >= 0 else "C1" for value in values])
    axes.set_yticks(places, list(differences))
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label)
    axes.legend(loc="upper left")
    return figure


def target_ranks(report: Report, one: str, other: str) -> Figure:
    """Where each user's target came out under two models, and how many came out how high.

    Args:
        report: with both models.
        one, other: their names; `one` is on the vertical axis.
    """
    figure, (left, right) = new_figure(1, 2, (9.5, 4.2))
    size = report.num_items
    x, y = (report.models[name].expected for name in (other, one))
    left.plot([1, size], [1, size], color=theme().muted, linewidth=1)
    left.plot(x, y, "o", markersize=3, alpha=0.35 if len(x) < 2000 else 0.12)
    left.set(xscale="log", yscale="log", xlim=(0.8, size * 1.2), ylim=(size * 1.2, 0.8))
    left.set(xlabel=f"rank of the target, {other} (log)", ylabel=f"rank, {one} (log)")
    left.set_title(f"A dot per user; {one} higher for {(y < x).mean():.0%}")
    for number, (name, ranks) in enumerate(report.models.items()):
        rank = np.sort(ranks.expected)
        share = np.arange(1, len(rank) + 1) / len(rank)
        right.plot(rank, share, LINES[number % 4], color=f"C{number}", label=name)
    right.axvline(10, color=theme().muted, linewidth=1)
    right.annotate("HR@10", (10, 0.95), (4, 0), textcoords="offset points", fontsize=9)
    right.set(xscale="log", xlim=(0.8, size), ylim=(0, 1), xlabel="rank (log)")
    right.set(ylabel="share of the users at or above it", title="How high the targets come out")
    right.legend(loc="lower right")
    return figure


def protocols(reports: Mapping[str, Report], metric: str = "NDCG@10") -> Figure:
    """The same models under several protocols, a group of bars each, with one standard error."""
    figure, axes = new_figure(size=(7.5, 3.6))
    names = list(next(iter(reports.values())).models)
    width = 0.8 / len(names)
    hatches = ("", "//", "..", "xx")
    for number, name in enumerate(names):
        ranks = [report.models[name] for report in reports.values()]
        place = np.arange(len(ranks)) + (number - (len(names) - 1) / 2) * width
        heights = [r.metric(metric) for r in ranks]
        errors = [r.standard_error(metric) for r in ranks]
        bars = axes.bar(
            place,
            heights,
            width * 0.95,
            yerr=errors,
            label=name,
            color=f"C{number}",
            hatch=hatches[number % 4],
            edgecolor=theme().paper,
            ecolor=theme().muted,
        )
        axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
    axes.set_xticks(range(len(reports)), list(reports))
    axes.set(ylabel=metric, title="The same models, the same users")
    axes.grid(axis="x", visible=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
    return figure


def popularity_of_lists(lists: Mapping[str, np.ndarray], sequences: Sequences) -> Figure:
    """How popular the items in some lists are, against all items of the catalogue.

    Args:
        lists: item tokens by the name of the list.
        sequences: where popularity is counted.
    """
    counts = sequences.item_counts()
    rank = np.empty(len(counts), dtype=int)
    rank[np.argsort(-counts, kind="stable")] = np.arange(1, len(counts) + 1)
    figure, axes = new_figure(size=(7.5, 0.7 * len(lists) + 1.2))
    for number, (_, tokens) in enumerate(lists.items()):
        axes.plot(rank[tokens], np.full(len(tokens), number), "o", alpha=0.7, color=f"C{number}")
    axes.set_yticks(range(len(lists)), list(lists))
    axes.set(xlabel="popularity rank of the item, 1 is the most popular (log)", xscale="log")
    axes.set_xlim(0.8, sequences.num_items * 1.2)
    axes.set_ylim(len(lists) - 0.5, -0.5)
    return figure


def item_map(points: np.ndarray, groups: Sequence[str], names: Mapping[int, str]) -> Figure:
    """Items on a plane, a colour and a marker per group, with some names.

    Args:
        points: (items, 2).
        groups: each item's group; "other" is drawn in grey, behind.
        names: a label for some of the items, by place.
    """
    kinds = np.asarray(groups)
    figure, axes = new_figure(size=(10, 7))
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")
    colours = [f"C{number}" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9)]  # C3 is grey as well
    other = kinds == "other"
    axes.scatter(*points[other].T, s=8, color=theme().faint, label="other")
    for number, group in enumerate(sorted(set(kinds[~other]))):
        axes.scatter(
            *points[kinds == group].T,
            s=22,
            marker=markers[number % len(markers)],
            color=colours[number % len(colours)],
            label=group,
        )
    _names_beside(axes, points, names)
    axes.set(xticks=[], yticks=[], title="A map of the items: near means alike")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _names_beside(axes: Axes, points: np.ndarray, names: Mapping[int, str]) -> None:
    """Write names in a column to the left and one to the right, each with a line to its point."""
    low, high = points.min(axis=0), points.max(axis=0)
    gap = (high[1] - low[1]) / 22  # from one name to the next
    on_the_left = points[:, 0] < (low[0] + high[0]) / 2
    for left in (True, False):
        column = [place for place in names if on_the_left[place] == left]
        free = np.inf
        for place in sorted(column, key=lambda place: -points[place, 1]):
            free = min(points[place, 1], free - gap)
            axes.annotate(
                shortened(names[place], 32),
                points[place],
                (low[0] - gap if left else high[0] + gap, free),
                fontsize=8,
                va="center",
                ha="right" if left else "left",
                arrowprops={"arrowstyle": "-", "linewidth": 0.7, "color": theme().muted},
            )


def cost_over_catalogue(rows: Sequence[Mapping]) -> Figure:
    """Seconds and memory of a training step over the size of the catalogue, a line per loss.

    Args:
        rows: of results/catalogue.json: "loss", "items", "seconds", "peak_memory_mb".
    """
    figure, axes = new_figure(1, 2, (9, 3.6))
    styles = ("-o", "--s", ":^")
    panels = (("seconds", "seconds a step (log)"), ("peak_memory_mb", "peak memory, MB (log)"))
    for axis, (key, label) in zip(axes, panels, strict=True):
        for number, loss in enumerate(dict.fromkeys(row["loss"] for row in rows)):
            points = [(row["items"], row[key]) for row in rows if row["loss"] == loss]
            axis.loglog(*zip(*points, strict=True), styles[number % 3], label=loss)
        axis.set(xlabel="items in the catalogue (log)", ylabel=label)
    axes[0].legend()
    return figure
