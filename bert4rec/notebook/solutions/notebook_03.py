"""The exercises of notebook 3."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

import torch
import torch.nn.functional as F

from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a number",
    int,
    float,
    because="Four linear layers (query, key, value, output), each with 64 × 64 weights and 64 "
    "biases. The number of heads plays no part: the heads share the 64 numbers among them.",
)
def parameters_of_attention(answer: float) -> bool | str:
    size = 64
    one = size * size + size
    hints: dict[float, str] = {
        4 * size * size: "These are the weights alone. Each linear layer has a bias for each of "
        "its 64 outputs as well.",
        3 * one: "This is query, key and value. What puts the heads' results together again?",
        3 * size * size: "Query, key and value have biases too, and there is a fourth layer.",
        one: "This is one linear layer. How many does `Attention.__init__` make?",
        8 * one: "This is twice too many: two heads do not need twice the layers, they share them.",
    }
    return answer == 4 * one or hints.get(
        answer, "Count the linear layers in `Attention.__init__`; each has weights and biases."
    )


@exercise(
    EXERCISES,
    2,
    "a function of the length",
    FunctionType,
    because="Row i is the position that looks, column j the one looked at, and j may be seen if it "
    "does not come after i. Added to what padding hides, this is all that tells SASRec's network "
    "from BERT4Rec's.",
)
def causal_mask(answer: Callable[[int], torch.Tensor]) -> bool | str:
    for length in (5, 1, 2, 20):
        mask, right = answer(length), torch.ones(length, length, dtype=torch.bool).tril()
        if not isinstance(mask, torch.Tensor):
            return f"The function should return a tensor; it returns a {type(mask).__name__}."
        if mask.shape != right.shape:
            return (
                f"For length {length} the mask is {tuple(mask.shape)}; it should be "
                f"{tuple(right.shape)}, a row for each position that looks."
            )
        if mask.dtype != torch.bool:
            return f"The mask should hold True and False; its dtype is {mask.dtype}."
        if not torch.equal(mask, right):
            return _off(mask, right)
    return True


def _off(mask: torch.Tensor, right: torch.Tensor) -> str:
    if len(mask) > 1 and torch.equal(mask, right.T):
        return "Rows and columns are swapped: here the first film sees everything after it."
    if torch.equal(mask, right.tril(-1)):
        return "A position may see itself too; here the first film sees nothing at all."
    if torch.equal(mask, ~right):
        return "It is upside down: True should stand where a position may look."
    if mask.all():
        return "Everything is visible, the future included."
    return "Position i may look at position j if j is not later than i: compare the two numbers."


@exercise(
    EXERCISES,
    3,
    "a function of queries, keys and values",
    FunctionType,
    because="The softmax must run along the keys, the last axis: then each position's weights add "
    "up to 1. Along the queries the shapes fit as well, but each film hands out a total of 1, and "
    "a position that nobody serves gets next to nothing.",
)
def attention_repaired(answer: Callable[..., torch.Tensor]) -> bool | str:
    generator = torch.Generator().manual_seed(0)
    for length, size in ((3, 2), (6, 4), (1, 3)):
        q, k, v = torch.randn(3, length, size, generator=generator)
        result, scores = answer(q, k, v), q @ k.T / size**0.5
        right = F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        if not isinstance(result, torch.Tensor) or result.shape != right.shape:
            return f"The result should be a tensor of the shape of v, {tuple(v.shape)}."
        if torch.allclose(result, right, atol=1e-5):
            continue
        likely = (
            (scores.softmax(dim=0) @ v, "This is the cell as it was: its rows do not add up to 1."),
            (
                (q @ k.T).softmax(dim=-1) @ v,
                "The rows add up to 1 now, but the division by the root of d has gone.",
            ),
            (scores @ v, "There is no softmax any more."),
        )
        for wrong, hint in likely:
            if torch.allclose(result, wrong, atol=1e-5):
                return hint
        return "It differs from torch's attention. Look at what the weights of one row add up to."
    return True
