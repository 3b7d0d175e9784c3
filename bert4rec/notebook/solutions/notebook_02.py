"""The exercises of notebook 2."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

from ...data import IGNORE
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a number",
    float,
    int,
    because="Each place pays -log p for itself, 1.386 and 0.693, and the loss is their mean.",
)
def loss_of_two(answer: float) -> bool | str:
    if abs(answer - 1.5 * math.log(2)) < 0.002:
        return True
    for wrong, why in (
        (
            -math.log(3 / 8),
            "That is -log of the mean probability; take the mean of the two -log p.",
        ),
        (3 * math.log(2), "That is the sum; the loss is the mean over the places."),
        (1.5, "That is with the logarithm to base 2; the loss takes the natural one, math.log."),
        (-1.5 * math.log(2), "The sign: log p is negative, and the loss is -log p."),
        (1.5 / math.log2(10), "That is with the logarithm to base 10; take math.log."),
    ):
        if abs(answer - wrong) < 0.002:
            return why
    return "Work out -log(1/4) and -log(1/2), then take their mean."


@exercise(
    EXERCISES,
    2,
    "a function",
    Callable,
    because="It agrees with F.cross_entropy on four batches, one of them with scores of 1,000.",
)
def cloze_loss(answer: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> bool | str:
    generator = torch.Generator().manual_seed(0)
    for batch, length, films, scale in ((1, 3, 4, 1), (2, 5, 7, 2), (3, 4, 6, 3), (2, 4, 5, 1000)):
        scores = scale * torch.randn(batch, length, films, generator=generator)
        labels = torch.randint(films, (batch, length), generator=generator)
        labels[:, 0] = labels[0, 1] = IGNORE
        right = float(functional.cross_entropy(scores.flatten(0, 1), labels.flatten()))
        given = answer(scores.clone(), labels.clone())
        if given is None:
            return "The function gives nothing back: end it with `return`."
        if not isinstance(given, torch.Tensor | float | int):
            return f"One number is asked for; this gives a {type(given).__name__}."
        if isinstance(given, torch.Tensor) and given.numel() != 1:
            return f"One number is asked for; this gives {tuple(given.shape)}. Take the mean."
        found = float(given)
        if math.isclose(found, right, rel_tol=1e-4, abs_tol=1e-5):
            continue
        if not math.isfinite(found):
            return (
                f"Right for small scores, but with scores of {scale} it gives {found}: e to that "
                "power overflows. Subtract the largest score first, or use logsumexp."
                if scale == 1000
                else f"It gives {found}. Are places without a question left out?"
            )
        asked = int((labels != IGNORE).sum())
        if math.isclose(found, right * asked, rel_tol=1e-4):
            return "That is the sum over the places; the loss is their mean."
        if math.isclose(found, right * asked / labels.numel(), rel_tol=1e-4):
            return "It divides by all places: take the mean over those that are asked."
        if math.isclose(found, -right, rel_tol=1e-4):
            return "The sign: log p is negative, and the loss is -log p."
        return (
            f"For scores of shape {tuple(scores.shape)} it gives {found:.4f}, F.cross_entropy "
            f"{right:.4f}. First take the places where labels != IGNORE."
        )
    return True


@exercise(
    EXERCISES,
    3,
    "a tensor of labels",
    torch.Tensor,
    because='Film 0, Toy Story, shared its number with "not asked". No film has the number -100.',
)
def mended(answer: torch.Tensor, from_0: torch.Tensor, hidden: torch.Tensor) -> bool | str:
    if answer.shape != from_0.shape:
        return f"Labels of shape {tuple(from_0.shape)} are asked for, not {tuple(answer.shape)}."
    if torch.equal(answer, torch.where(hidden, from_0, IGNORE)):
        return True
    if torch.equal(answer, torch.where(hidden, from_0, 0)):
        return "That is as it was: the label of Toy Story is 0, and 0 means not asked."
    if torch.equal(answer, from_0):
        return "Now films that can be seen are asked for as well, and the network learns to copy."
    if (answer[hidden] != from_0[hidden]).any():
        return "At the hidden places the labels should be the films' numbers, from_0."
    if (answer[~hidden] >= 0).any():
        return "Where nothing is hidden, put a label that no film can have."
    return "That would be safe, but torch's default for places that are not asked is -100."
