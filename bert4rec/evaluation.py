"""Ranks, HR@k, NDCG@k and MRR, and the protocols under which they are measured.

Everything comes from one thing, kept per user: how many candidates scored above the target, and
how many scored the same. Metrics, confidence intervals and comparisons are computed from it, so
they depend on no batch size and no order of users.

Sources: Sun et al. 2019, section 4.2 (metrics); Krichene and Rendle 2020 (why sampled negatives
mislead); McSherry and Najork 2008 (metrics under ties).
"""

from __future__ import annotations

import io
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from . import distributed
from .baselines import Popularity
from .errors import InputError
from .files import write_atomically
from .sequences import Holdout, Sequences, left_padded, tensor_of
from .vocabulary import PAD

SCORES = 2**24  # scores at a time, 64 MB: large catalogues are ranked for fewer users at a time
METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10", "MRR")


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
        """(num_users,) a metric for each user: "HR@k", "NDCG@k" or "MRR".

        A target at rank r counts 1 (HR), 1 / log2(r + 1) (NDCG, which has one relevant item and
        so an ideal of 1), both 0 if r > k, and 1 / r (MRR). Where candidates tie with the target,
        the value is the mean over all orders they could come in.

        Raises:
            InputError: the metric is not one of these.
        """
        parts = re.fullmatch(r"(HR|NDCG)@([1-9]\d*)|MRR", metric)
        if not parts:
            raise InputError(f"the metric {metric!r} is not HR@k, NDCG@k or MRR.")
        name, cutoff = parts.groups()
        rank = np.arange(1, int((self.above + self.tied).max(initial=1)) + 1)
        if name == "HR":
            gain = np.ones(len(rank))
        else:
            gain = 1 / np.log2(rank + 1) if name == "NDCG" else 1 / rank
        if cutoff:
            gain = gain * (rank <= int(cutoff))
        # The mean of the gains at ranks above + 1 … above + tied, as a difference of running sums.
        total = np.concatenate([[0.0], np.cumsum(gain)])
        return (total[self.above + self.tied] - total[self.above]) / self.tied

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


@dataclass(frozen=True, eq=False)
class Report:
    """Ranks of several models on the same users, with what one must know to read them.

    Attributes:
        protocol: what the target was ranked against.
        num_users, num_items: users ranked, and the catalogue.
        num_short_users: users that were not ranked because their history is too short to split.
        split: which part was held out.
        models: ranks by model; popularity is always among them.
    """

    protocol: str
    num_users: int
    num_items: int
    num_short_users: int
    split: str
    models: dict[str, Ranks]

    def table(self) -> pd.DataFrame:
        """A row per model, a column per metric."""
        return pd.DataFrame({name: ranks.metrics() for name, ranks in self.models.items()}).T

    def difference(self, one: str, other: str, metric: str = "NDCG@10") -> dict[str, float]:
        """Compare two models on the same users: a paired test, much sharper than two error bars.

        Args:
            one, other: names of models in the report.
            metric: see `Ranks.per_user`.

        Returns:
            difference: the mean of one minus other; standard_error: of that mean;
            p: how likely a mean at least as far from 0 would be if the two were equally good
            (two-sided; the mean of many users is normally distributed).

        Raises:
            InputError: there is no such model.
        """
        for name in (one, other):
            if name not in self.models:
                raise InputError(
                    f"no model is called {name!r}; the report has {', '.join(self.models)}."
                )
        gap = self.models[one].per_user(metric) - self.models[other].per_user(metric)
        error = float(gap.std(ddof=1) / len(gap) ** 0.5)
        distance = abs(gap.mean()) / error if error else math.inf
        return {
            "difference": float(gap.mean()),
            "standard_error": error,
            "p": math.erfc(distance / 2**0.5) if gap.any() else 1.0,
        }

    def to_dict(self) -> dict:
        """The report as plain numbers, for JSON."""
        return {
            "protocol": self.protocol,
            "split": self.split,
            "num_users": self.num_users,
            "num_items": self.num_items,
            "num_short_users": self.num_short_users,
            "models": {name: ranks.metrics() for name, ranks in self.models.items()},
        }

    def __str__(self) -> str:
        head = f"{self.split}, {self.protocol}; {self.num_users:,} users, {self.num_items:,} items"
        if self.num_short_users:
            head += f"; {self.num_short_users:,} users too short to be ranked"
        return f"{head}\n{self.table().to_string(float_format='{:.4f}'.format)}"


