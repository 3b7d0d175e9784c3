"""The exercises of notebook 5."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import FunctionType

import numpy as np

from ...data import Holdout
from ...evaluation import Popularity, Report, Scorer, rank_targets
from ...evaluation.metrics import values_of
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}
A_FUNCTION = "a function"


@exercise(
    EXERCISES,
    1,
    A_FUNCTION,
    FunctionType,
    because="The function agrees with the module's for every list of ranks that was tried. There "
    "is one right answer for each user, so the best possible gain, which the N of NDCG divides by, "
    "is 1.",
)
def ndcg(answer: Callable, *_: object) -> bool | str:
    for tried, k in (([1, 2, 9, 10, 11], 10), ([3, 1, 7], 5), ([2, 6, 400], 1), ([5, 5], 5)):
        ranks = np.array(tried)
        right = values_of(f"NDCG@{k}", ranks - 1, np.ones_like(ranks)).mean()
        with np.errstate(all="ignore"):
            found = answer(ranks, k)
            if np.shape(found):
                return "This gives a number for each user; the metric is their mean."
            if np.isclose(found, right):
                continue
            said = (
                f"For the ranks {ranks.tolist()} and k = {k} it gives {found:.4f}, not {right:.4f}."
            )
            return f"{said} {_likely(found, ranks, k)}".rstrip()
    return True


def _likely(found: float, ranks: np.ndarray, k: int) -> str:
    inside = ranks <= k
    slips = {
        "Rank 1 is worth 1: the logarithm is of rank + 1.": inside / np.log2(ranks),
        "The logarithm is to base 2.": inside / np.log(ranks + 1),
        "Ranks beyond k are worth nothing.": 1 / np.log2(ranks + 1),
        "Rank k itself still counts.": (ranks < k) / np.log2(ranks + 1),
        "This is 1/rank, as MRR has it.": inside / ranks,
        "This is HR@k: a hit is worth less further down.": inside,
    }
    for said, gains in slips.items():
        if np.isclose(found, gains.mean()):
            return said
    if inside.any() and np.isclose(found, (1 / np.log2(ranks[inside] + 1)).mean()):
        return "Users whose rank is beyond k count in the mean, with 0."
    return ""


@exercise(
    EXERCISES,
    2,
    A_FUNCTION,
    FunctionType,
    because="The films already seen were never taken out of the candidates. They score high, and "
    "pushed the target down. Whether seen films count is part of the protocol.",
)
def mended(answer: Callable, counting: Scorer, test: Holdout) -> bool | str:
    for name, scorer in (("counting", counting), ("popularity", Popularity(test.train))):
        right = rank_targets(scorer, test).metric("HR@10")
        found = answer(scorer, test)
        if abs(found - right) > 0.002:  # ties may fall either way
            said = f"For {name} it gives {found:.4f}, and the report says {right:.4f}."
            return f"{said} Which films should not be among the candidates?"
    return True


@exercise(
    EXERCISES,
    3,
    "a pair of numbers, (difference, standard error),",
    tuple,
    list,
    np.ndarray,
    because="Compare the two: unless the difference is larger than about two of its standard "
    "errors, it may well be luck.",
)
def hr_gap(answer: tuple, report: Report) -> bool | str:
    if len(answer) != 2:
        return "Two numbers are asked for: the difference, and its standard error."
    right = report.difference("BERT4Rec", "item transitions", "HR@10")
    difference, error = (float(number) for number in answer)
    if not np.isclose(difference, right["difference"], atol=1e-6):
        of_ndcg = report.difference("BERT4Rec", "item transitions")["difference"]
        if np.isclose(difference, of_ndcg, atol=1e-6):
            return "That is the difference in NDCG@10; HR@10 is asked for."
        if np.isclose(difference, -right["difference"], atol=1e-6):
            return "The sign is turned: take the network less counting."
        return "The difference is the mean of the network's per_user(\"HR@10\") less counting's."
    if np.isclose(error, right["standard_error"], rtol=2e-3):
        return True
    one, other = (report.models[n] for n in ("BERT4Rec", "item transitions"))
    apart = math.hypot(one.standard_error("HR@10"), other.standard_error("HR@10"))
    if np.isclose(error, apart, rtol=2e-3):
        return (
            "That error takes the two for measured on different users. Take the difference for "
            "each user first, then the standard error of those."
        )
    if np.isclose(error, right["standard_error"] * len(one) ** 0.5, rtol=2e-3):
        return "That is the standard deviation; divide it by the square root of the users."
    return "The difference is right; the error is that of the mean of the differences per user."
