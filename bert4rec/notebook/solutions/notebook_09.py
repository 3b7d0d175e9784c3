"""The exercises of notebook 9."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType

import torch

from ...model import sampled_softmax
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a function",
    FunctionType,
    because="It agrees with the module, also where the label is drawn, or an item twice.",
)
def log_q_correction(answer: Callable) -> bool | str:
    random = torch.Generator().manual_seed(0)
    for draws in ([1, 2], [3, 1, 1, 4], [0, 2, 0, 5, 1]):
        z, drawn = torch.randn(6, generator=random), torch.tensor(draws)
        q = torch.rand(6, generator=random).softmax(dim=0)
        same = (drawn == 0)[None]
        right = sampled_softmax(z[[0]], z[drawn][None], same, q[drawn].log())
        given = float(answer(z, 0, drawn, q))
        if math.isclose(given, float(right), abs_tol=1e-4):
            continue
        others = z[drawn][drawn != 0]
        rest = q[drawn][drawn != 0]
        sums = {
            "The correction is missing: subtract log(k q) from each drawn score.": others.exp(),
            "The number of drawn items is missing: divide by k q, not by q alone.": (
                others.exp() / rest
            ),
            "Divide exp(score) by k q: in the logit the logarithm is subtracted, not added.": (
                others.exp() * rest * len(drawn)
            ),
        }
        for said, parts in sums.items():
            if math.isclose(given, float((z[0].exp() + parts.sum()).log() - z[0]), abs_tol=1e-4):
                return said
        if 0 in draws:
            return (
                "It is right until the label is drawn: leave it out of the drawn ones then, since "
                "its own exp(score) is in the sum already."
            )
        return f"For one test the loss should be {float(right):.3f}, and this gives {given:.3f}."
    return True


@exercise(
    EXERCISES,
    2,
    "a number",
    float,
    int,
    because="At t = .75 the “yes” still weighs a quarter, about a thousand times the share of the "
    "items that was drawn.",
)
def learnt_probability(answer: float, learnt: Callable[[float], float]) -> bool | str:
    if math.isclose(answer, learnt(0), abs_tol=0.005):
        return "That is what plain binary cross-entropy learns, t = 0."
    if math.isclose(answer, 0.25 * learnt(0) + 0.75 * learnt(1), abs_tol=0.005):
        return "You might expect three quarters of the way. But compute it: call `learnt`."
    return math.isclose(answer, learnt(0.75), abs_tol=0.005) or "Call `learnt` with t = .75."


@exercise(
    EXERCISES,
    3,
    "a function",
    FunctionType,
    because="Every answer weighs the same, wherever it was computed.",
)
def mean_of_all(answer: Callable) -> bool | str:
    for sizes in ([3, 1], [2, 5, 1], [4]):
        parts = [torch.arange(1.0, size + 1) ** place for place, size in enumerate(sizes, start=1)]
        right = float(torch.cat(parts).mean())
        given = float(answer(parts))
        if math.isclose(given, right, rel_tol=1e-5):
            continue
        if math.isclose(given, float(torch.stack([p.mean() for p in parts]).mean()), rel_tol=1e-5):
            return "That is still the mean of the means: count the answers of each process."
        if math.isclose(given, float(torch.cat(parts).sum()), rel_tol=1e-5):
            return "That is the sum of all losses: divide by the number of answers."
        return f"With {sizes} answers the mean is {right:.3f}, and this gives {given:.3f}."
    return True
