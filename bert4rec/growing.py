"""A trained model with rows for new items, keeping what it knows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from .model import BERT4Rec, log_shares
from .neighbours import near_pairs
from .sequences import Sequences

REACH = 5  # how many steps away an item still is a neighbour


@torch.no_grad()
def grown(model: BERT4Rec, sequences: Sequences) -> BERT4Rec:
    """Return a copy of a model for a vocabulary that has more items after the model's own.

    All weights are kept, so the scores of the old items stay what they were. A new item's vector
    is the mean of the old items' vectors that stand near it in the histories, weighted by
    1 / distance and brought to their mean length; one that is near no old item gets the mean of
    them all. Its output bias is the log of its share, put on the scale of the old biases.

    Args:
        model: is not changed.
        sequences: histories with the new items, of the longer vocabulary.

    Returns:
        The new model, on the same device, in evaluation mode.
    """
    old, count = model.config.num_items, sequences.num_items
    larger = BERT4Rec(replace(model.config, num_items=count)).to(model.device).eval()
    counts = sequences.item_counts()
    mixture = _near_old_items(sequences, old).to(model.device)
    alone = mixture.sum(dim=1).to_dense() == 0
    weights, target = model.state_dict(), larger.state_dict()
    for name, value in weights.items():
        if value.shape == target[name].shape:
            target[name].copy_(value)
            continue
        # a row per token: [PAD] and the old items stay, [MASK] moves to the end
        target[name][: old + 1] = value[: old + 1]
        target[name][-1] = value[-1]
        items = value[1 : old + 1]
        if value.ndim == 1:
            share = log_shares(counts).to(value.device)
            seen = torch.from_numpy(counts[1 : old + 1] > 0).to(value.device)
            level = (items - share[1 : old + 1])[seen].mean() if seen.any() else items.mean()
            target[name][old + 1 : -1] = level + share[old + 1 : -1]
        else:
            vectors = mixture @ items
            lengths = mixture @ items.norm(dim=1, keepdim=True)
            vectors *= lengths / vectors.norm(dim=1, keepdim=True).clamp(min=1e-12)
            vectors[alone] = items.mean(dim=0)
            target[name][old + 1 : -1] = vectors
    return larger


def _near_old_items(sequences: Sequences, old: int) -> torch.Tensor:
    """(new items, old items) sparse: the shares of the old items near each new one; or none."""
    new = sequences.num_items - old
    rows, columns, weights = [], [], []
    for earlier, later, distance in near_pairs(sequences, REACH):
        for one, other in ((earlier, later), (later, earlier)):
            wanted = (one > old) & (other <= old)
            rows.append(one[wanted] - old - 1)
            columns.append(other[wanted] - 1)
            weights.append(np.full(wanted.sum(), 1 / distance))
    row, column, weight = (np.concatenate(parts) for parts in (rows, columns, weights))
    total = np.bincount(row, weight, minlength=new)
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([row, column])),
        torch.from_numpy(weight / total[row]).float(),
        (new, old),
        check_invariants=False,
    ).coalesce()
