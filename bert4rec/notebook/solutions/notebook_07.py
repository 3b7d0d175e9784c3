"""The exercises of notebook 7."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from ...data import Holdout
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a function",
    Callable,
    because="It needs no training, no other household and no count, and it is a rival that any "
    "model of a grocer's log must beat.",
)
def last_bought_first(answer: Callable) -> bool | str:
    for history, k in (([5, 3, 5, 8, 3], 2), ([1, 2, 3, 4], 3), ([7, 7, 7], 5), ([2, 9, 2], 2)):
        right = list(dict.fromkeys(reversed(history)))[:k]
        found = answer(list(history), k)
        if found is None:
            return "The function gives nothing back: end it with `return`."
        found = [int(token) for token in found]
        if found == right:
            continue
        said = f"Of {history} with k={k} it gives {found}, and {right} is asked for. "
        if len(set(found)) < len(found):
            return said + "Something stands there twice: a list names each thing once."
        if found == list(dict.fromkeys(history))[:k]:
            return said + "That is oldest first."
        if len(found) > k:
            return said + "That is more than k."
        return said + "Go through the history backwards, and keep what you have not kept yet."
    return True


@exercise(
    EXERCISES,
    2,
    "a function",
    Callable,
    because="Only the same thing at the same second is said twice. The same thing a week later is "
    "news, and the sort by item gave each basket an order that no shopper made.",
)
def tidied(answer: Callable, user: str, item: str, time: str) -> bool | str:
    rows = [
        ("a", "milk", 2),
        ("a", "eggs", 2),
        ("b", "tea", 1),
        ("a", "milk", 2),
        ("b", "rice", 3),
        ("b", "bread", 3),
        ("a", "milk", 5),
    ]
    log = pd.DataFrame(rows, columns=[user, item, time])
    found = answer(log.copy())
    if found is None:
        return "The function gives nothing back: end it with `return`."
    if not isinstance(found, pd.DataFrame):
        return f"It gives a {type(found).__name__}; a table is asked for."
    left = [tuple(row) for row in found[[user, item, time]].itertuples(index=False)]
    if left.count(("a", "milk", 5)) == 0:
        return "A household that bought milk at 2 and again at 5 has only one of them left."
    if left.count(("a", "milk", 2)) != 1:
        return "Milk that stands twice in one basket should be left once."
    if set(left) != set(rows):
        return f"Purchases are lost: of {len(set(rows))} different ones {len(set(left))} are left."
    for basket in (["milk", "eggs"], ["rice", "bread"]):
        if [row[1] for row in left if row[1] in basket and row[2] in (2, 3)] != basket:
            return (
                f"The basket {basket} comes back in another order. Sort by time alone, or not at "
                "all; and a sort that keeps ties needs kind='stable'."
            )
    return True


@exercise(
    EXERCISES,
    3,
    "a number between 0 and 1",
    float,
    because="What the network cannot see it cannot bring back. Own popularity looks at everything.",
)
def within_reach(answer: float, test: Holdout, max_len: int) -> bool | str:
    known = [test.histories[user] for user in range(len(test))]
    visible = [t in h[-max_len:] for t, h in zip(test.targets, known, strict=True)]
    anywhere = [t in h for t, h in zip(test.targets, known, strict=True)]
    share, repeats = sum(visible) / len(visible), sum(anywhere) / len(anywhere)
    if abs(answer - share) < 0.001:
        return True
    if abs(answer - repeats) < 0.001:
        return "That is the share of repeats in the whole history. Look at its newest part only."
    if abs(answer - share / repeats) < 0.001:
        return "That is a share of the repeats. The share of all households is asked for."
    return f"Look for each target in the newest {max_len} items of its history: history[-max_len:]."
