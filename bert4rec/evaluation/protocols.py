"""Rank the held-out items of all users with some models, and report the metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd

from ..data import Holdout
from ..errors import InputError, note
from .baselines import OwnPopularity, Popularity
from .metrics import DECIDING
from .negatives import Negatives, negatives_of
from .ranks import Ranks, Scorer, rank_targets, scorer_name

REPEATED = 0.05  # share of targets that users had before, from which on it is said


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

    def difference(self, one: str, other: str, metric: str = DECIDING) -> dict[str, float]:
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


def evaluate(
    models: Scorer | Mapping[str, Scorer],
    holdout: Holdout,
    protocol: str | Negatives = "full",
    batch_size: int = 256,
    seen: str | None = None,
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
        seen: "exclude" or "include" the items of a user's history; default as the holdout says.
            With "include" a row of what each user took most often stands beside the models.
        batch_size: users at a time. Ranks depend on it by the rounding of scores alone.

    Raises:
        InputError: the protocol is not known or does not fit the users, or a model's scores are
            not (users, num_items + 2).
        FloatingPointError: a model's scores are not numbers.
    """
    if not isinstance(models, Mapping):
        models = {scorer_name(models): models}
    if seen is None and holdout.seen == "exclude" and (share := holdout.repeated()) > REPEATED:
        note(
            f"{share:.0%} of the targets stand in their users' histories: people take things again "
            "here. To leave out what was seen, all but the target, flatters every model; "
            "seen='include' (--seen include) ranks it all."
        )
    holdout = holdout if seen is None else replace(holdout, seen=seen)
    negatives = negatives_of(protocol, holdout)
    scorers = {**models}
    if holdout.seen == "include":
        scorers.setdefault("own popularity", OwnPopularity(holdout.train))
    scorers.setdefault("popularity", Popularity(holdout.train))
    left_out = {"exclude": "left out", "include": "included"}[holdout.seen]
    return Report(
        protocol=negatives.name if negatives else f"full ranking, seen items {left_out}",
        num_users=len(holdout),
        num_items=holdout.histories.num_items,
        num_short_users=holdout.num_short_users,
        split=holdout.name,
        models={
            name: rank_targets(scorer, holdout, negatives, batch_size)
            for name, scorer in scorers.items()
        },
    )
