"""Which items stand near which in the histories, counted."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from .sequences import Sequences

COUNTED = 20_000_000  # interactions whose neighbours are counted


PAIRS = 8_000_000  # of neighbours that are counted together


def near_counts(sequences: Sequences, reach: int, back: float = 0.0) -> torch.Tensor:
    """Count how often an item stands up to `reach` steps after another, weighted 1 / distance.

    Some rows at a time: beside the result it takes some 100 bytes an interaction.

    Args:
        sequences: the histories.
        reach: the largest distance counted.
        back: the weight of a pair that came the other way round; 1 makes the matrix symmetric.

    Returns:
        (num_items + 2, num_items + 2) sparse CSR float32: the row is the later item, the column
        the earlier one.
    """
    size = sequences.num_items + 2
    rows = _counted_rows(sequences, reach, {"later": 1.0, "earlier": back})
    in_rows, columns, counts = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    with warnings.catch_warnings():  # torch calls its sparse rows beta; products are all we use
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(np.append(0, np.cumsum(in_rows)).astype(np.int32)),
            torch.from_numpy(columns),
            torch.from_numpy(counts),
            (size, size),
            check_invariants=False,
        )


def followers(
    sequences: Sequences, reach: int, width: int, back: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find what follows each item most often, in the counts of `near_counts`.

    Args:
        sequences: the histories.
        reach: the largest distance counted.
        width: how many followers of an item are kept.
        back: how much an item that came before counts, beside 1 for one that came after.

    Returns:
        tokens: (num_items + 2, width) int32, most frequent first, 0 where there are fewer.
        counts: the same shape, float32: how often each followed.
        totals: (num_items + 2,) float32: how often anything did, what is not kept included.
    """
    tokens = np.zeros((sequences.num_items + 2, width), dtype=np.int32)
    counts = np.zeros(tokens.shape, dtype=np.float32)
    totals = np.zeros(len(tokens), dtype=np.float32)
    first = 0
    for in_row, column, count in _counted_rows(sequences, reach, {"earlier": 1.0, "later": back}):
        row = np.repeat(np.arange(first, first + len(in_row)), in_row)
        order = np.lexsort((column, -count, row))
        place = np.arange(len(row)) - np.repeat(np.cumsum(in_row) - in_row, in_row)
        kept = place < width
        tokens[row[kept], place[kept]] = column[order][kept]
        counts[row[kept], place[kept]] = count[order][kept]
        totals[first : first + len(in_row)] = np.bincount(row - first, count, minlength=len(in_row))
        first += len(in_row)
    return tokens, counts, totals


def _counted_rows(
    sequences: Sequences, reach: int, rows: dict[str, float]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Count pairs of near items, the rows of some items at a time, in order.

    Args:
        rows: which item of a pair is the row, "later" or "earlier", and the weight of that.

    Yields:
        how many columns each row has; the columns, row after row, ascending; their counts.
    """
    size = sequences.num_items + 2
    rows = {which: weight for which, weight in rows.items() if weight}
    sequences = some_users(sequences)
    ends = np.cumsum(sequences.item_counts()) * reach * len(rows)  # about as many pairs
    edges = np.searchsorted(ends, np.arange(PAIRS, ends[-1], PAIRS)) + 1
    for low, high in itertools.pairwise(np.unique([0, *edges, size])):
        pairs, weights = [], []
        for earlier, later, distance in near_pairs(sequences, reach):
            for which, weight in rows.items():
                row, column = (later, earlier) if which == "later" else (earlier, later)
                here = (row >= low) & (row < high)
                # the pair as one number, its row first
                pairs.append(row[here] * size + column[here])
                weights.append(np.full(len(pairs[-1]), weight / distance, dtype=np.float32))
        pair, place = np.unique(np.concatenate(pairs), return_inverse=True)
        count = np.bincount(place, np.concatenate(weights), minlength=len(pair))
        in_row = np.bincount(pair // size - low, minlength=high - low)
        yield in_row, (pair % size).astype(np.int32), count.astype(np.float32)


def near_pairs(sequences: Sequences, reach: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Yield the pairs of items that stand 1, then 2, … `reach` steps apart in one history.

    Of more than twenty million interactions only every n-th user is looked at: the counts of such
    logs are steady.

    Yields:
        The tokens of the earlier and of the later items, (num_pairs,) int64 each, and the distance.
    """
    sequences = some_users(sequences)
    tokens = sequences.tokens.astype(np.int64)
    users = np.repeat(np.arange(sequences.num_users, dtype=np.int32), sequences.lengths)
    for distance in range(1, reach + 1):
        same = users[distance:] == users[:-distance]
        yield tokens[:-distance][same], tokens[distance:][same], distance


def some_users(sequences: Sequences) -> Sequences:
    """The log itself or, of one with more than COUNTED interactions, every n-th user's part."""
    every = -(-sequences.num_interactions // COUNTED)
    if every > 1 or sequences.ends is not None:
        return sequences.select(np.arange(0, sequences.num_users, every))
    return sequences
