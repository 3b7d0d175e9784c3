"""Every figure that a notebook shows, in one style: labelled axes, colour-blind-safe colours.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
Colours follow matplotlib's `petroff10` (Petroff 2021), heat maps use `cividis`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from .cloze import IGNORE
from .evaluation import Ranks, Report
from .sequences import Sequences
from .training import History
from .vocabulary import PAD

STYLE = {
    "figure.dpi": 90,
    "figure.facecolor": "white",  # opaque, so that a dark page does not swallow the labels
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.axisbelow": True,
    "figure.constrained_layout.use": True,
}


def _figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (7, 3.6), **options):
    plt.style.use(["default", "petroff10", STYLE])
    return plt.subplots(rows, columns, figsize=size, **options)


def long_tail(sequences: Sequences) -> Figure:
    """How often each item was chosen, from the most popular on, and the share of all choices."""
    counts = np.sort(sequences.item_counts())[::-1][: sequences.num_items]
    rank = np.arange(1, len(counts) + 1)
    figure, (left, right) = _figure(1, 2, (9, 3.4))
    left.loglog(rank, counts)
    left.set(xlabel="item, by popularity (log)", ylabel="interactions (log)")
    left.set_title("Few items are chosen often")
    right.plot(100 * rank / len(rank), 100 * counts.cumsum() / counts.sum())
    fifth = counts[: max(1, len(counts) // 5)].sum() / counts.sum()
    right.plot(20, 100 * fifth, "o", color="C1")
    right.annotate(
        f"the top 20% of the items\nhave {fifth:.0%} of the interactions",
        (20, 100 * fifth), (35, 45), arrowprops={"arrowstyle": "->", "color": "C1"},
    )  # fmt: skip
    right.set(xlabel="share of the items (%)", ylabel="share of the interactions (%)")
    right.set_title("and make up most of the log")
    return figure


def history_lengths(sequences: Sequences, max_len: int) -> Figure:
    """How many items users have, with the length that the model looks at."""
    lengths = sequences.lengths
    figure, axes = _figure()
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


def masking(
    inputs: torch.Tensor, labels: torch.Tensor, names: Mapping[int, str], mask_token: int
) -> Figure:
    """One history's inputs and labels side by side: what is seen, what must be answered.

    Args:
        inputs, labels: (length,) of one sequence.
        names: a short name for each item token.
        mask_token: the token of [MASK].
    """
    names = {**names, PAD: "[PAD]", mask_token: "[MASK]", IGNORE: "–"}
    rows = (("inputs", inputs.tolist()), ("labels", labels.tolist()))
    figure, axes = _figure(size=(1.25 * len(inputs) + 0.8, 1.9))
    colours = {"hidden": "#ffd17a", "answer": "#a9d5f5", "padding": "#e2e2e2", "item": "white"}
    for y, (_, tokens) in enumerate(rows):
        for x, token in enumerate(tokens):
            if token == mask_token:
                kind = "hidden"
            elif y == 1 and token != IGNORE:
                kind = "answer"
            else:
                kind = "padding" if token == PAD else "item"
            box = plt.Rectangle((x, -y), 0.96, 0.92, facecolor=colours[kind], edgecolor="0.5")
            axes.add_patch(box)
            text = names[token].replace(" ", "\n")
            axes.text(x + 0.48, 0.46 - y, text, ha="center", va="center", fontsize=9)
    axes.set(xlim=(-0.1, len(inputs)), ylim=(-1.1, 1), xticks=np.arange(len(inputs)) + 0.48)
    axes.set_xticklabels([f"{len(inputs) - 1 - x}" for x in range(len(inputs))])
    axes.set_yticks([0.46, -0.54], [name for name, _ in rows])
    axes.set_xlabel("position, counted back from the newest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def attention(weights: torch.Tensor, names: Sequence[str], title: str = "") -> Figure:
    """One layer's attention, a heat map per head: each row shows where a position looks.

    Args:
        weights: (heads, length, length), rows sum to 1.
        names: a label for each position.
    """
    heads, length = len(weights), len(names)
    side = 0.38 * length
    figure, axes = _figure(1, heads, (heads * side + 2.6, side + 1.6), squeeze=False, sharey=True)
    top = float(weights.max())
    for head, axis in enumerate(axes[0]):
        image = axis.imshow(weights[head].cpu().numpy(), cmap="cividis", vmin=0, vmax=top)
        axis.set_xticks(range(length), names, rotation=90)
        axis.set_title(f"head {head + 1}", fontsize=10)
        axis.set_xlabel("looks at")
        axis.grid(False)
    axes[0, 0].set_yticks(range(length), names)
    axes[0, 0].set_ylabel("position")
    figure.colorbar(image, ax=axes[0].tolist(), label="attention", shrink=0.8)
    if title:
        figure.suptitle(title)
    return figure


def training_curves(history: History, popularity: float | None = None) -> Figure:
    """Loss and validation NDCG@10 over the epochs, with the best epoch and the popularity line."""
    table = history.table()
    figure, (left, right) = _figure(1, 2, (9, 3.4))
    left.plot(table.index, table["loss"])
    left.set(xlabel="epoch", ylabel="loss (nats per hidden item)", title="Training loss")
    validated = table["NDCG@10"].dropna()
    right.plot(validated.index, validated, label="BERT4Rec")
    right.plot(history.best_epoch, history.best_ndcg, "o", color="C0", label="best, kept")
    if popularity is not None:
        right.axhline(popularity, color="C1", linestyle="--", label="popularity")
    right.set(xlabel="epoch", ylabel="NDCG@10", title="Validation, full ranking")
    right.set_ylim(bottom=0)
    right.legend()
    return figure


def quality_over_time(runs: Sequence[Mapping], lines: Mapping[str, float]) -> Figure:
    """Validation NDCG@10 over the minutes of training, a curve per run, with values to compare.

    Args:
        runs: records of runs as metrics.json holds them: "seed", "curve", "best_epoch".
        lines: NDCG@10 by label, drawn across.
    """
    figure, axes = _figure(size=(7.5, 4))
    for number, run in enumerate(runs):
        rows = [row for row in run["curve"] if "NDCG@10" in row]
        minutes = [row["seconds"] / 60 for row in rows]
        values = [row["NDCG@10"] for row in rows]
        axes.plot(minutes, values, color=f"C{number}", label=f"seed {run['seed']}")
        best = next(i for i, row in enumerate(rows) if row["epoch"] == run["best_epoch"])
        axes.plot(minutes[best], values[best], "o", color=f"C{number}")
    for number, (label, value) in enumerate(lines.items()):
        style = ("--", ":", "-.")[number % 3]
        axes.axhline(value, color="0.35", linestyle=style, label=f"{label}: {value:.3f}")
    axes.set(xlabel="minutes of training", ylabel="NDCG@10, full ranking")
    axes.set_title("MovieLens-1M: validation while training, a dot at the epoch kept")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower right", fontsize=9)
    return figure


def metric_over_k(report: Report, k: int = 50) -> Figure:
    """HR@k and NDCG@k of every model in a report, with bands of one standard error."""
    ks = np.unique(np.geomspace(1, k, 20).round().astype(int))
    figure, axes = _figure(1, 2, (9, 3.6))
    styles = ("-", "--", ":", "-.")
    for axis, metric in zip(axes, ("HR", "NDCG"), strict=True):
        for number, (name, ranks) in enumerate(report.models.items()):
            mean, error = _means(ranks, metric, ks)
            axis.plot(ks, mean, styles[number % 4], label=name, color=f"C{number}")
            axis.fill_between(ks, mean - error, mean + error, alpha=0.2, color=f"C{number}")
        axis.set(xlabel="k", ylabel=f"{metric}@k", xlim=(1, k))
        axis.set_ylim(bottom=0)
    axes[0].legend()
    figure.suptitle(f"{report.protocol}, {report.num_users:,} users", fontsize=10)
    return figure


def _means(ranks: Ranks, metric: str, ks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    means = [ranks.metric(f"{metric}@{k}") for k in ks]
    errors = [ranks.standard_error(f"{metric}@{k}") for k in ks]
    return np.array(means), np.array(errors)


def protocols(reports: Mapping[str, Report], metric: str = "NDCG@10") -> Figure:
    """The same models under several protocols, a group of bars each, with one standard error."""
    figure, axes = _figure(size=(7.5, 3.6))
    names = list(next(iter(reports.values())).models)
    width = 0.8 / len(names)
    hatches = ("", "//", "..", "xx")
    for number, name in enumerate(names):
        ranks = [report.models[name] for report in reports.values()]
        place = np.arange(len(ranks)) + (number - (len(names) - 1) / 2) * width
        heights = [r.metric(metric) for r in ranks]
        errors = [r.standard_error(metric) for r in ranks]
        bars = axes.bar(
            place, heights, width * 0.95, yerr=errors, label=name, color=f"C{number}",
            hatch=hatches[number % 4], edgecolor="white", ecolor="0.3",
        )  # fmt: skip
        axes.bar_label(bars, fmt="%.2f", fontsize=8, padding=1)
    axes.set_xticks(range(len(reports)), list(reports))
    axes.set(ylabel=metric, title="The same models, the same users")
    axes.grid(axis="x", visible=False)
    axes.legend()
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
    figure, axes = _figure(size=(7.5, 0.7 * len(lists) + 1.2))
    for number, (_, tokens) in enumerate(lists.items()):
        axes.plot(rank[tokens], np.full(len(tokens), number), "o", alpha=0.7, color=f"C{number}")
    axes.set_yticks(range(len(lists)), list(lists))
    axes.set(xlabel="popularity rank of the item, 1 is the most popular (log)", xscale="log")
    axes.set_xlim(0.8, sequences.num_items * 1.2)
    axes.set_ylim(len(lists) - 0.5, -0.5)
    return figure


def explanation(table: pd.DataFrame) -> Figure:
    """What the question looked at, a column per head, and what each entry did for the item.

    Args:
        table: of `Recommender.explain`.
    """
    gain = table["gain"]
    attention = table.drop(columns="gain", level=0)
    titles = [title if len(title) <= 40 else f"{title[:39]}…" for title in table.index]
    figure, (left, right) = _figure(
        1, 2, (8.5, 0.36 * len(table) + 1.5), sharey=True,
        gridspec_kw={"width_ratios": [attention.shape[1] * 0.6, 3]},
    )  # fmt: skip
    image = left.imshow(attention.to_numpy(), cmap="cividis", vmin=0, aspect="auto")
    heads = [f"{layer},\n{head}" for layer, head in attention.columns]
    left.set_xticks(range(len(heads)), heads, fontsize=8)
    left.set_yticks(range(len(titles)), titles)
    question = table.index[-1] if "[MASK]" in table.index else "the last position"
    left.set_title(f"where {question} looks", fontsize=10)
    left.grid(False)
    figure.colorbar(image, ax=left, label="attention")
    values = gain.iloc[:, 0].dropna()
    colours = np.where(values >= 0, "C0", "C1")
    right.barh(range(len(values)), values, color=colours)
    right.axvline(0, color="0.4", linewidth=0.8)
    right.set_title(f"what each did for\n{gain.columns[0]}", fontsize=10)
    right.set_xlabel("score with it − without it")
    right.tick_params(labelleft=False)
    return figure


def item_map(points: np.ndarray, groups: Sequence[str], names: Mapping[int, str]) -> Figure:
    """Items on a plane, a colour and a marker per group, with some names.

    Args:
        points: (items, 2).
        groups: each item's group; "other" is drawn in grey, behind.
        names: a label for some of the items, by place.
    """
    groups = np.asarray(groups)
    figure, axes = _figure(size=(9, 7))
    markers = ("o", "s", "^", "D", "v", "P", "X", "*")
    colours = [f"C{number}" for number in (0, 1, 2, 4, 5, 6, 7, 8, 9)]  # C3 is grey as well
    other = groups == "other"
    axes.scatter(*points[other].T, s=8, color="0.8", label="other")
    for number, group in enumerate(sorted(set(groups[~other]))):
        axes.scatter(
            *points[groups == group].T, s=22, marker=markers[number % len(markers)],
            color=colours[number % len(colours)], label=group,
        )  # fmt: skip
    middle = points[:, 0].mean()
    for place, name in names.items():
        left = points[place, 0] > middle  # names point inwards
        axes.annotate(
            name, points[place], (-4 if left else 4, 4), textcoords="offset points", fontsize=8,
            ha="right" if left else "left",
            bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "alpha": 0.7, "linewidth": 0},
        )  # fmt: skip
    axes.set(xticks=[], yticks=[], xlabel="no unit: near means alike", title="A map of the items")
    axes.grid(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def cost_over_catalogue(rows: Sequence[Mapping]) -> Figure:
    """Seconds and memory of a training step over the size of the catalogue, a line per loss.

    Args:
        rows: of results/catalogue.json: "loss", "items", "seconds", "peak_memory_mb".
    """
    figure, axes = _figure(1, 2, (9, 3.6))
    styles = ("-o", "--s", ":^")
    panels = (("seconds", "seconds a step (log)"), ("peak_memory_mb", "peak memory, MB (log)"))
    for axis, (key, label) in zip(axes, panels, strict=True):
        for number, loss in enumerate(dict.fromkeys(row["loss"] for row in rows)):
            points = [(row["items"], row[key]) for row in rows if row["loss"] == loss]
            axis.loglog(*zip(*points, strict=True), styles[number % 3], label=loss)
        axis.set(xlabel="items in the catalogue (log)", ylabel=label)
    axes[0].legend()
    return figure
