"""A walk through the stack: what a row of films becomes, step by step, with its real numbers.

Each step is a box on the page: its shape, its numbers as colours, and the class that computes it.
The page needs no kernel and no network, and where scripts do not run, it is a table of the steps.
"""

from __future__ import annotations

import base64
import html
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..model import BERT4Rec
from ..model.sublayers import TransformerEncoder
from ..recommend import Recommender

HERE = Path(__file__).parent
UP = "../"  # from notebooks/ to the repository
SAYS = {  # what happens at each step
    "token": "Each token looks up its row of the table: {size} numbers for each film, and for "
    "[MASK].",
    "position": "Each place looks up a row too. The last place is number 0, and we count back "
    "from it.",
    "both": "The two are added. Layer norm then makes all places equally loud, and gives each "
    "number the size that training found for it.",
    "norm": "Attention reads a normed copy. The vectors themselves wait beside it, unchanged.",
    "attention": "Where each place looks: queries times keys, divided by √d, softmax. A row of a "
    "head adds up to 1. Choose a place by its name.",
    "found": "The values, mixed by these weights. The heads lie side by side, and one more linear "
    "layer mixes them.",
    "added": "What attention found is added to what each place was before.",
    "again": "A normed copy again, now for feed-forward.",
    "wider": "Each place alone becomes longer. GELU lets large numbers pass, and keeps those "
    "below 0 close to it.",
    "narrow": "And back to {size} numbers: what feed-forward found.",
    "layer": "It is added to what each place was before. That is what the layer puts out.",
    "last norm": "So much was added on the way. One last norm brings all places to the same size.",
    "scores": "The vector at {last} times the vector of each film, plus a number of the film's "
    "own. The best that are not in the row:",
}


@dataclass(frozen=True)
class Step:
    """One box.

    Attributes:
        group: the part of the stack that it stands in.
        name: of the step.
        says: what happens there.
        code: the class that does it.
        numbers: (length, size), a row for each place; of attention (heads, length, length), of the
            scores (1, num_items + 2), those at the last place.
    """

    group: str
    name: str
    says: str
    code: type
    numbers: torch.Tensor


@dataclass(frozen=True)
class Walk:
    """What a notebook shows of `walk`.

    Attributes:
        names: of the places, oldest first.
        steps: in the order in which they are computed.
        films: the best by the scores: "title", "score", and "share", the softmax.
    """

    names: list[str]
    steps: list[Step]
    films: list[dict]

    def __repr__(self) -> str:
        return "\n".join(f"{step.group}, {step.name}: {shape(step)}" for step in self.steps)

    def _repr_html_(self) -> str:
        told = {
            "names": self.names,
            "films": self.films,
            "steps": [
                {
                    "group": step.group,
                    "name": step.name,
                    "says": step.says,
                    "shape": shape(step),
                    "size": step.numbers.shape[-1],
                    **packed(step.numbers if step.name != "scores" else step.numbers[:, :0]),
                }
                for step in self.steps
            ],
        }
        # no title may end the script
        data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        style = json.dumps((HERE / "live_figures" / "walk.css").read_text(encoding="utf-8"))
        script = (HERE / "live_figures" / "walk.js").read_text(encoding="utf-8")
        return (
            f'<div class="bert4rec-walk" data-lm-suppress-shortcuts="true">{table(self)}'
            f"<script>({script})({style},{data})</script></div>"
        )


def walk(recommender: Recommender, history: Sequence[object], k: int = 5) -> Walk:
    """Send a history through the network of a recommender, and show every step on the way.

    Args:
        recommender: whose network; counting has no part in it.
        history: titles or ids, oldest first.
        k: how many of the best films to name.

    Raises:
        InputError: as `Recommender.recommend`.
    """
    model, seen = recommender.model, recommender.tokens(history)
    tokens = model.question(torch.as_tensor(seen)[None, -model.history_length :].to(model.device))
    titles = ["[PAD]", *recommender.titles, "[MASK]"]  # by token
    names = [short(titles[token]) for token in tokens[0].tolist()]
    steps = list(steps_of(model, tokens, names[-1]))
    scores = steps[-1].numbers[0]
    shares = scores[1:-1].softmax(dim=0)
    left = scores.clone()
    left[[0, -1, *seen.tolist()]] = -torch.inf
    films = [
        {
            "title": titles[token],
            "score": round(scores[token].item(), 2),
            "share": round(shares[token - 1].item(), 4),
        }
        for token in left.topk(min(k, int(left.isfinite().sum()))).indices.tolist()
    ]
    return Walk(names, steps, films)