@dataclass(frozen=True, eq=False)
class Negatives:
    """A fixed set of items to rank each user's target against.

    Attributes:
        tokens: (num_users, count) int32, items that the user has not seen, in the holdout's order.
        name: how they were drawn, for the report.
    """

    tokens: np.ndarray
    name: str = "given negatives"

    @classmethod
    def sample(
        cls, holdout: Holdout, by: str = "uniform", count: int = 100, seed: int = 0
    ) -> Negatives:
        """Draw `count` different negatives for each user, none of the history, nor the target.

        Args:
            holdout: the users.
            by: "uniform", or "popular" for draws in proportion to the training counts.
            count: negatives for each user.
            seed: the same seed gives the same negatives on every machine.

        Raises:
            InputError: a user has fewer than `count` items left to draw from.
        """
        if by not in ("uniform", "popular"):
            raise InputError(f"negatives are drawn 'uniform' or 'popular', not {by!r}.")
        counts = holdout.train.item_counts().astype(float)
        weights = counts if by == "popular" else np.ones(len(counts))
        weights[[PAD, holdout.train.vocabulary.mask_token]] = 0
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        generator = np.random.default_rng(seed)
        tokens = np.empty((len(holdout), count), dtype=np.int32)
        for user in range(len(holdout)):
            # Gumbel noise on log weights: the largest are a weighted draw without replacement.
            keys = log_weights + generator.gumbel(size=len(log_weights))
            keys[holdout.histories[user]] = -np.inf
            keys[holdout.targets[user]] = -np.inf
            available = int(np.isfinite(keys).sum())
            if available < count:
                raise InputError(
                    f"user {holdout.histories.users[user]!r} has {available} unseen items to draw "
                    f"{count} {by} negatives from; ask for fewer."
                )
            tokens[user] = np.argpartition(-keys, count - 1)[:count]
        return cls(tokens, f"{count} {by} negatives (seed {seed})")

    def save(self, path: str | Path) -> None:
        """Write the negatives to an .npz file that others can load."""
        content = io.BytesIO()
        np.savez_compressed(content, tokens=self.tokens, name=np.array(self.name))
        write_atomically(Path(path), content.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> Negatives:
        """Read what `save` wrote. No code in the file is run.

        Raises:
            InputError: the file is absent, damaged or something else.
        """
        try:
            with np.load(path, allow_pickle=False) as content:
                tokens, name = content["tokens"], str(content["name"])
            if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
                raise ValueError(f"tokens of shape {tokens.shape} and type {tokens.dtype}")
        except (
            OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, SyntaxError,
            RuntimeError, MemoryError, OverflowError, zipfile.BadZipFile, zlib.error,
        ) as error:  # fmt: skip
            raise InputError(f"{path} does not hold saved negatives: {error}") from error
        return cls(tokens, name)


def evaluate(
    models: Scorer | Mapping[str, Scorer],
    holdout: Holdout,
    protocol: str | Negatives = "full",
    batch_size: int = 256,
) -> Report:
    """Rank each user's target and report the metrics, with a popularity row beside them.

    Args:
        models: a model, or several by name. A single one is called by its `name`, or else by its
            class. Under torchrun every process must call this: each ranks a share of the users,
            and all get the whole report.
        holdout: the users and their targets, as `split.test`.
        protocol: "full" ranks the target against every item that the user has not seen.
            "uniform-100" and "popular-100" rank it against 100 negatives drawn with seed 0; a
            `Negatives` against those.
        batch_size: users at a time. It changes no result.

    Raises:
        InputError: the protocol is not known or does not fit the users, or a model's scores are
            not (users, num_items + 2).
        FloatingPointError: a model's scores are not numbers.
    """
    if not isinstance(models, Mapping):
        models = {_name(models): models}
    negatives = _negatives(protocol, holdout)
    scorers = {**models}
    scorers.setdefault("popularity", Popularity(holdout.train))
    return Report(
        protocol=negatives.name if negatives else "full ranking, seen items left out",
        num_users=len(holdout),
        num_items=holdout.histories.num_items,
        num_short_users=holdout.num_short_users,
        split=holdout.name,
        models={
            name: rank_targets(scorer, holdout, negatives, batch_size)
            for name, scorer in scorers.items()
        },
    )


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
        target_scores = scores.gather(1, targets)
        if negatives is None:
            candidates = unseen(scores, holdout.histories, users)
            candidates.scatter_(1, targets, True)  # a target seen before is a candidate still
            above[users] = (candidates & (scores > target_scores)).sum(dim=1).cpu().numpy()
            tied[users] = (candidates & (scores == target_scores)).sum(dim=1).cpu().numpy()
            scores[~candidates] = -torch.inf
            best = scores.topk(min(10, holdout.histories.num_items), dim=1).indices
            best = best[candidates.gather(1, best)]  # where there are fewer candidates, others come
            recommended[best.cpu().numpy()] = True
        else:
            drawn = torch.from_numpy(negatives.tokens[users]).long().to(scores.device)
            others = scores.gather(1, drawn)
            above[users] = (others > target_scores).sum(dim=1).cpu().numpy()
            tied[users] = 1 + (others == target_scores).sum(dim=1).cpu().numpy()
    above, tied, recommended = (
        distributed.total(torch.from_numpy(values).long()).numpy()
        for values in (above, tied, recommended)
    )
    coverage = None if negatives else float((recommended > 0).sum() / holdout.histories.num_items)
    return Ranks(above, tied, coverage)


def by_length(histories: Sequences, batch_size: int) -> list[np.ndarray]:
    """Group users, by position, into batches of histories of similar length: little is padding.

    A batch is smaller than `batch_size` where the scores of so many would not fit.
    """
    order = np.argsort(histories.lengths, kind="stable")
    size = max(1, min(batch_size, SCORES // (histories.num_items + 2)))
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
    starts = histories.offsets[:-1][users]
    tokens = left_padded(
        tensor_of(histories.tokens),
        torch.from_numpy(starts),
        torch.from_numpy(starts + histories.lengths[users]),
        length,
    )
    given = scorer.score(tokens)
    if isinstance(given, np.ndarray):
        given = torch.from_numpy(given)
    expected = (len(users), histories.num_items + 2)
    if not isinstance(given, torch.Tensor) or given.shape != expected or given.is_complex():
        what = tuple(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise InputError(
            f"{_name(scorer)}.score gave {what} for {expected[0]} histories of {expected[1] - 2:,} "
            f"items; expected a tensor of numbers, {expected}: a score for each token, [PAD] and "
            "[MASK] included."
        )
    # whole numbers as float64, which float32 would round into ties
    kind = given.dtype if given.is_floating_point() else torch.float64
    scores = given.detach().to(kind, copy=True, memory_format=torch.contiguous_format)
    scores[:, [PAD, histories.vocabulary.mask_token]] = -torch.inf
    if scores.isnan().any():
        raise FloatingPointError(f"{_name(scorer)} gave scores that are not numbers.")
    return scores


def unseen(scores: torch.Tensor, histories: Sequences, users: np.ndarray) -> torch.Tensor:
    """(users, num_items + 2) bool: the items that are not in a user's history."""
    candidates = torch.ones_like(scores, dtype=torch.bool)
    candidates[:, [PAD, histories.vocabulary.mask_token]] = False
    seen = histories.select(users)
    rows = torch.from_numpy(np.repeat(np.arange(len(users)), seen.lengths))
    candidates[rows, torch.from_numpy(seen.tokens).long()] = False
    return candidates


def _name(scorer: object) -> str:
    name = getattr(scorer, "name", None)
    return name if isinstance(name, str) else type(scorer).__name__


def _negatives(protocol: str | Negatives, holdout: Holdout) -> Negatives | None:
    if isinstance(protocol, Negatives):
        if len(protocol.tokens) != len(holdout):
            raise InputError(
                f"the negatives are for {len(protocol.tokens):,} users, the holdout has "
                f"{len(holdout):,}."
            )
        items = holdout.histories.num_items
        if (
            protocol.tokens.size
            and not 1 <= protocol.tokens.min() <= protocol.tokens.max() <= items
        ):
            raise InputError(
                f"the negatives hold tokens that are no items; those are 1 … {items:,}."
            )
        return protocol
    if protocol == "full":
        return None
    kind, _, count = protocol.partition("-")
    if kind not in ("uniform", "popular") or not count.isdigit() or int(count) < 1:
        raise InputError(
            f"the protocol {protocol!r} is not known; use 'full', 'uniform-100' or 'popular-100'."
        )
    return Negatives.sample(holdout, kind, int(count))
