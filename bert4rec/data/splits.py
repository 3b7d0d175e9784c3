"""What is held out of a log: each user's last items, or what came after a moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, is_whole

if TYPE_CHECKING:
    from .sequences import Sequences


@dataclass(frozen=True, eq=False)
class Holdout:
    """Users to evaluate: what is known of them, the item that comes next, and the training data.

    Attributes:
        name: "validation" or "test".
        histories: the items of each user before the target.
        targets: (num_users,) int32, the token to be ranked.
        train: what the model may learn from (popularity is counted there).
        num_short_users: users with too few items to be split; they are in training only.
        seen: "exclude" if items of a user's history are no candidates, or "include".
    """

    name: str
    histories: Sequences
    targets: np.ndarray
    train: Sequences
    num_short_users: int = 0
    seen: str = "exclude"

    def __post_init__(self):
        check_seen(self.seen)

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, count: int, seed: int = 0) -> Holdout:
        """Return some of the users, drawn at random: enough to choose epochs by, of millions."""
        users = np.random.default_rng(seed).permutation(len(self))[:count]
        users.sort()
        return replace(self, histories=self.histories.select(users), targets=self.targets[users])

    def repeated(self) -> float:
        """The share of users whose target stands in their history already."""
        found = 0
        for users in np.array_split(np.arange(len(self)), len(self) // 10_000 + 1):
            part = self.histories.select(users)
            again = part.tokens == np.repeat(self.targets[users], part.lengths)
            found += len(np.unique(np.repeat(users, part.lengths)[again]))
        return found / max(len(self), 1)

    def __repr__(self) -> str:
        return f"Holdout({self.name!r}, {len(self):,} users, {self.histories.num_items:,} items)"


@dataclass(frozen=True, eq=False)
class Split:
    """Training sequences and two sets of users to evaluate.

    Attributes:
        train, validation, test: see `Sequences` and `Holdout`.
        name: the rule that made it.
        validation_users: how many users are validated, where the rule left some out.
    """

    train: Sequences
    validation: Holdout
    test: Holdout
    name: str
    validation_users: int | None = None

    def with_seen(self, seen: str) -> Split:
        """The same, with the items of users' histories as candidates ("include") or not."""
        validation, test = (replace(part, seen=seen) for part in (self.validation, self.test))
        return replace(self, validation=validation, test=test)

    def __repr__(self) -> str:
        return (
            f"Split({self.name}: train {self.train.num_interactions:,} interactions of "
            f"{self.train.num_users:,} users, validation {len(self.validation):,} users, "
            f"test {len(self.test):,} users)"
        )


def check_seen(seen: str) -> None:
    """Raise InputError if it says neither "exclude" nor "include"."""
    if seen not in ("exclude", "include"):
        raise InputError(f"seen must be 'exclude' or 'include', not {seen!r}.")


def leave_one_out(sequences: Sequences, validation_users: int | None = None) -> Split:
    """What `Sequences.leave_one_out` does."""
    if validation_users is not None and not is_whole(validation_users, least=1):
        raise InputError(
            "validation_users must be a whole number from 1 on, or None for all of them, not "
            f"{validation_users!r}."
        )
    users = np.flatnonzero(sequences.lengths >= 3)
    if len(users) == 0:
        raise InputError(
            f"no user has the 3 interactions that leave-one-out needs; the longest of "
            f"{sequences.num_users:,} histories has {sequences.lengths.max()}."
        )
    known = sequences.lengths.copy()
    known[users] -= 1
    last = sequences.offsets[:-1] + known  # place of each user's last item
    validated, name, drawn = users, "leave-one-out", None
    if validation_users is not None and validation_users < len(users):
        validated = np.sort(np.random.default_rng(0).permutation(users)[:validation_users])
        drawn = len(validated)
        name += f", {drawn:,} users validated"
    short = sequences.num_users - len(users)
    # what is on disk stays there
    part = sequences.view if isinstance(sequences.tokens, np.memmap) else sequences.select
    test = part(users, known[users])
    known[validated] -= 1
    train = part(np.arange(sequences.num_users), known)
    validation = part(validated, known[validated])
    before = sequences.tokens[last[validated] - 1]
    return Split(
        train=train,
        validation=Holdout("validation", validation, before, train, short),
        test=Holdout("test", test, sequences.tokens[last[users]], train, short),
        name=name,
        validation_users=drawn,
    )


def split_by_time(sequences: Sequences, validation_share: float, test_share: float) -> Split:
    """What `Sequences.split_by_time` does."""
    if sequences.times is None:
        raise InputError("a split by time needs times; name the log's column with time='…'.")
    for name, share in (("validation_share", validation_share), ("test_share", test_share)):
        if not 0 < share < 1:
            raise InputError(f"{name} must lie between 0 and 1, not {share}.")
    if validation_share + test_share >= 1:
        raise InputError(
            f"validation_share + test_share must be below 1, not {validation_share + test_share}."
        )
    starts, stops = sequences.offsets[:-1], sequences.offsets[:-1] + sequences.lengths
    # a part of a split does not own all the times that lie in its array
    ordered = np.sort(np.concatenate([block.times for block in sequences.blocks()]))
    count = len(ordered)
    moments = [
        ordered[min(count - 1, int(count * before))]
        for before in (1 - test_share - validation_share, 1 - test_share)
    ]
    # how many of each user's items lie before each moment
    train_lengths, known_lengths = (
        before[stops] - before[starts]
        for before in (np.append(0, np.cumsum(sequences.times < moment)) for moment in moments)
    )
    train_users = np.flatnonzero(train_lengths > 0)
    train = sequences.select(train_users, train_lengths[train_users])

    def holdout(name: str, known: np.ndarray, until: np.ndarray) -> Holdout:
        users = np.flatnonzero((known > 0) & (known < until))
        if len(users) == 0:
            raise InputError(f"no user has a history before and an item in the {name} period.")
        targets = sequences.tokens[sequences.offsets[:-1][users] + known[users]]
        return Holdout(name, sequences.select(users, known[users]), targets, train)

    return Split(
        train=train,
        validation=holdout("validation", train_lengths, known_lengths),
        test=holdout("test", known_lengths, sequences.lengths),
        name="by time",
    )
