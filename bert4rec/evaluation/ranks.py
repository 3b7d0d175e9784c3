"""Where each user's target came out among the candidates.

Everything comes from one thing, kept per user: how many candidates scored above the target, and
how many scored the same. Metrics, confidence intervals and comparisons are computed from it, so
they depend on no batch size and no order of users.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from .. import distributed
from ..data import PAD, Holdout, Sequences
from ..devices import keep_freed_memory
from ..errors import InputError
from .metrics import METRICS, values_of
from .negatives import Negatives

SCORES = 2**24  # scores at a time, 64 MB: large catalogues are ranked for fewer users at a time


class Scorer(Protocol):
    """What can be evaluated: BERT4Rec, a baseline, or a model of your own."""

    @property
    def history_length(self) -> int:
        """How many of a history's newest items `score` looks at."""

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) tokens, [PAD] in front, to (batch, num_items + 2) scores by token.

        What it says of [PAD] and [MASK] does not matter: they are never ranked or recommended.
        """


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where each user's target came out.

    Attributes:
        above: (num_users,) candidates with a higher score than the target.
        tied: (num_users,) candidates with the target's score, the target included: 1 without ties.
        coverage: share of the catalogue that is in the top 10 of at least one user; None where
            only sampled negatives were ranked.
    """

    above: np.ndarray
    tied: np.ndarray
    coverage: float | None = None

    def __len__(self) -> int:
        return len(self.above)

    @property
    def expected(self) -> np.ndarray:
        """(num_users,) the mean rank over all orders of the ties; 1 is best."""
        return self.above + (self.tied + 1) / 2

    def per_user(self, metric: str) -> np.ndarray:
        """(num_users,) a metric for each user, as "HR@10", "NDCG@5" or "MRR"; see metrics.py.

        Raises:
            InputError: the metric is not one of these.
        """
        return values_of(metric, self.above, self.tied)

    def metric(self, metric: str) -> float:
        """The mean of `per_user`: every user weighs the same."""
        return float(self.per_user(metric).mean())

    def standard_error(self, metric: str) -> float:
        """The standard error of the mean over users; ± 1.96 of it is a 95% interval."""
        return float(self.per_user(metric).std(ddof=1) / len(self) ** 0.5)

    def metrics(self) -> dict[str, float]:
        """HR@1, HR@5, HR@10, NDCG@5, NDCG@10, MRR and, for full ranking, coverage@10."""
        values = {name: self.metric(name) for name in METRICS}
        if self.coverage is not None:
            values["coverage@10"] = self.coverage
        return values


def rank_targets(
    scorer: Scorer, holdout: Holdout, negatives: Negatives | None = None, batch_size: int = 256
) -> Ranks:
    """Rank each target against all unseen items, or against the given negatives.

    Under torchrun this is a joint work: every process must call it, each ranks a share of the
    users, and all get the ranks of all. A process that does not call it leaves the others waiting.
    """
    above = np.zeros(len(holdout), dtype=np.int64)
    tied = np.zeros(len(holdout), dtype=np.int64)
    recommended = np.zeros(holdout.histories.num_items + 2, dtype=bool)
    batches = by_length(holdout.histories, batch_size)
    # of several processes each takes every n-th batch: the batches are those of a single one
    for users in batches[distributed.rank() :: distributed.count()]:
        scores = score_histories(scorer, holdout.histories, users)
        targets = torch.from_numpy(holdout.targets[users]).long().to(scores.device)[:, None]
        if negatives is None:
            candidates = candidates_of(scores, holdout, users)
            above[users], tied[users] = counted(scores, candidates, targets)
            scores[~candidates] = -torch.inf
            best = scores.topk(min(10, holdout.histories.num_items), dim=1).indices
            best = best[candidates.gather(1, best)]  # where there are fewer candidates, others come
            recommended[best.cpu().numpy()] = True
        else:
            drawn = torch.from_numpy(negatives.tokens[users]).long().to(scores.device)
            others, target_scores = scores.gather(1, drawn), scores.gather(1, targets)
            above[users] = (others > target_scores).sum(dim=1).cpu().numpy()
            tied[users] = 1 + (others == target_scores).sum(dim=1).cpu().numpy()
    above, tied, recommended = (
        distributed.total(torch.from_numpy(values).long()).numpy()
        for values in (above, tied, recommended)
    )
    coverage = None if negatives else float((recommended > 0).sum() / holdout.histories.num_items)
    return Ranks(above, tied, coverage)