def steps_of(model: BERT4Rec, tokens: torch.Tensor, last: str) -> Iterator[Step]:
    """The steps of a forward pass.

    Args:
        tokens: (1, length).
        last: what the last place is called.
    """
    out, attention = outputs(model, tokens), model.attention(tokens)
    bert, first = model.model, model.config.norm_first
    words = {"size": model.config.hidden_size, "last": last}

    def step(group: str, name: str, says: str, code: nn.Module, numbers: torch.Tensor) -> Step:
        return Step(group, name, SAYS[says].format(**words), type(code), numbers)

    part: nn.Module = bert.embedding
    place = "model.embedding."
    yield step("In", "token embedding", "token", part, out[f"{place}token_embeddings"])
    yield step("In", "position embedding", "position", part, out[f"{place}position_embeddings"])
    yield step("In", "added, norm", "both", part, out[f"{place}layer_norm"])
    added = "added" if first else "added, norm"
    for number, encoder in enumerate(bert.transformer_encoders):
        assert isinstance(encoder, TransformerEncoder)
        group, place = f"Layer {number + 1}", f"model.transformer_encoders.{number}."
        part, joint = encoder.attention, encoder.input_sublayer
        if first:
            yield step(group, "norm", "norm", joint, out[f"{place}input_sublayer.layer_norm"])
        yield step(group, "attention", "attention", part, attention[number][0].cpu())
        yield step(group, "what it found", "found", part, out[f"{place}attention"])
        yield step(group, added, "added", joint, out[f"{place}input_sublayer"])
        part, joint = encoder.feed_forward, encoder.output_sublayer
        if first:
            yield step(group, "norm", "again", joint, out[f"{place}output_sublayer.layer_norm"])
        yield step(group, "wider, GELU", "wider", part, out[f"{place}feed_forward.activation"])
        yield step(group, "narrow again", "narrow", part, out[f"{place}feed_forward"])
        yield step(group, added, "layer", joint, out[f"{place}output_sublayer"])
    if first:
        yield step("Out", "norm", "last norm", bert, out["model.layer_norm"])
    yield step("Out", "scores", "scores", model, out["out"][-1:])


@torch.no_grad()
def outputs(model: BERT4Rec, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each module of a network puts out for tokens (1, length): (length, size), by name."""
    found: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(module: nn.Module, given: object, out: torch.Tensor) -> None:
            found[name] = out.reshape(tokens.shape[1], -1).cpu()

        return hook

    handles = [m.register_forward_hook(keep(name)) for name, m in model.named_modules()]
    training = model.training
    try:
        model.eval()(tokens)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return found


def packed(numbers: torch.Tensor) -> dict[str, object]:
    """Numbers as whole ones up to 32,767, 16 bits each, in base64, and what 1 of them is worth."""
    worth = max(numbers.abs().max().item() if numbers.numel() else 0.0, 1e-9) / 32767
    whole = (numbers / worth).round().numpy().astype("<i2")
    return {"worth": worth, "numbers": base64.b64encode(whole.tobytes()).decode()}


def shape(step: Step) -> str:
    """A step's shape as PyTorch has it, with its batch of one row."""
    return f"({', '.join(map(str, (1, *step.numbers.shape)))})"


def short(title: str) -> str:
    """A title without its year and its article."""
    return re.sub(r"(, (The|An?))? \(\d{4}\)$", "", title)


def table(walk: Walk) -> str:
    """The steps as a plain table, for where scripts do not run. The page takes its links over."""
    rows = []
    for step in walk.steps:
        last = step.numbers[..., -1, :]
        said = f"mean {last.mean():.2f}, spread {last.std(correction=0):.2f}"
        if step.name == "attention":
            most = [walk.names[place] for place in last.argmax(dim=-1).tolist()]
            said = f"each head looks most at {', '.join(most)}"
        if step.name == "scores":
            said = f"best: {walk.films[0]['title'] if walk.films else 'nothing is left'}"
        cells = (step.group, step.name, link(step.code), shape(step), html.escape(said))
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    heads = ("part", "step", "class", "shape", f"at {html.escape(walk.names[-1])}")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f"<table cellpadding=4><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def link(code: type) -> str:
    """A class's name, which leads to its file if it is one of the module's."""
    if not code.__module__.startswith("bert4rec."):
        return html.escape(code.__name__)
    path = inspect.getsourcefile(code)
    assert path is not None
    inside = Path(path).relative_to(HERE.parent.parent).as_posix()
    return f'<a href="{UP}{inside}">{code.__name__}</a>'
