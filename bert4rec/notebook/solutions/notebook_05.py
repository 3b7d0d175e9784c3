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
    because="The function agrees with the module's for every case that was tried, ties at the end "
    "of the list and a list of nothing but ties among them. The N of NDCG divides by the best "
    "possible gain, which is 1 here, as there is one right answer for each user.",
)
def ndcg(answer: Callable, *_: object) -> bool | str:
    cases = (
        ([0, 1, 8, 9, 10], [1, 1, 1, 1, 1], 10),
        ([2, 0, 6], [1, 1, 1], 5),
        ([1, 5, 399], [1, 1, 1], 1),
        ([4, 4], [1, 1], 5),
        ([2, 0, 6], [3, 1, 1], 10),
        ([8, 30], [4, 2], 10),
        ([0], [21], 10),
        ([0, 3], [2, 2], 1),
    )
    for higher, equal, k in cases:
        above, tied = np.array(higher), np.array(equal)
        right = values_of(f"NDCG@{k}", above, tied).mean()
        with np.errstate(all="ignore"):
            found = answer(above.copy(), tied.copy(), k)
            if np.shape(found):
                return "This gives a number for each user; the metric is their mean."
            if np.isclose(found, right):
                continue
            said = f"For above = {higher}, tied = {equal} and k = {k} it gives {found:.4f}, "
            return f"{said}not {right:.4f}. {_likely(found, above, tied, k)}".rstrip()
    return True


def _likely(found: float, above: np.ndarray, tied: np.ndarray, k: int) -> str:
    def gain(rank: np.ndarray) -> np.ndarray:
        return (rank <= k) / np.log2(rank + 1)

    ranks = above + 1  # where nothing ties
    inside = ranks <= k
    if (tied > 1).any():
        slips = {
            "That breaks every tie in favour of the target.": gain(ranks),
            "That puts the target behind all that tie with it.": gain(above + tied),
            "That is what the mean rank is worth. Take the mean of what the ranks are worth.": gain(
                above + (tied + 1) / 2
            ),
        }
    else:
        slips = {
            "Rank 1 is worth 1: the logarithm is of rank + 1.": inside / np.log2(ranks),
            "The logarithm is to base 2.": inside / np.log(ranks + 1),
            "Ranks beyond k are worth nothing.": 1 / np.log2(ranks + 1),
            "Rank k itself still counts.": (ranks < k) / np.log2(ranks + 1),
            "This is 1/rank, as MRR has it.": inside / ranks,
            "This is HR@k: a hit is worth less further down.": inside,
            "`tied` counts the target itself, so without ties it is 1.": gain(ranks + 1),
            "Users whose rank is beyond k count in the mean, with 0.": gain(ranks)
            / max(inside.mean(), 1e-9),
        }
    return next((said for said, gains in slips.items() if np.isclose(found, gains.mean())), "")


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
