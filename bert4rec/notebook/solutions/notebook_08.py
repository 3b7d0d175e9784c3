"""The exercises of notebook 8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import FunctionType

import numpy as np
import pandas as pd

from ...data import Holdout
from ...evaluation import ItemTransitions, evaluate
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a function",
    FunctionType,
    because="The newest items are still the newest, so what is lost is due to their order alone.",
)
def shuffled_newest(answer: Callable) -> bool | str:
    for length, k in ((30, 20), (30, 1), (30, 0), (8, 20)):
        history = np.arange(100, 100 + length)
        given = answer(history.copy(), k, np.random.default_rng(0))
        kept = max(0, length - k)
        if given is None:
            return "Nothing came back: `random.shuffle` works in place, so return your copy."
        given = np.asarray(given)
        where = f"With k={k} and {length} items"
        if len(given) != length or sorted(given) != history.tolist():
            return f"{where} the result does not hold the same items."
        if given[:kept].tolist() != history[:kept].tolist():
            return f"{where} the oldest {kept} are to stay where they are; they moved."
        if k > 1 and given.tolist() == history.tolist():
            return f"{where} nothing was shuffled."
        own = history.copy()
        answer(own, k, np.random.default_rng(0))
        if own.tolist() != history.tolist():
            return "The history itself was changed: shuffle a copy."
    return True


@exercise(
    EXERCISES,
    2,
    "an ItemTransitions",
    ItemTransitions,
    because="Only what is in `split.train` may be counted; the test's own pairs were in there.",
)
def honest_counter(answer: ItemTransitions, test: Holdout) -> bool | str:
    given, right = (
        evaluate(counter, test).models["ItemTransitions"].metric("NDCG@10")
        for counter in (answer, ItemTransitions(test.train))
    )
    if given > right + 0.01:
        return f"NDCG@10 is {given:.3f} still: it has seen the targets of the test."
    return bool(abs(given - right) < 1e-6) or (
        f"NDCG@10 is {given:.3f}; with the training part and the usual settings it is {right:.3f}."
    )


@exercise(
    EXERCISES,
    3,
    "a pair of numbers",
    tuple,
    because="Two lists of hundreds of users stand behind one small difference.",
)
def hits_of_one_alone(answer: tuple, results: str) -> bool | str:
    hits = {}
    for name, file in (("BERT4Rec", "ml-1m"), ("SASRec", "ml-1m-causal")):
        ranks = pd.read_csv(Path(results) / f"{file}-ranks.csv.gz")
        hits[name] = ranks[f"{name}, seed 0, full"] <= 10
    sasrec, bert4rec = (
        int((hits[one] & ~hits[other]).sum())
        for one, other in (("SASRec", "BERT4Rec"), ("BERT4Rec", "SASRec"))
    )
    if tuple(answer) == (bert4rec, sasrec):
        return "Right numbers, but the other way round."
    if tuple(answer) == (hits["SASRec"].sum(), hits["BERT4Rec"].sum()):
        return "These are all hits of each: leave out the users whom both have."
    return tuple(answer) == (sasrec, bert4rec) or "A hit is a rank of at most 10, of seed 0, full."