def counted(
    scores: torch.Tensor, candidates: torch.Tensor, targets: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """How many candidates score above each target, and how many the same, itself included."""
    own = scores.gather(1, targets)
    above = (candidates & (scores > own)).sum(dim=1)
    return above.cpu().numpy(), (candidates & (scores == own)).sum(dim=1).cpu().numpy()


def candidates_of(scores: torch.Tensor, holdout: Holdout, users: np.ndarray) -> torch.Tensor:
    """(users, num_items + 2) bool: what each target is ranked against, itself included."""
    candidates = allowed(scores, holdout.histories, users, holdout.seen)
    targets = torch.from_numpy(holdout.targets[users]).long()[:, None]
    return candidates.scatter_(1, targets.to(scores.device), True)  # also if it was seen before


def by_length(histories: Sequences, batch_size: int) -> list[np.ndarray]:
    """Group users, by position, into batches of histories of similar length: little is padding.

    A batch is smaller than `batch_size` where the scores of so many would not fit. Where there are
    several, each can use the memory of the one before (see `keep_freed_memory`).
    """
    order = np.argsort(histories.lengths, kind="stable")
    size = max(1, min(batch_size, SCORES // (histories.num_items + 2)))
    if len(order) > size:
        keep_freed_memory()
    return [order[begin : begin + size] for begin in range(0, len(order), size)]


def score_histories(scorer: Scorer, histories: Sequences, users: np.ndarray) -> torch.Tensor:
    """Score the next item of some users, by position: (users, num_items + 2).

    The scores are a copy that the caller may change; [PAD] and [MASK] have -inf, whatever the
    scorer says of them.

    Raises:
        InputError: the scorer gives something else than a score for every token and user.
        FloatingPointError: an item's score is not a number.
    """
    longest = int(histories.lengths[users].max())
    length = max(1, min(longest, getattr(scorer, "history_length", longest)))
    given = scorer.score(histories.newest(users, length))
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    expected = (len(users), histories.num_items + 2)
    if not isinstance(given, torch.Tensor) or given.shape != expected or given.is_complex():
        what = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise InputError(
            f"{scorer_name(scorer)}.score gave {what} for {expected[0]} histories of "
            f"{expected[1] - 2:,} items; expected a tensor of numbers, {expected}: a score "
            "for each token, [PAD] and [MASK] included."
        )
    # whole numbers as float64, which float32 would round into ties
    kind = given.dtype if given.is_floating_point() else torch.float64
    scores = given.detach().to(kind, copy=True, memory_format=torch.contiguous_format)
    scores[:, [PAD, histories.vocabulary.mask_token]] = -torch.inf
    if scores.isnan().any():
        raise FloatingPointError(f"{scorer_name(scorer)} gave scores that are not numbers.")
    return scores


def allowed(
    scores: torch.Tensor, histories: Sequences, users: np.ndarray, seen: str = "exclude"
) -> torch.Tensor:
    """(users, num_items + 2) bool: the items, without those of a history if `seen` says so."""
    candidates = torch.ones_like(scores, dtype=torch.bool)
    candidates[:, [PAD, histories.vocabulary.mask_token]] = False
    if seen == "exclude":
        own = histories.select(users)
        rows = torch.from_numpy(np.repeat(np.arange(len(users)), own.lengths))
        candidates[rows, torch.from_numpy(own.tokens).long()] = False
    return candidates


def scorer_name(scorer: object) -> str:
    name = getattr(scorer, "name", None)
    return name if isinstance(name, str) else type(scorer).__name__
