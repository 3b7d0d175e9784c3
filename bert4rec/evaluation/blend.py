"""Counting and attention together: a model's scores mixed with item transitions.

On small and sparse logs counting which item follows which is as good as a network, and the two make
different mistakes: mixed they are far better than either.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from .. import distributed
from ..data import PAD, Holdout, Sequences
from ..data.neighbours import followers
from ..errors import InputError
from .baselines import DECAY, HISTORY_LENGTH, WINDOW
from .metrics import DECIDING, values_of
from .ranks import Scorer, by_length, candidates_of, counted, score_histories, scorer_name

WIDTH, ENTRIES = 100, 4_000_000  # followers of an item that are kept, and of all items together
BACK = (0.0, 0.25, 0.5, 1.0)  # how much an item that came before counts
WEIGHTS = tuple(step / 20 for step in range(21))  # 0 is the model alone, 1 counting alone


class TransitionTable(nn.Module):
    """Item transitions, pruned to the most frequent followers of each item.

    The same as `ItemTransitions`, whose scores are brought to a sum of 1, if no follower is left
    out: a share for every item to come next.

    Args:
        tokens: (num_items + 2, width) the followers of each token, 0 for none.
        shares: (num_items + 2, width) of all that followed the token; kept with 11 bits.
        totals: (num_items + 2,) how often anything followed.
        back: how much an item that came before counted, beside 1 for one that came after.

    Raises:
        InputError: `back` is out of range.
    """

    history_length = HISTORY_LENGTH
    tokens: torch.Tensor
    shares: torch.Tensor
    totals: torch.Tensor

    def __init__(
        self, tokens: torch.Tensor, shares: torch.Tensor, totals: torch.Tensor, back: float = 0.0
    ):
        super().__init__()
        if not 0 <= back <= 1:
            raise InputError(f"back must lie in [0, 1], not {back}.")
        self.back = back
        self.name = "item transitions" + " (both ways)" * (back > 0)
        self.register_buffer("tokens", tokens.int())
        self.register_buffer("shares", shares.half().float())  # as a file will have it
        self.register_buffer("totals", totals.float())

    @classmethod
    def count(
        cls, train: Sequences, width: int | None = None, back: float = 0.0
    ) -> TransitionTable:
        """Count the transitions of training sequences, at most `width` followers of an item.

        What came before an item counts as a follower, too, `back` times.
        """
        width = width or max(4, min(WIDTH, ENTRIES // train.num_items))
        found = followers(train, WINDOW, min(width, train.num_items), back)
        tokens, counts, totals = map(torch.from_numpy, found)
        return cls(tokens, counts / totals.clamp(min=1e-12)[:, None], totals, back)

    def forward(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) to (batch, num_items + 2): each item's share of what comes next, or 0."""
        newest = histories[:, -HISTORY_LENGTH:]  # (batch, newest)
        steps_back = torch.arange(newest.shape[1], device=newest.device).flip(0)
        votes = self.shares[newest] * (DECAY**steps_back)[:, None]  # (batch, newest, width)
        found = votes.new_zeros(newest.shape[0], self.totals.shape[0])
        found = found.scatter_add(1, self.tokens[newest].long().flatten(1), votes.flatten(1))
        return found / found.sum(dim=1, keepdim=True).clamp(min=1e-12)

    @torch.no_grad()
    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """The shares as scores: counting alone."""
        return self(histories.to(self.totals.device))

    def merged(self, other: TransitionTable) -> TransitionTable:
        """The larger of two counts of each pair, for as many items as the other table has.

        What both logs hold would be counted twice in a sum.
        """
        found = []
        for table in (self, other):
            row, place = (table.shares > 0).nonzero(as_tuple=True)
            count = table.shares[row, place] * table.totals[row]
            found.append([part.cpu().numpy() for part in (row, table.tokens[row, place], count)])
        pairs = pd.DataFrame(np.concatenate(found, axis=1).T, columns=["row", "token", "count"])
        pairs = pairs.groupby(["row", "token"], as_index=False).max()
        pairs = pairs.sort_values(["row", "count", "token"], ascending=[True, False, True])
        place = pairs.groupby("row").cumcount().to_numpy()
        pairs, place = pairs[place < other.tokens.shape[1]], place[place < other.tokens.shape[1]]
        totals, known = other.totals.clone(), len(self.totals) - 1  # all but [MASK], which moved
        totals[:known] = torch.maximum(totals[:known], self.totals[:known].to(totals))
        tokens, shares = torch.zeros_like(other.tokens.cpu()), torch.zeros(other.shares.shape)
        where = torch.from_numpy(pairs["row"].to_numpy(np.int64)), torch.from_numpy(place)
        tokens[where] = torch.from_numpy(pairs["token"].to_numpy(np.int32))
        counts = torch.from_numpy(pairs["count"].to_numpy(np.float32))
        shares[where] = counts / totals.cpu()[where[0]]
        return TransitionTable(tokens, shares, totals.cpu(), self.back).to(other.totals.device)


