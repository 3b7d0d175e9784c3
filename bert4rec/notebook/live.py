"""Figures that a reader moves: masks drawn anew, the rank of a target, protocols, a map of items.

Each function returns a figure that works wherever scripts run: in JupyterLab, in the book, in a
page that was exported; without a kernel and without a network. Elsewhere, as on a code host, it is
a picture. What moves is in live_figures/: frame.js, and a file or two for each figure.
"""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from ..cloze import choose_masked
from ..data import PAD
from ..errors import InputError
from ..evaluation import Ranks, Report
from . import plots
from .scripts import script
from .style import new_figure, theme

FOLDER = Path(__file__).parent / "live_figures"


@dataclass(frozen=True)
class LiveFigure:
    """A figure that moves where scripts run, and a picture elsewhere.

    Attributes:
        html: all of it: the picture, and the script that takes its place.
        picture: PNG, of twice the pixels that it is shown with.
        alt: the picture in words.
    """

    html: str
    picture: bytes
    alt: str

    def __repr__(self) -> str:
        return self.alt

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple:
        picture = base64.b64encode(self.picture).decode("ascii")
        data = {"text/html": self.html, "image/png": picture, "text/plain": self.alt}
        return data, {"image/png": {"width": shown_width(self.picture)}}


def masks(
    tokens: torch.Tensor,
    names: Mapping[int, str],
    mask_prob: float = 0.3,
    last_item_prob: float = 0.1,
    seed: int = 0,
) -> LiveFigure:
    """Masks drawn anew as two settings change, and how often each place is hidden.

    Args:
        tokens: (rows, length) item tokens, [PAD] in front; at least 2 items in each row.
        names: a title for each of the tokens.
        mask_prob, last_item_prob: where the sliders begin.
        seed: of the draws.

    Raises:
        InputError: as in `choose_masked`.
    """
    generator = torch.Generator().manual_seed(seed)
    masked = choose_masked(tokens, mask_prob, last_item_prob, generator)
    rows = tokens.tolist()
    data = {
        "rows": rows,
        "names": {token: names[token] for row in rows for token in row if token != PAD},
        "mask_prob": mask_prob,
        "last_item_prob": last_item_prob,
        "seed": seed,
    }
    alt = (
        f"Rows of films, {len(rows)} of them, some hidden behind [MASK]: mask_prob {mask_prob}, "
        f"last_item_prob {last_item_prob}."
    )
    return _live("masks", ("masks",), data, _mask_rows(tokens, masked), alt)


def rank(longest: int = 20, rank: int = 3, k: int = 10) -> LiveFigure:
    """A target that is moved up and down a list, and what its rank is worth.

    Args:
        longest: the places of the list.
        rank: where the target begins.
        k: the cutoff to begin with: 5, 10 or 20.
    """
    alt = f"What a target at each rank up to {longest} is worth to HR@{k}, NDCG@{k} and MRR."
    data = {"longest": longest, "rank": rank, "k": k}
    return _live("rank", ("metrics", "rank"), data, plots.rank_gains(longest, k), alt)


def protocols(
    ranks: Mapping[str, Mapping[str, Ranks]], metrics: Sequence[str] = ("HR@1", "HR@10", "NDCG@10")
) -> LiveFigure:
    """Two models under several protocols: which is higher, and is it a lead?

    Args:
        ranks: by protocol, and in it by model, of the same users; two models, the same each time.
        metrics: to choose from: HR@k, NDCG@k, MRR.

    Raises:
        InputError: there are more models than two, or fewer, or others under another protocol.
    """
    models = list(next(iter(ranks.values())))
    if len(models) != 2 or any(set(of) != set(models) for of in ranks.values()):
        raise InputError("two models are compared, the same two under every protocol.")
    cutoffs = [metric.partition("@")[2] for metric in metrics]
    worthless = max(map(int, cutoffs)) if all(cutoffs) else 2**31  # so many above the target
    data = {
        "models": models,
        "protocols": {
            name: _alike([of[model] for model in models], worthless) for name, of in ranks.items()
        },
        "metrics": list(metrics),
    }
    alt = f"{metrics[0]} of {' and '.join(models)}, ranked against {', '.join(ranks)}."
    reports = {
        name: Report(name, len(of[models[0]]), 0, 0, "", dict(of)) for name, of in ranks.items()
    }
    picture = plots.protocols(reports, metrics[0])
    return _live("protocols", ("metrics", "protocols"), data, picture, alt)


def _alike(models: Sequence[Ranks], worthless: int) -> list[list[int]]:
    """Above and tied of one model and of the other, and how many users have these four."""
    columns = []
    for of in models:
        far = of.above >= worthless
        columns += [np.where(far, worthless, of.above), np.where(far, 1, of.tied)]
    rows, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    return np.column_stack([rows, counts]).tolist()


