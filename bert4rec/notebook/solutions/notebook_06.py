"""The exercises of notebook 6."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType

import numpy as np
import torch

from ...data import Split
from ...evaluation import Scorer, TransitionTable, choose_weight
from ...recommend import Recommender
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


@exercise(
    EXERCISES,
    1,
    "a function",
    FunctionType,
    because="The function agrees with the module's for every weight that was tried. The softmax "
    "puts the network's scores on the scale of counting's shares, and 1 / number of films keeps a "
    "count of 0 from being a veto.",
)
def mix(answer: Callable, *_: object) -> bool | str:
    generator = torch.Generator().manual_seed(0)
    for weight in (0.3, 0.6, 1.0):
        scores = 3 * torch.randn(8, generator=generator)
        share = torch.rand(8, generator=generator)
        share[2:5] = 0
        share /= share.sum()
        found = torch.as_tensor(answer(scores.clone(), share.clone(), weight))
        if found.shape != share.shape:
            shape = tuple(found.shape)
            return f"For 8 films it gives {shape}, and a score for each of the 8 is asked for."
        attention, counting = scores.log_softmax(dim=0), (share + 1 / len(share)).log()
        if not torch.allclose(found, (1 - weight) * attention + weight * counting, atol=1e-4):
            return _likely(found, scores, share, weight)
    return True


def _likely(found: torch.Tensor, scores: torch.Tensor, share: torch.Tensor, w: float) -> str:
    attention, counting = scores.log_softmax(dim=0), (share + 1 / len(share)).log()
    if not found.isfinite().all():
        return "A share of 0 gives no finite score: add 1 / number of films before the logarithm."
    slips = {
        "The weights are the wrong way round: w is counting's.": w * attention + (1 - w) * counting,
        "The network's scores are no log-probabilities yet: log_softmax.": (1 - w) * scores
        + w * counting,
        "The shares themselves are averaged here; average their logarithms.": (1 - w)
        * scores.softmax(dim=0)
        + w * share,
    }
    for said, slip in slips.items():
        if torch.allclose(found, slip, atol=1e-4):
            return said
    return (
        f"With w = {w} it gives other scores than (1 − w) log softmax(scores) + "
        "w log(share + 1 / number of films)."
    )


FAVOURITES = ["Alien", "The Terminator", "The Fifth Element", "Blade Runner"]


@exercise(
    EXERCISES,
    2,
    "a number",
    int,
    float,
    because="The cell compared two different films: without Blade Runner another one comes first. "
    "With the same film scored both times, Blade Runner raised Twelve Monkeys by 2.35, more than "
    "any of the other three.",
)
def gain(answer: float, shipped: Recommender) -> bool | str:
    right = float(shipped.explain(FAVOURITES)["gain"].iloc[FAVOURITES.index("Blade Runner"), 0])
    if abs(answer - right) < 0.006:
        return True
    if abs(answer + right) < 0.006:
        return "The sign is turned: take the score with the film less the score without it."
    rest = [title for title in FAVOURITES if title != "Blade Runner"]
    one, other = (shipped.recommend(titles, k=1).iloc[0] for titles in (FAVOURITES, rest))
    if abs(answer - (one["score"] - other["score"])) < 0.006:
        return f"That is what the cell says. It compares {one['title']} with {other['title']}."
    return 'The same film must be scored both times: `explain` does that, in "gain".'


@exercise(
    EXERCISES,
    3,
    "a number",
    float,
    because="It cannot be lower than the honest figure, since the best was taken: the weight was "
    "fitted to the luck of these very targets. What is chosen on the test is not tested.",
)
def too_good(answer: float, model: Scorer, table: TransitionTable, split: Split) -> bool | str:
    _, on_test = choose_weight(model, table, split.test)
    best = max(on_test, key=on_test.__getitem__)
    if np.isclose(answer, on_test[best], atol=6e-5):
        return True
    if np.isclose(answer, best):
        return "That is the weight; the NDCG@10 that it reaches on the test is asked for."
    _, on_validation = choose_weight(model, table, split.validation)
    if np.isclose(answer, max(on_validation.values()), atol=6e-5):
        return "That is the best NDCG@10 of the validation; here the test is asked about."
    chosen = max(on_validation, key=on_validation.__getitem__)
    if np.isclose(answer, on_test[chosen], atol=6e-5):
        return "That is the honest figure: its weight was chosen on the validation."
    return "`choose_weight` with `split.test` gives the NDCG@10 of every weight; take the best."
