"""A vocabulary, every user's items in order of time, and the splits into training and test.

Everything is stored flat: one array holds the item tokens of all users one after another, another
says where each user begins. There is no Python object per user, so 33 million ratings take a few
hundred MB and a batch is gathered by indexing.

Tokens: 0 is [PAD], 1 … num_items are items, num_items + 1 is [MASK].
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..errors import InputError, note
from ..files import make_folder, write_atomically
from .interactions import as_frame, find_columns, note_unused_times
from .readers import read_interactions
from .sorting import (
    by_user_and_time,
    check_counts,
    empty_log,
    k_core,
    left_padded,
    nothing_left,
    one_user,
)
from .splits import Split, leave_one_out, split_by_time
from .times import time_values
from .values import id_codes
from .vocabulary import Vocabulary, read_ids, write_ids

BLOCK = 10_000_000  # items of a log on disk that are looked at together


@dataclass(frozen=True, eq=False)
class Sequences:
    """Each user's items in order of time, stored flat.

    Attributes:
        tokens: (num_interactions,) int32, the item tokens of user 0, then of user 1, …
        offsets: (num_users + 1,) int64; user i owns `tokens[offsets[i]:offsets[i + 1]]`, or
            `tokens[offsets[i]:ends[i]]` where there are ends.
        users: (num_users,) the users' ids.
        vocabulary: the items and their tokens.
        times: (num_interactions,) when each interaction happened, numbers or datetime64 (UTC), or
            None if that is not known.
        ends: (num_users,) where each user's items end, if not where the next user's begin: a split
            of a log that stays on disk shares the tokens of the whole.
    """

    tokens: np.ndarray
    offsets: np.ndarray
    users: np.ndarray
    vocabulary: Vocabulary
    times: np.ndarray | None = field(default=None, repr=False)
    ends: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def from_interactions(
        cls,
        interactions: pd.DataFrame,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        min_user_count: int = 1,
        min_item_count: int = 1,
        vocabulary: Vocabulary | None = None,
        time_format: str | None = None,
    ) -> Sequences:
        """Build sequences from a log with a row per interaction.

        Rows are sorted by user and time with a stable sort: interactions of a user at the same
        time keep the order of the file. (Sorting ties by item id would leak an order that no user
        made.) Ratings and other columns are ignored: that a user chose an item is what counts.

        Args:
            interactions: the log: a DataFrame, a table of polars or Arrow, or a dict of columns.
            user, item, time: its columns. Names in common use (userId, movieId, timestamp, …) are
                found. Without a time column the order of the rows is the order of time.
            min_user_count, min_item_count: drop users and items with fewer interactions, again and
                again until both hold. 1 keeps all.
            vocabulary: use these items and their tokens, and drop interactions with any others
                (with a warning). Default: the items of the log, sorted.
            time_format: how dates are written in a column of texts, if not in ISO 8601, in the
                codes of Python's strptime: "%d.%m.%Y".

        Raises:
            InputError: the log is empty, a column is missing, an id or time is missing, ids mix
                types, there is one user only, or nothing is left after filtering.
        """
        interactions = as_frame(interactions)
        check_counts(min_user_count, min_item_count)
        user, item, time = columns = find_columns(interactions, user, item, time)
        note_unused_times(interactions, columns)
        if len(interactions) == 0:
            raise empty_log("the log of interactions")
        user_codes, user_ids = id_codes(interactions[user], user)
        known = None if vocabulary is None else vocabulary.items
        item_codes, item_ids = id_codes(interactions[item], item, known)
        if len(user_ids) == 1:
            raise one_user(user_ids[0], user)
        times = None if time is None else time_values(interactions[time], time, time_format)

        keep = item_codes >= 0
        if vocabulary is not None and not keep.any():
            raise InputError(
                f"none of the log's items is in the vocabulary: the log has "
                f"{interactions[item].tolist()[0]!r}, the vocabulary "
                f"{vocabulary.items.tolist()[0]!r}. Are they "
                "of the same data and type?"
            )
        if not keep.all():
            note(
                f"{(~keep).sum():,} of {len(keep):,} interactions are with items that the "
                "vocabulary lacks, and are left out."
            )
        counts, item_counts = k_core(
            [(user_codes[keep], item_codes[keep])],
            len(user_ids),
            len(item_ids),
            min_user_count,
            min_item_count,
        )
        if not counts.any():
            raise nothing_left(len(keep), min_user_count, min_item_count)
        keep &= (counts > 0)[user_codes] & (item_counts > 0)[item_codes]
        user_codes, item_codes = user_codes[keep], item_codes[keep]
        times = None if times is None else times[keep]

        order = by_user_and_time(user_codes, times)
        if vocabulary is None:
            kept = item_counts > 0
            item_codes = (kept.cumsum() - 1)[item_codes]
            vocabulary = Vocabulary(item_ids[kept])
        return cls(
            tokens=(item_codes[order] + 1).astype(np.int32),
            offsets=np.concatenate([[0], np.cumsum(counts[counts > 0])]).astype(np.int64),
            users=np.asarray(user_ids[counts > 0]),
            vocabulary=vocabulary,
            times=None if times is None else times[order],
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        separator: str | None = None,
        encoding: str | None = None,
        columns: Sequence[str] | None = None,
        **options: Any,
    ) -> Sequences:
        """Build sequences from a file, as `read_interactions` and `from_interactions` do."""
        frame = read_interactions(
            path,
            user=options.get("user"),
            item=options.get("item"),
            separator=separator,
            encoding=encoding,
            columns=columns,
        )
        return cls.from_interactions(frame, **options)

    def save(self, folder: str | Path) -> None:
        """Write the arrays into a folder, from which `open` maps them into memory.

        Raises:
            InputError: the folder cannot be written to, or the ids are no texts or numbers.
        """
        folder = Path(folder)
        make_folder(folder)
        whole = self if self.ends is None else self.select(np.arange(self.num_users))
        write_ids(folder / "items.csv", whole.vocabulary.items)
        write_ids(folder / "users.csv", pd.Index(whole.users))
        arrays = {"tokens": whole.tokens, "offsets": whole.offsets, "times": whole.times}
        for name, array in arrays.items():
            if array is not None:
                content = io.BytesIO()
                np.save(content, array, allow_pickle=False)
                write_atomically(folder / f"{name}.npy", content.getvalue())

    @classmethod
    def open(cls, folder: str | Path) -> Sequences:
        """Open a folder of `save` or `build_sequences`. Items stay on disk until they are used.

        Raises:
            InputError: a file is missing or damaged.
        """
        folder = Path(folder)
        try:
            tokens = np.load(folder / "tokens.npy", mmap_mode="r")
            offsets = np.load(folder / "offsets.npy")
            times = folder / "times.npy"
            mapped = np.load(times, mmap_mode="r") if times.exists() else None
            if tokens.dtype != np.int32 or offsets[-1] != len(tokens):
                raise ValueError("the arrays do not fit together")
        except (OSError, ValueError, EOFError, LookupError, SyntaxError) as error:
            raise InputError(f"{folder} does not hold saved sequences: {error}") from error
        users, items = (read_ids(folder / f"{name}.csv") for name in ("users", "items"))
        if len(users) != len(offsets) - 1:
            raise InputError(
                f"{folder} does not hold saved sequences: users.csv has {len(users):,} users, "
                f"offsets.npy {len(offsets) - 1:,}. Build them again."
            )
        return cls(tokens, offsets, users.to_numpy(), Vocabulary(items), mapped)

    @property
    def num_users(self) -> int:
        return len(self.users)

    @property
    def num_items(self) -> int:
        return self.vocabulary.num_items

    @property
    def num_interactions(self) -> int:
        return len(self.tokens) if self.ends is None else int(self.lengths.sum())

    @property
    def lengths(self) -> np.ndarray:
        """(num_users,) how many items each user has."""
        return (self.offsets[1:] if self.ends is None else self.ends) - self.offsets[:-1]

    def __len__(self) -> int:
        return self.num_users

    def __getitem__(self, index: int) -> np.ndarray:
        """Return the item tokens of one user, by position, oldest first."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"user {index} of {len(self)}")
        index %= len(self)
        return self.tokens[self.offsets[index] :][: self.lengths[index]]

    def __repr__(self) -> str:
        return (
            f"Sequences({self.num_users:,} users, {self.num_items:,} items, "
            f"{self.num_interactions:,} interactions)"
        )

    def item_counts(self) -> np.ndarray:
        """(num_items + 2,) how often each token occurs; [PAD] and [MASK] have 0."""
        counts = np.zeros(self.num_items + 2, dtype=np.int64)
        for block in self.blocks():
            counts += np.bincount(block.tokens, minlength=len(counts))
        return counts

    def blocks(self) -> Iterator[Sequences]:
        """Yield the users in groups of at most some ten million items, in memory, flat."""
        if self.ends is None and self.num_interactions <= BLOCK:
            yield self
            return
        edges = np.searchsorted(self.offsets, np.arange(BLOCK, self.offsets[-1], BLOCK))
        for users in np.split(np.arange(self.num_users), np.unique(edges)):
            if len(users):
                yield self.select(users)

    def digest(self) -> str:
        """The SHA-256 of users, items and their order: equal data has an equal digest."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block.tokens.tobytes())
        digest.update(np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64).tobytes())
        for ids in (self.users, self.vocabulary.items):
            digest.update("\n".join(map(str, ids)).encode())
        return digest.hexdigest()

    def select(self, users: np.ndarray, lengths: np.ndarray | None = None) -> Sequences:
        """Return some users (by position), each with the first `lengths` of their items."""
        starts = self.offsets[:-1][users]
        lengths = self.lengths[users] if lengths is None else lengths
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        # the place of every kept item: where its user starts, plus how far into the user it is
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Sequences(
            self.tokens[index],
            offsets,
            self.users[users],
            self.vocabulary,
            None if self.times is None else self.times[index],
        )

    def newest(self, users: np.ndarray, length: int) -> torch.Tensor:
        """(users, length) int64: the newest items of some users, [PAD] in front."""
        starts = self.offsets[:-1][users]
        stops = torch.from_numpy(starts + self.lengths[users])
        return left_padded(tensor_of(self.tokens), torch.from_numpy(starts), stops, length)

    def view(self, users: np.ndarray, lengths: np.ndarray) -> Sequences:
        """The same as `select`, over the same tokens; `users` must be in ascending order."""
        starts = self.offsets[:-1][users]
        return replace(
            self,
            offsets=np.append(starts, starts[-1] + lengths[-1]),
            users=self.users[users],
            ends=starts + lengths,
        )

    def leave_one_out(self, validation_users: int | None = None) -> Split:
        """Hold out each user's last item for the test and the one before it for validation.

        The test history includes the validation item, as it would be known by then; training sees
        neither. Users with fewer than 3 items cannot be split: they stay in training and are
        counted in the report (`Holdout.num_short_users`).

        Args:
            validation_users: validate on so many users, drawn at random, for the same log always
                the same; of the others only the last item is held out. On logs of short histories
                that is much more to learn from, and published figures often have it so. Default:
                validate on all.

        What it leaks: a user's last item may be years older than another user's training items, so
        the model learns from what was the future at that time. Compare models by it, and use
        `split_by_time` to estimate what a deployed model would reach.

        Raises:
            InputError: no user has 3 items, or validation_users is no whole number from 1 on.
        """
        return leave_one_out(self, validation_users)

    def split_by_time(self, validation_share: float = 0.1, test_share: float = 0.1) -> Split:
        """Cut the log at two moments, the same for all users, as a deployed model would meet it.

        Training holds what happened before the first moment. For each user who has a history, the
        first item after the first moment is the validation target, and the first item after the
        second moment the test target, ranked from all that the user did before.

        Args:
            validation_share, test_share: the shares of all interactions that fall between the two
                moments and after the second.

        Raises:
            InputError: there are no times, the shares are not in (0, 1), or no user is left.
        """
        return split_by_time(self, validation_share, test_share)


def tensor_of(tokens: np.ndarray) -> torch.Tensor:
    """A tensor over the same memory or file, which nobody will write to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a mapped file is read-only
        return torch.from_numpy(tokens)
