"""Popularity, item transitions, item-kNN: what a model must beat, scored by the same evaluation.

A scorer is anything with `history_length` (how many of the newest items it looks at) and
`score(histories) -> scores`, as BERT4Rec has.
"""

from __future__ import annotations

import numpy as np
import torch

from ..data import PAD, Sequences
from ..data.neighbours import near_counts, some_users
from ..errors import InputError

WINDOW, HISTORY_LENGTH, DECAY = 10, 20, 0.7  # of item transitions, alone and in a blend


class Popularity:
    """Scores every item by how often it occurs in training: the same list for everybody."""

    history_length = 1

    def __init__(self, train: Sequences):
        counts = torch.from_numpy(train.item_counts()).float()
        counts[[PAD, train.vocabulary.mask_token]] = -torch.inf
        self.counts = counts

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) histories to (batch, num_items + 2) scores."""
        return self.counts.repeat(len(histories), 1)


class OwnPopularity:
    """Scores an item by how often it stands in the history, then by popularity: what people take
    again.
    """

    history_length = 2**31  # all of it

    def __init__(self, train: Sequences):
        counts = torch.from_numpy(train.item_counts()).double()
        self.popularity = counts / (counts.sum() + 1)  # below 1: it only breaks ties

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) histories to (batch, num_items + 2) scores."""
        ones = torch.ones(histories.shape, dtype=torch.float64)
        return self.popularity.repeat(len(histories), 1).scatter_add_(1, histories.cpu(), ones)


class ItemTransitions:
    """Scores an item by how often it followed the items of the history.

    Counts, for each pair of items, how often the second came within `window` steps after the
    first, weighted 1 / distance, and divides by the sum of the first item's counts: an estimate of
    the probability of the second after the first. A history's score is the sum of these over its
    newest items, each weighted by `decay` once more for every step back in time. With window=1
    and history_length=1 it is the first-order Markov chain.

    Args:
        train: the training sequences.
        window: the largest distance counted.
        history_length: how many of the newest items of a history count.
        decay: in (0, 1], the weight of one more step back.
        back: in [0, 1], how much an item that came before counts, beside 1 for one that came
            after: above 0 where the order is partly chance, as in logs with many rows of a second.
    """

    def __init__(
        self,
        train: Sequences,
        window: int = WINDOW,
        history_length: int = HISTORY_LENGTH,
        decay: float = DECAY,
        back: float = 0.0,
    ):
        if window < 1 or history_length < 1 or not 0 < decay <= 1 or not 0 <= back <= 1:
            raise InputError(
                "expected window >= 1, history_length >= 1, decay in (0, 1] and back in [0, 1]; "
                f"got {window}, {history_length}, {decay} and {back}."
            )
        self.history_length, self.decay = history_length, decay
        self.transitions = near_counts(train, window, back)
        earlier, count = self.transitions.col_indices(), self.transitions.values()
        # without the division popular items would outvote the others in a history
        size = self.transitions.shape[0]
        count /= torch.zeros(size).index_add_(0, earlier, count)[earlier]

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) histories to (batch, num_items + 2) scores."""
        histories = histories[:, -self.history_length :].cpu()
        size = self.transitions.shape[0]
        steps_back = torch.arange(histories.shape[1] - 1, -1, -1)
        weights = (self.decay**steps_back).expand(histories.shape)
        weights = weights.masked_fill(histories == PAD, 0.0)
        profile = torch.zeros(len(histories), size).scatter_add_(1, histories.long(), weights)
        scores = (self.transitions @ profile.T).T.contiguous()
        scores[:, [PAD, size - 1]] = -torch.inf
        return scores


class ItemKNN:
    """Scores an item by how alike its users are to those of the history's items, order apart.

    The similarity of two items is the cosine of their columns in the matrix of users and items
    (1 where a user had the item); an item's score is the sum of its similarities to the history's
    items, each of which knows its `k` most similar ones. Of Sarwar et al. 2001, "Item-based
    collaborative filtering recommendation algorithms", section 3, for logs without ratings.

    Args:
        train: the training sequences.
        k: how many neighbours of an item count.
        history_length: how many of the newest items of a history count; by default all.
    """

    CELLS = 2**24  # of the matrix that are filled in together

    def __init__(self, train: Sequences, k: int = 100, history_length: int = 2**31):
        if k < 1 or history_length < 1:
            raise InputError(f"expected k >= 1 and history_length >= 1; got {k}, {history_length}.")
        self.history_length = history_length
        train = some_users(train)
        size, num_users = train.num_items + 2, train.num_users
        users = np.repeat(np.arange(num_users), train.lengths)
        pairs = np.unique(train.tokens.astype(np.int64) * num_users + users)  # each pair once
        item, user = pairs // num_users, pairs % num_users
        starts = np.searchsorted(item, np.arange(size + 1))
        shares = (np.diff(starts).clip(min=1) ** -0.5)[item].astype(np.float32)
        had = torch.sparse_coo_tensor(
            torch.from_numpy(np.stack([item, user])),
            torch.from_numpy(shares),
            (size, num_users),
            check_invariants=False,
        )
        self.neighbours = torch.zeros(size, min(k, size), dtype=torch.long)
        self.similarities = torch.zeros(size, min(k, size))
        step = max(1, self.CELLS // num_users)
        for low in range(0, size, step):
            rows = np.arange(low, min(low + step, size))
            own = slice(starts[rows[0]], starts[rows[-1] + 1])
            dense = torch.zeros(num_users, len(rows))
            dense[user[own], item[own] - low] = torch.from_numpy(shares[own])
            alike = had @ dense  # (num_items + 2, rows)
            alike[rows, rows - low] = 0
            found = alike.topk(self.neighbours.shape[1], dim=0)
            self.neighbours[rows], self.similarities[rows] = found.indices.T, found.values.T

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) histories to (batch, num_items + 2) scores."""
        histories = histories[:, -self.history_length :].cpu().long()
        scores = torch.zeros(len(histories), len(self.neighbours))
        for items in histories.T:  # a place at a time: neighbours of all would be large
            scores.scatter_add_(1, self.neighbours[items], self.similarities[items])
        scores[:, [PAD, -1]] = -torch.inf
        return scores
