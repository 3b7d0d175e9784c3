"""Where training starts from: items that stand near each other, or a model that was trained before.

A model whose item embeddings are random must first find out which items belong together, and
until it has, attention has nothing to hold on to: the loss stays at popularity for many epochs.
Counting neighbours tells most of it in seconds.

Source: Levy and Goldberg 2014, "Neural word embedding as implicit matrix factorization": word2vec
factorises the pointwise mutual information of words and their neighbours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..data import Sequences
from ..data.neighbours import near_counts, near_pairs
from ..errors import InputError
from ..model import BERT4Rec
from ..model.bert4rec import log_shares
from .settings import TrainingConfig

REACH = 5  # how many steps away an item still is a neighbour


def neighbour_vectors(sequences: Sequences, size: int, reach: int = 5) -> torch.Tensor:
    """Factorise the positive pointwise mutual information of items that stand near each other.

    A pair of items at distance d in a history counts 1/d, up to d = `reach`. With n(a, b) the
    counts, n(a) their sums and n the total, PMI = log(n(a, b) n / (n(a) n(b))), negative values
    are 0, and the vectors are the left singular vectors of the `size` largest singular values,
    each scaled by the root of its value.

    Args:
        sequences: the training histories.
        size: length of a vector; at most the number of items.
        reach: how many steps away a neighbour may be.

    Returns:
        (num_items + 2, size) float32, scaled to a root mean square of 1 over the items; the rows
        of [PAD] and [MASK] are 0. torch's generator draws the start of the factorisation.

    Raises:
        InputError: no two items are neighbours, or `size` exceeds the number of items.
    """
    if size > sequences.num_items:
        raise InputError(
            f"{sequences.num_items:,} items cannot give vectors of size {size}; choose a smaller "
            "hidden_size or no start from neighbours."
        )
    rows = sequences.num_items + 2
    counts = near_counts(sequences, reach, back=1.0).to_sparse_coo().coalesce()
    if counts._nnz() == 0:
        raise InputError("no history has two items, so no item has a neighbour.")
    total = counts.sum(dim=1).to_dense()
    first, second = counts.indices()
    information = (counts.values() * total.sum() / (total[first] * total[second])).log()
    matrix = torch.sparse_coo_tensor(
        counts.indices(),
        information.clamp(min=0),
        (rows, rows),
        check_invariants=False,
        is_coalesced=True,
    )
    left, singular, _ = torch.svd_lowrank(matrix, q=min(size + 8, rows), niter=4)
    vectors = left[:, :size] * singular[:size].sqrt()
    items = slice(1, sequences.num_items + 1)
    # not the standard deviation, which would depend on the free signs of the singular vectors
    vectors /= vectors[items].square().mean().sqrt().clamp(min=1e-12)
    vectors[[0, -1]] = 0.0
    return vectors


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


def start_from_counts(model: BERT4Rec, train: Sequences, config: TrainingConfig) -> None:
    """Set the output bias and the item embeddings to what counting tells, as the config says."""
    if config.start_at_popularity:
        model.start_at_popularity(train.item_counts())
    if config.start_at_neighbours:
        size = min(model.config.hidden_size, train.num_items)
        model.start_at_neighbours(neighbour_vectors(train, size, config.start_at_neighbours))
