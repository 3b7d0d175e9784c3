"""The exercises of notebook 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from ...recommend import Recommender
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a table of films",
    pd.DataFrame,
    because="A history may be as short as one film; the list is then what followed it.",
)
def after_one_film(answer: pd.DataFrame, recommender: Recommender) -> bool | str:
    if len(answer) != 10:
        return f"Ten films are asked for, and this table has {len(answer)}: pass k=10."
    right = recommender.recommend(["Toy Story (1995)"], k=10)
    return answer.equals(right) or "Give `recommend` a list with one title, Toy Story (1995)."


@exercise(
    EXERCISES,
    2,
    "a title",
    str,
    because="Taking this film out lowers the score of the first recommendation most.",
)
def helped_most(answer: str, recommender: Recommender, toy: Sequence[str]) -> bool | str:
    table = recommender.explain(toy)
    gain = table["gain"].iloc[:, 0]
    if answer == gain.idxmax():
        return True
    if answer == table["gain"].columns[0]:
        return "That is the film that is recommended; which film of the history helped it?"
    if answer == gain.idxmin():
        return "That one lowered the score most. The longest bar to the right is asked for."
    if answer not in gain.index:
        return f"{answer!r} is not in the history; write the title as it stands in the table."
    return "Look for the longest bar to the right, the largest value in the column gain."


@exercise(
    EXERCISES,
    3,
    "a function",
    Callable,
    because="Two sets of titles, and what is in both: SASRec and BERT4Rec agree on half of the "
    "toy user's list.",
)
def in_common(
    answer: Callable[..., int], one: Recommender, other: Recommender, toy: Sequence[str]
) -> bool | str:
    for history, k in ((toy, 10), (toy, 5), (toy[:1], 10), (["Alien", "The Terminator"], 20)):
        lists = [set(which.recommend(history, k=k)["title"]) for which in (one, other)]
        found, right = answer(one, other, history, k), len(lists[0] & lists[1])
        if found is None:
            return "The function gives nothing back: end it with `return`."
        if found == len(lists[0] | lists[1]):
            return f"{found} films are in either list; how many are in both?"
        if found != right:
            return (
                f"For k={k} and a history of {len(history)} it gives {found}, and {right} titles "
                "are in both lists."
            )
        if answer(one, one, history, k) != k:
            return "A recommender has all k films in common with itself; use `one` and `other`."
    return True
