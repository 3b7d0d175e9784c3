"""The exercises of notebook 0."""

from __future__ import annotations

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
