"""What is kept of a log, in which order, and how batches are gathered from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from ..errors import InputError, is_whole
from .times import sort_keys
from .vocabulary import PAD


def by_user_and_time(users: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """Return the order that sorts by user, then time; equal ones keep their order."""
    key = users.astype(np.int64)
    if times is not None and len(times):
        times = sort_keys(times)
        if times.dtype.kind == "f":
            return np.lexsort((times, users))  # its last key is the first to sort by
        times = times.astype(np.uint64 if times.dtype.kind == "u" else np.int64)
        earliest = int(times.min())  # whole numbers of Python: nothing overflows
        span = int(times.max()) - earliest + 1
        if span * (int(key.max()) + 1) >= 2**63:
            return np.lexsort((times, users))
        # One number per row, which torch sorts five times as fast. A difference below 2^63 is right
        # even where the subtraction wraps around.
        since = (times - np.array(earliest, times.dtype)).astype(np.int64)
        key = key * span + since
    return torch.from_numpy(key).argsort(stable=True).numpy()


def k_core(
    blocks: Iterable[Sequence[np.ndarray]],
    num_users: int,
    num_items: int,
    min_user_count: int,
    min_item_count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Drop rare users and items until every one that is left has enough interactions.

    Args:
        blocks: the log in pieces, users and items by number first; read again for every pass.
        num_users, num_items: how many there are.
        min_user_count, min_item_count: the fewest interactions of each.

    Returns:
        How many interactions each user and each item has left, (num_users,) and (num_items,)
        int64: 0 for those that are dropped.
    """
    users, items = np.ones(num_users, dtype=bool), np.ones(num_items, dtype=bool)
    while True:
        of_users, of_items = np.zeros(num_users, np.int64), np.zeros(num_items, np.int64)
        for user, item, *_ in blocks:
            rows = users[user] & items[item]
            of_users += np.bincount(user[rows], minlength=num_users)
            of_items += np.bincount(item[rows], minlength=num_items)
        # dropping items shortens users and the other way round, so one pass is not enough
        still = of_users >= max(1, min_user_count), of_items >= max(1, min_item_count)
        if (still[0] == users).all() and (still[1] == items).all():
            return of_users, of_items
        users, items = still


def check_counts(min_user_count: int, min_item_count: int) -> None:
    """Raise InputError if the fewest interactions of a user or item are no whole number."""
    for name, value in (("min_user_count", min_user_count), ("min_item_count", min_item_count)):
        if not is_whole(value, least=0):
            raise InputError(f"{name} must be a whole number, 1 to keep all, not {value!r}.")


def empty_log(what: str) -> InputError:
    return InputError(f"{what} is empty; at least two users are needed.")


def one_user(user: object, column: str) -> InputError:
    return InputError(
        f"there is one user only ({user!r}) in column {column!r}; at least two are needed. Is it "
        "the right column?"
    )


def nothing_left(count: int, min_user_count: int, min_item_count: int) -> InputError:
    return InputError(
        f"nothing is left of {count:,} interactions with min_user_count={min_user_count} and "
        f"min_item_count={min_item_count}; lower them."
    )


def left_padded(
    tokens: torch.Tensor, starts: torch.Tensor, stops: torch.Tensor, length: int
) -> torch.Tensor:
    """Gather the newest `length` items of flat sequences, newest last, [PAD] in front.

    Args:
        tokens: (num_interactions,) the flat tokens.
        starts, stops: (batch,) where each sequence begins and ends in them.
        length: the number of columns.

    Returns:
        (batch, length) int64 on the device of `tokens`.
    """
    if len(tokens) == 0:  # there is nothing to index
        return torch.full((len(starts), length), PAD, device=tokens.device)
    back = torch.arange(length, 0, -1, device=tokens.device)  # the newest item is 1 from the end
    index = stops[:, None] - back
    inside = index >= starts[:, None]
    return torch.where(inside, tokens[index.clamp(min=0)], PAD).long()
