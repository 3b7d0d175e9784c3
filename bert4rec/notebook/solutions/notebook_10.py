"""The exercises of notebook 10."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

import torch

from ...data import IGNORE, PAD
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


def windows(mask: int) -> torch.Tensor:
    """(600, 12) windows with 2 to 12 films and padding in front."""
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, mask, (600, 12), generator=generator)
    lengths = torch.randint(2, 13, (600, 1), generator=generator)
    return tokens.masked_fill(torch.arange(12) < 12 - lengths, PAD)


@exercise(
    EXERCISES,
    1,
    "a function",
    FunctionType,
    because="[MASK] and a label stand in the same places, and each row has something to answer and "
    "something to read.",
)
def hides(answer: Callable, mask: int) -> bool | str:
    tokens = windows(mask)
    given = tokens.clone()
    found = answer(given)
    if not (isinstance(found, tuple) and len(found) == 2):
        return "Give back two tensors: the inputs and the labels."
    inputs, labels = found
    if not torch.equal(given, tokens):
        return "Your function changes the tokens that it is given. Work on a copy of them."
    if inputs.shape != tokens.shape or labels.shape != tokens.shape:
        return "Inputs and labels have the shape of the tokens."
    hidden, items = inputs == mask, tokens != PAD
    if (hidden & ~items).any():
        return "Padding is hidden too, so the model would be asked for films that are not there."
    if not torch.equal(inputs[~hidden], tokens[~hidden]):
        return "The films that are not hidden must stay as they were."
    if (labels[~hidden] != IGNORE).any():
        return f"Where nothing is hidden the label is {IGNORE}: nothing is asked there."
    if not torch.equal(labels[hidden], tokens[hidden]):
        return "Where a film is hidden the label is that film."
    if not hidden.any(dim=1).all():
        return "In some rows nothing is hidden, so there is nothing to learn from them."
    if not (items & ~hidden).any(dim=1).all():
        return "In some rows everything is hidden, so there is nothing to tell the answers from."
    share = float(hidden.sum() / items.sum())
    right = 0.2 < share < 0.5
    return right or f"About 30% of the films should be hidden; here it is {share:.0%}."


@exercise(
    EXERCISES,
    2,
    "a function",
    FunctionType,
    because="Every place sees itself and the films before it, and no padding. A place of padding "
    "sees itself alone, so that its softmax has something to divide by.",
)
def is_causal(answer: Callable) -> bool | str:
    tokens = windows(100)
    visible = answer(tokens)
    if not isinstance(visible, torch.Tensor) or visible.dtype != torch.bool:
        return "Give back a tensor of True and False."
    if visible.shape != (600, 1, 12, 12):
        return (
            f"For tokens of (600, 12) the mask is (600, 1, 12, 12), and yours is "
            f"{tuple(visible.shape)}."
        )
    films = (tokens != PAD)[:, None, :, None]  # the rows where a film is asked
    place = torch.arange(12)
    past = place[:, None] >= place
    right = (tokens != PAD)[:, None, None] & past
    if torch.equal(visible & films, right.mT & films):
        return "Rows and columns are mixed up: here each place sees what comes after it."
    if (visible & ~past & films).any():
        return "Some places see films that come after them."
    if (visible & films & (tokens == PAD)[:, None, None]).any():
        return "Some films look at padding."
    if not torch.equal(visible & films, right & films):
        return "Each film may see itself and all films before it. Some of these are missing."
    alone = "Places of padding see nothing at all, and the softmax over nothing is NaN."
    return bool(visible.any(dim=-1).all()) or alone


@exercise(
    EXERCISES,
    3,
    "a function",
    FunctionType,
    because="The newest films say most about the next one, and the cut kept the oldest.",
)
def asks_for_the_next(answer: Callable, right: Callable, histories: list) -> bool | str:
    for history in histories:
        before = list(history)
        found = answer(history)
        if history != before:
            return "Your function changes the history that it is given."
        if not isinstance(found, list):
            return "Give back a list of tokens, as the function above does."
        if set(found) & set(history):
            return "Some of these films are in the history already."
        if found != right(history):
            return "Not the films that come next. Which films of a long history does the model see?"
        if len(answer(history, 3)) != 3:
            return "Asked for 3 films it gives another number of them."
    return True
