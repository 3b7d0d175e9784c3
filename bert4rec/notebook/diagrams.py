"""Figures of what happens inside: masking, the stack of sublayers, attention, positions.

Each function draws one figure and returns it; in a notebook end the cell with `plt.show()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data import IGNORE, PAD
from ..model import ModelConfig
from .style import LINES, new_figure, shortened, theme


def masking(
    inputs: torch.Tensor, labels: torch.Tensor, names: Mapping[int, str], mask_token: int
) -> Figure:
    """One history's inputs, labels and places in the loss: what is seen, asked and counted.

    Args:
        inputs, labels: (length,) of one sequence.
        names: a short name for each item token.
        mask_token: the token of [MASK].
    """
    names = {**names, PAD: "[PAD]", mask_token: "[MASK]", IGNORE: "–"}
    figure, axes = new_figure(size=(1.25 * len(inputs) + 0.8, 2.7))
    size = (0.96, 0.92)
    for x, (token, label) in enumerate(zip(inputs.tolist(), labels.tolist(), strict=True)):
        seen = "hidden" if token == mask_token else "padding" if token == PAD else "item"
        predicted = label != IGNORE
        rows = (
            (names[token], seen),
            (names[label], "answer" if predicted else "item"),
            ("✓" if predicted else "–", "counted" if predicted else "item"),
        )
        for y, (text, kind) in enumerate(rows):
            _box(axes, (x, -y), size, text.replace(" ", "\n"), kind, fontsize=9)
    axes.set(xlim=(-0.1, len(inputs)), ylim=(-2.1, 1), xticks=np.arange(len(inputs)) + 0.48)
    axes.set_xticklabels([f"{len(inputs) - 1 - x}" for x in range(len(inputs))])
    axes.set_yticks([0.46, -0.54, -1.54], ["inputs", "labels", "in the loss"])
    axes.set_xlabel("position, counted back from the newest")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def _box(axes: Axes, corner: tuple, size: tuple, text: str, kind: str, fontsize: int) -> None:
    fill = theme().boxes[kind]
    axes.add_patch(plt.Rectangle(corner, *size, facecolor=fill, edgecolor="0.5"))
    x, y = corner[0] + size[0] / 2, corner[1] + size[1] / 2
    axes.text(x, y, text, ha="center", va="center", fontsize=fontsize)


def sublayer_stack(config: ModelConfig) -> Figure:
    """The sublayers from tokens to scores, with the shape of what flows between them."""
    hidden, heads = config.hidden_size, config.num_heads
    inner = config.feed_forward_size or 4 * hidden
    flow = f"(batch, length, {hidden})"
    first = "LayerNorm → " if config.norm_first else ""
    connection = f"SublayerConnection: {'+ x' if first else 'LayerNorm(+ x)'}"
    steps = [
        ("tokens", "item", "(batch, length)"),
        ("BERTEmbeddings: token + position", "answer", flow),
        (f"{first}MultiHeadedAttention: {heads} heads of {hidden // heads}", "hidden", flow),
        (connection, "counted", flow),
        (f"{first}PositionwiseFeedForward: {hidden} → {inner} → {hidden}", "hidden", flow),
        (connection, "counted", flow),
        *([("LayerNorm", "counted", flow)] if config.norm_first else []),
        (f"out: Linear {hidden} → items + 2", "answer", "(batch, length, items + 2)"),
        ("scores; [PAD] and [MASK] get −∞", "item", ""),
    ]
    figure, axes = new_figure(size=(7.6, 0.925 * len(steps)))
    ink, muted, step = theme().ink, theme().muted, 1.7
    arrow = {"arrowstyle": "-|>", "color": ink}
    for place, (text, kind, shape) in enumerate(steps):
        y = -step * place
        _box(axes, (0, y), (5, 0.85), text, kind, fontsize=10)
        if shape:
            axes.annotate("", (2.5, y + 0.85 - step), (2.5, y), arrowprops=arrow)
            axes.text(2.65, y - 0.2, shape, va="center", fontsize=9, color=muted)
    for place in (2, 4):  # around each sublayer, into the connection after it
        start, end = -step * place + 1.1, -step * (place + 1) + 0.42
        axes.plot([2.5, -0.55, -0.55], [start, start, end], color=ink, linewidth=1)
        axes.annotate("", (0, end), (-0.6, end), arrowprops=arrow)
    top, bottom = -step * 2 + 1.3, -step * 5 - 0.42
    frame = plt.Rectangle(
        (-0.8, bottom), 6, top - bottom, fill=False, edgecolor=muted, linestyle="--"
    )
    axes.add_patch(frame)
    axes.text(5.3, (top + bottom) / 2, f"TransformerEncoder\n× {config.num_layers}", va="center")
    axes.set(xlim=(-0.9, 7.2), ylim=(-step * (len(steps) - 1) - 0.1, 1))
    axes.axis("off")
    return figure


def position_similarity(vectors: torch.Tensor) -> Figure:
    """How alike the vectors of positions are: cosine similarity of all pairs, and of a few.

    Args:
        vectors: (positions, hidden), position 0 is the newest.
    """
    unit = torch.nn.functional.normalize(vectors.detach().cpu().float(), dim=1)
    cosine = (unit @ unit.T).numpy()
    figure, (left, right) = new_figure(1, 2, (9, 4.3))
    image = left.imshow(cosine, cmap="cividis", vmin=-1, vmax=1, origin="lower")
    left.set(xlabel="position, 0 is the newest", ylabel="position", title="Every pair")
    left.grid(False)
    figure.colorbar(
        image, ax=left, location="bottom", label="cosine similarity", shrink=0.6, pad=0.04
    )
    for number, place in enumerate((0, len(unit) // 10, len(unit) // 2)):
        right.plot(cosine[place], LINES[number], color=f"C{number}", label=f"position {place}")
    right.set(xlabel="position, 0 is the newest", ylabel="cosine similarity", ylim=(-1, 1.05))
    right.set_title("A few positions with all others")
    right.legend(loc="lower right")
    return figure


def attention(weights: torch.Tensor, names: Sequence[str], title: str = "") -> Figure:
    """One layer's attention, a heat map per head: each row shows where a position looks.

    The colours run from 0 to 1, all of a row's attention, so that figures can be compared.

    Args:
        weights: (heads, length, length), rows sum to 1.
        names: a label for each position.
    """
    heads, length = len(weights), len(names)
    side = 0.38 * length
    figure, axes = new_figure(
        1, heads, (heads * side + 2.6, side + 2.1), squeeze=False, sharey=True
    )
    figure.set_layout_engine("compressed")  # keeps a title off the squares
    for head, axis in enumerate(axes[0]):
        image = axis.imshow(weights[head].cpu().numpy(), cmap="cividis", vmin=0, vmax=1)
        axis.set_xticks(range(length), names, rotation=90)
        axis.set_title(f"head {head + 1}", fontsize=10)
        axis.set_xlabel("looks at")
        axis.grid(False)
    axes[0, 0].set_yticks(range(length), names)
    axes[0, 0].set_ylabel("position")
    figure.colorbar(
        image, ax=axes[0].tolist(), label="attention,\neach row adds up to 1", shrink=0.8
    )
    if title:
        figure.suptitle(title)
    return figure


def explanation(table: pd.DataFrame, stacked: bool = False) -> Figure:
    """What the question looked at, a column per head, and what each entry did for the item.

    Args:
        table: of `Recommender.explain`.
        stacked: one above the other, where there is little room: beside a list.
    """
    shares = table.drop(columns=["gain", "of which"], level=0, errors="ignore")
    titles = [shortened(title, 32) for title in table.index]
    columns = shares.shape[1]
    if stacked:
        figure, (left, right) = new_figure(2, 1, (5.6, 0.55 * len(table) + 2.5))
    else:
        widths = [max(2.0, columns * 0.6), 3]
        figure, (left, right) = new_figure(
            1, 2, (10.5, 0.4 * len(table) + 1.5), width_ratios=widths
        )
    image = left.imshow(shares.to_numpy(), cmap="cividis", vmin=0, vmax=1, aspect="auto")
    left.set_xticks(range(columns), [f"{layer},\n{head}" for layer, head in shares], fontsize=8)
    left.set_yticks(range(len(titles)), titles)
    question = table.index[-1] if "[MASK]" in table.index else "the last position"
    left.set_title(f"where {question} looks: each column adds up to 1", fontsize=10)
    left.grid(False)
    if columns <= 8:  # the numbers themselves need no colour bar
        for (y, x), share in np.ndenumerate(shares.to_numpy()):
            colour = "black" if share > 0.45 else "white"
            left.text(x, y, f"{share:.2f}", ha="center", va="center", color=colour, fontsize=8)
    else:
        figure.colorbar(image, ax=left, location="bottom", label="attention", shrink=0.6)
    _gains(right, table["gain"].iloc[:, 0].dropna(), titles)
    right.set_title(f"what each did for {table['gain'].columns[0]}", fontsize=10)
    return figure


def _gains(axes: Axes, values: pd.Series, titles: Sequence[str]) -> None:
    """A bar per entry, with its name, its number and the direction in words."""
    places = range(len(values))
    raised = values >= 0
    bars = axes.barh(places, values, color=np.where(raised, "C0", "C1"))
    axes.bar_label(
        bars, [f"{value:+.2f}".replace("-", "−") for value in values], fontsize=8, padding=3
    )
    axes.axvline(0, color=theme().muted, linewidth=0.8)
    reach = max(0.01, float(values.abs().max())) * 1.3  # the numbers need room
    axes.set(xlim=(-reach, reach), ylim=(len(values) - 0.4, -0.6))
    axes.locator_params(axis="x", nbins=5)
    axes.set_yticks(places, titles[: len(values)])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(
        "← lowered its score      raised its score →\n(score with the film − without it)"
    )