def item_map(
    points: np.ndarray,
    titles: Sequence[str],
    groups: Sequence[str],
    genres: Sequence[str],
    vectors: torch.Tensor,
    nearest: int = 5,
) -> LiveFigure:
    """A map of items: names where one points, a search, genres, and the nearest vectors.

    Args:
        points: (items, 2).
        titles: each item's.
        groups: each item's, which gives it its colour and its marker; "other" is grey.
        genres: each item's, as "Comedy|War".
        vectors: (items, size); near is measured by their cosine.
        nearest: how many neighbours of an item are named.

    Raises:
        InputError: these do not belong to equally many items.
    """
    sizes = {len(points), len(titles), len(groups), len(genres), len(vectors)}
    if len(sizes) > 1:
        raise InputError(f"a map needs as many of each for its items; these are {sorted(sizes)}.")
    unit = torch.nn.functional.normalize(vectors.detach().float().cpu(), dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-2)  # nobody is its own neighbour
    names = sorted({group for group in groups if group != "other"})
    kinds = sorted({kind for text in genres for kind in text.split("|") if kind})
    low, high = points.min(axis=0), points.max(axis=0)
    places = (points - low) / (high - low)
    places[:, 1] = 1 - places[:, 1]  # pages count downwards
    data = {
        "points": np.round(places.astype(float), 3).tolist(),
        "titles": list(titles),
        "groups": [names.index(group) if group != "other" else -1 for group in groups],
        "group_names": names,
        "genres": [sum(2 ** kinds.index(k) for k in text.split("|") if k) for text in genres],
        "genre_names": kinds,
        "near": cosine.topk(nearest).indices.tolist(),
    }
    alt = f"A map of {len(titles):,} items: near means alike. Groups: {', '.join(names)}."
    firsts = {list(groups).index(name): titles[list(groups).index(name)] for name in names}
    return _live("map", ("map",), data, plots.item_map(points, groups, firsts), alt)


def _live(
    kind: str, modules: tuple[str, ...], data: Mapping, figure: Figure, alt: str
) -> LiveFigure:
    """A figure of its picture, its data and its modules; the picture is there until they run."""
    picture = _png(figure)
    style, host = ((FOLDER / f"{name}.css").read_text("utf-8") for name in ("figure", "host"))
    show = f'start("{kind}", {_json(style)}, show{kind.capitalize()});'
    source = base64.b64encode(picture).decode("ascii")
    # the last attribute: JupyterLab would take "dd", typed in a field, for "delete this cell"
    text = f"""<div class="bert4rec-live" data-figure="{kind}" data-lm-suppress-shortcuts="true">
<img width="{shown_width(picture)}" style="max-width: 100%" alt="{html.escape(alt)}" \
src="data:image/png;base64,{source}">
<p>Here it is a picture. Where scripts run, as in JupyterLab when the cell has run, it moves.</p>
<script type="application/json">{_json(data)}</script>
<style>{host}</style>
<script>(() => {{
{script(FOLDER, ("frame", *modules))}
{show}
}})();</script>
</div>"""
    return LiveFigure(text, picture, alt)


def _json(value: object) -> str:
    """As JSON that may stand in a script: nothing in it ends the script."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")


def _png(figure: Figure) -> bytes:
    """A figure in twice its pixels, sharp on any screen, and in few colours, which is small."""
    drawn, small = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=2 * figure.dpi)
    plt.close(figure)
    Image.open(drawn).convert("RGB").quantize(32).save(small, format="png", optimize=True)
    return small.getvalue()


def shown_width(picture: bytes) -> int:
    """How wide a picture of twice the pixels is shown."""
    return Image.open(io.BytesIO(picture)).width // 2


def _mask_rows(tokens: torch.Tensor, masked: torch.Tensor) -> Figure:
    """Rows of films as boxes: hidden, shown, or padding."""
    count, length = tokens.shape
    figure, axes = new_figure(size=(0.55 * length + 1.6, 0.5 * count + 0.6))
    for y, x in np.ndindex(count, length):
        kind = "padding" if tokens[y, x] == PAD else "hidden" if masked[y, x] else "item"
        box = plt.Rectangle((x, -y), 0.92, 0.86, facecolor=theme().boxes[kind], edgecolor="0.5")
        axes.add_patch(box)
        if kind == "hidden":
            axes.text(x + 0.46, 0.43 - y, "M", ha="center", va="center", fontsize=10)
    films = (tokens != PAD).sum(dim=1).tolist()
    axes.set_yticks([0.43 - y for y in range(count)], [f"{number} films" for number in films])
    axes.set(xlim=(-0.1, length), ylim=(0.9 - count, 1), xticks=[])
    axes.set_xlabel("oldest to newest; M is hidden")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure
