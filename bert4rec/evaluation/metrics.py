"""HR@k, NDCG@k and MRR, from where each user's target came out.

Sources: Sun et al. 2019, section 4.2; McSherry and Najork 2008 (metrics under ties).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from ..errors import InputError
from ..registry import Registry

Gain = Callable[[np.ndarray], np.ndarray]  # ranks, from 1, to what a target there is worth
GAINS: Registry[Gain] = Registry("the metric")
METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR")  # what a report shows
DECIDING = "NDCG@10"  # what models are chosen by and compared by, unless another is named


@GAINS.register("HR")
def hit(rank: np.ndarray) -> np.ndarray:
    """1 at every rank that counts."""
    return np.ones(len(rank))


@GAINS.register("NDCG")
def discounted_gain(rank: np.ndarray) -> np.ndarray:
    """1 / log2(rank + 1): there is one relevant item, so the ideal gain is 1."""
    return 1 / np.log2(rank + 1)


@GAINS.register("MRR")
def reciprocal_rank(rank: np.ndarray) -> np.ndarray:
    """1 / rank."""
    return 1 / rank


def check_metric(metric: str) -> tuple[Gain, int | None]:
    """Return the gain and the cutoff that a metric names: "NDCG@10", "MRR".

    Raises:
        InputError: no gain is called so, or the cutoff is no number.
    """
    name, at, cutoff = metric.partition("@")
    known = ", ".join(f"{gain}@k" for gain in GAINS)
    if name not in GAINS or (at and not re.fullmatch(r"[1-9]\d*", cutoff)):
        raise InputError(f"the metric {metric!r} is not one of {known}, k a whole number, or MRR.")
    if not at and name in ("HR", "NDCG"):  # every target is hit at some rank
        raise InputError(f"the metric {metric!r} needs a number of ranks that count: {name}@10.")
    return GAINS[name], int(cutoff) if at else None


def values_of(metric: str, above: np.ndarray, tied: np.ndarray) -> np.ndarray:
    """Return a metric for each user, (num_users,).

    Args:
        metric: a name of GAINS, with @k where ranks beyond k are worth nothing.
        above: (num_users,) candidates with a higher score than the target.
        tied: (num_users,) candidates with the target's score, the target included.

    Returns:
        The gain at the target's rank; where candidates tie with it, the mean over all orders that
        they could come in.
    """
    gain_of, cutoff = check_metric(metric)
    rank = np.arange(1, int((above + tied).max(initial=1)) + 1)
    gain = gain_of(rank)
    if cutoff is not None:
        gain = gain * (rank <= cutoff)
    # the mean of the gains at ranks above + 1 … above + tied, as a difference of running sums
    total = np.concatenate([[0.0], np.cumsum(gain)])
    return (total[above + tied] - total[above]) / tied
