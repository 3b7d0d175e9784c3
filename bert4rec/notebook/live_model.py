"""The live page: both shipped models, to be played with in a browser, in one file.

The page runs by itself, from a disk and without a network: what it shows is computed in it, by the
modules in live_page/ from the numbers that are packed here.
"""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

from ..evaluation.baselines import DECAY, HISTORY_LENGTH
from ..recommend import Recommender
from .scripts import script

LIVE = Path(__file__).parent / "live_page"
NETWORKS = {"BERT4Rec": "ml-1m", "SASRec": "ml-1m-causal"}
MODULES = (  # each uses only those before it
    "data",
    "model",
    "counting",
    "blend",
    "scorers",
    "titles",
    "elements",
    "attention",
    "finder",
    "history",
    "reasons",
    "answers",
    "app",
)
EXAMPLES = {
    "Toy user": (
        "Toy Story (1995)",
        "Lion King, The (1994)",
        "Aladdin (1992)",
        "Jurassic Park (1993)",
        "Apollo 13 (1995)",
    ),
    "Science fiction": (
        "Metropolis (1927)",
        "Alien (1979)",
        "Blade Runner (1982)",
        "Terminator, The (1984)",
        "Matrix, The (1999)",
    ),
    "Hitchcock": (
        "Rebecca (1940)",
        "Rear Window (1954)",
        "Vertigo (1958)",
        "North by Northwest (1959)",
        "Psycho (1960)",
    ),
}
# what stands around the page: in the book it is a file, in a notebook part of another page
ROUND = {
    "book": {"base": "", "more": 'in <a href="index.html" target="_top">the book</a>'},
    "notebook": {"base": '<base href="about:srcdoc">', "more": "in this series of notebooks"},
}


class LiveModel:
    """What a notebook shows of `live_model`: the page in a frame, 2.7 MB.

    Attributes:
        height: of the frame, in pixels.
    """

    def __init__(self, height: int):
        self.height = height

    def __repr__(self) -> str:
        return "The live model: it is shown where a notebook shows HTML."

    def _repr_html_(self) -> str:
        style = f"width:100%;height:{self.height}px;border:0;border-radius:10px"
        content = html.escape(page("notebook"))
        return f'<iframe title="BERT4Rec, live" style="{style}" srcdoc="{content}"></iframe>'


def live_model(height: int = 900) -> LiveModel:
    """Show both shipped models in a notebook: films in, recommendations out, and why.

    They run in the browser, so they answer at once, and no kernel is asked. It is the page that
    docs/make_live.py writes.

    Args:
        height: of the frame, in pixels.
    """
    return LiveModel(height)


def page(around: str = "book") -> str:
    """The whole page, with everything that it needs in it.

    Args:
        around: "book" for a file beside the book's, "notebook" for a frame in a notebook.
    """
    about, numbers = content()
    mark = _text("mark.svg")
    fillings = {
        "style": _text("style.css"),
        "script": script(LIVE, MODULES),
        "about": json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/"),
        "numbers": numbers,
        "mark": mark,
        "icon": base64.b64encode(mark.encode()).decode("ascii"),
        **json.loads(_text("figures.json")),
        **ROUND[around],
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fillings[match[1]], _text("index.html"))


def content() -> tuple[dict, str]:
    """What the page knows: settings, titles, the names of the packed numbers; and these, packed."""
    parts: list[tuple[str, str, int]] = []
    numbers: list[np.ndarray] = []

    def put(name: str, kind: str, units: np.ndarray) -> None:
        parts.append((name, kind, units.size))
        numbers.append(units.ravel().astype("<u2"))

    configs = {}
    for name, folder in NETWORKS.items():
        recommender = Recommender.load(folder)
        shape = recommender.model.config
        if not (shape.norm_first and shape.tie_weights and not shape.num_segments):
            raise ValueError(f"live_page/model.js does not know models of the shape of {folder}.")
        wanted = ("num_items", "hidden_size", "num_layers", "num_heads", "max_len", "causal")
        configs[name] = {field: getattr(shape, field) for field in wanted}
        for tensor, values in recommender.model.state_dict().items():
            if tensor == "out.weight":
                continue  # the item embeddings once more
            if values.ndim == 1:  # biases are large and few: half of the error would be theirs
                put(f"{name}/{tensor}", "single", values.numpy().view(np.uint16))
            else:
                put(f"{name}/{tensor}", "half", half_bits(values))
    bert = Recommender.load(NETWORKS["BERT4Rec"])
    assert bert.blend is not None
    table = bert.blend.table
    shares = half_bits(table.shares)  # of numbers that are not negative, in the numbers' order
    put("followers", "integer", table.tokens.numpy().astype(np.uint16))
    steps = np.concatenate([shares[:, :1], shares[:, :-1] - shares[:, 1:]], axis=1)
    put("steps", "integer", steps)  # shares fall in a row: see live_page/counting.js
    assert bert.catalogue.counts is not None
    put("counts", "integer", np.asarray(bert.catalogue.counts).astype(np.uint16))
    about = {
        "titles": bert.titles,
        "networks": configs,
        "counting": {
            "width": table.tokens.shape[1],
            "history_length": HISTORY_LENGTH,
            "decay": DECAY,
        },
        "weight": bert.blend.weight,
        "examples": {
            name: [bert.catalogue.token(title) for title in titles]
            for name, titles in EXAMPLES.items()
        },
        "parts": parts,
    }
    return about, packed(np.concatenate(numbers))


def half_bits(values: torch.Tensor) -> np.ndarray:
    """Numbers in half precision, as the 16 bits that they are made of.

    Raises:
        ValueError: a number is too large for it.
    """
    halves = values.half()
    if not halves.isfinite().all():
        raise ValueError("a weight is too large for half precision.")
    return halves.numpy().view(np.uint16)


def packed(numbers: np.ndarray) -> str:
    """16-bit numbers as text: all low bytes, then all high ones, deflated, in base64."""
    planes = numbers.view(np.uint8).reshape(-1, 2).T.tobytes()
    return base64.b64encode(zlib.compress(planes, 9)).decode("ascii")


def _text(name: str) -> str:
    return (LIVE / name).read_text(encoding="utf-8")
