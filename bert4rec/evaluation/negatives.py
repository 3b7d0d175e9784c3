"""Sampled negatives: a few items to rank each user's target against, instead of all.

Source: Krichene and Rendle 2020, why they mislead.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data import PAD, Holdout
from ..errors import InputError
from ..files import write_atomically


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
        """Draw `count` different negatives for each user, without the target and the history.

        (The history stays where the holdout includes what was seen.)

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
            if holdout.seen == "exclude":
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
            OSError,
            ValueError,
            LookupError,
            EOFError,
            TypeError,
            AttributeError,
            SyntaxError,
            RuntimeError,
            MemoryError,
            OverflowError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise InputError(f"{path} does not hold saved negatives: {error}") from error
        return cls(tokens, name)


def negatives_of(protocol: str | Negatives, holdout: Holdout) -> Negatives | None:
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
