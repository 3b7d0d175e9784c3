"""Build the live page: both shipped models, to be played with in a browser, in one file.

    python docs/make_live.py            into book/html/live.html; open it

The page runs by itself, from a disk and without a network: what it shows is computed in it, by the
modules in docs/live/ from the numbers that are packed here. Browsers load no modules from a disk,
so they are put into the page one after another.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
import torch

from bert4rec import Recommender
from bert4rec.evaluation.baselines import DECAY, HISTORY_LENGTH

ROOT = Path(__file__).resolve().parent.parent
LIVE = ROOT / "docs" / "live"
MARK = ROOT / "docs" / "book" / "_static" / "mark.svg"
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "book" / "html" / "live.html")
    output = parser.parse_args().output
    write(output)
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")
    return 0


def write(path: Path) -> None:
    """Write the page to a file, whose folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), encoding="utf-8")


def page() -> str:
    """The whole page, with everything that it needs in it."""
    about, numbers = content()
    mark = MARK.read_text(encoding="utf-8")
    fillings = {
        "style": (LIVE / "style.css").read_text(encoding="utf-8"),
        "script": script(MODULES),
        "about": json.dumps(about, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/"),
        "numbers": numbers,
        "mark": mark,
        "icon": base64.b64encode(mark.encode()).decode("ascii"),
        **sentences(),
    }
    text = (LIVE / "index.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda match: fillings[match[1]], text)


def script(modules: tuple[str, ...]) -> str:
    """Modules of docs/live/ as one: their imports fall away, and so does `export`."""
    texts = [(LIVE / f"{name}.js").read_text(encoding="utf-8") for name in modules]
    without = [re.sub(r"^import [^;]+;\n", "", text, flags=re.M) for text in texts]
    return "\n".join(re.sub(r"^export ", "", text, flags=re.M) for text in without)


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
            raise ValueError(f"docs/live/model.js does not know models of the shape of {folder}.")
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
    put("steps", "integer", steps)  # shares fall in a row: see docs/live/counting.js
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


def sentences() -> dict[str, str]:
    """What results/blend.json says of the models as shipped: NDCG@10 of each, and hits."""
    record = json.loads((ROOT / "results" / "blend.json").read_text(encoding="utf-8"))
    rows = {row.get("weights"): row for row in record["rows"].values()}
    bert, sasrec = (rows[folder] for folder in NETWORKS.values())
    models = bert["protocols"]["full"]["models"]
    causal = sasrec["protocols"]["full"]["models"]["network"]
    shown = {
        "mixed": models["blend"],
        "bert4rec": models["network"],
        "sasrec": causal,
        "counting": models["transitions"],
    }
    figures = {name: f"{row['NDCG@10']['mean']:.3f}"[1:] for name, row in shown.items()}
    return {
        **figures,
        "hits": f"{models['blend']['HR@10']['mean']:.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "users": f"{bert['users']:,}",
        "items": f"{bert['items']:,}",
    }


if __name__ == "__main__":
    raise SystemExit(main())