class Blend:
    """(1 - w) log softmax(model) + w log(share of the transitions + 1 / num_items).

    Args:
        model: a scorer.
        table: the transitions, on the model's device.
        weight: w, in [0, 1]: 0 ranks as the model does, 1 as counting.

    Raises:
        InputError: the weight is out of range.
    """

    def __init__(self, model: Scorer, table: TransitionTable, weight: float):
        if not 0 <= weight <= 1:
            raise InputError(f"the weight of a blend must lie in [0, 1], not {weight}.")
        self.model, self.table, self.weight = model, table, weight
        self.name = f"{scorer_name(model)} + transitions"
        self.history_length = max(model.history_length, HISTORY_LENGTH)

    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """(batch, length) histories to (batch, num_items + 2) scores."""
        histories = histories.to(self.table.totals.device)
        if self.weight == 1:  # the model need not be asked
            scores = histories.new_zeros(
                len(histories), len(self.table.totals), dtype=torch.float32
            )
        else:
            scores = self.model.score(histories)
        return self.mix(scores, histories)

    @torch.no_grad()
    def mix(self, scores: torch.Tensor, histories: torch.Tensor) -> torch.Tensor:
        """Mix a model's scores of histories with those of the table."""
        attention, counting = self.parts(scores, histories)
        mixed = _mixed(attention, counting, self.weight)
        mixed[:, [PAD, mixed.shape[1] - 1]] = -torch.inf
        return mixed

    def parts(
        self, scores: torch.Tensor, histories: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The logs of the two shares that are mixed, (batch, num_items + 2) each."""
        attention = scores.float().log_softmax(dim=1)
        attention = attention.clamp(min=-1e4)  # 0 × infinity would be no number
        return attention, (self.table(histories) + 1 / (scores.shape[1] - 2)).log()


def choose_weight(
    model: Scorer, table: TransitionTable, holdout: Holdout, metric: str = DECIDING
) -> tuple[Blend, dict[float, float]]:
    """Find the weight of WEIGHTS by which a blend ranks the users of a validation best.

    Under torchrun every process must call this; all get the same.

    Returns:
        The blend, and the metric by weight.
    """
    blend, histories = Blend(model, table, 0.0), holdout.histories
    found = np.zeros((2, len(WEIGHTS), len(holdout)), dtype=np.int64)
    for users in by_length(histories, 256)[distributed.rank() :: distributed.count()]:
        tokens = histories.newest(users, HISTORY_LENGTH).to(table.totals.device)
        scores = score_histories(model, histories, users).to(table.totals.device)
        attention, counting = blend.parts(scores, tokens)
        targets = torch.from_numpy(holdout.targets[users]).long().to(scores.device)[:, None]
        candidates = candidates_of(scores, holdout, users)
        for place, weight in enumerate(WEIGHTS):
            mixed = _mixed(attention, counting, weight)
            found[:, place, users] = counted(mixed, candidates, targets)
    above, tied = distributed.total(torch.from_numpy(found)).numpy()
    values = {
        weight: float(values_of(metric, above[place], tied[place]).mean())
        for place, weight in enumerate(WEIGHTS)
    }
    best = max(values, key=values.__getitem__)
    return Blend(model, table, best), values


def choose_blend(
    model: Scorer, train: Sequences, holdout: Holdout, metric: str = DECIDING
) -> tuple[Blend, dict[float, float]]:
    """Find the weights of BACK and WEIGHTS by which a blend ranks the users of a validation best.

    The order of a log is partly chance where its rows are of the same second: then what came before
    says as much as what came after. Weights of that are tried upwards for as long as it helps.
    Under torchrun every process must call this; all get the same.

    Args:
        train: what is counted.

    Returns:
        The blend, and the metric by the weight of its transitions.
    """
    device, found = getattr(model, "device", "cpu"), None
    for back in BACK:
        table = TransitionTable.count(train, back=back).to(device)
        other = choose_weight(model, table, holdout, metric)
        if found and not max(other[1].values()) > max(found[1].values()):
            break
        found = other
    assert found
    return found


def _mixed(attention: torch.Tensor, counting: torch.Tensor, weight: float) -> torch.Tensor:
    return (1 - weight) * attention + weight * counting
