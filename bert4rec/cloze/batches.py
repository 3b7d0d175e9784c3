"""The batches of (inputs, labels) that a model learns from: windows of histories, by length.

They are made on the CPU, so that a log that is mapped from disk is never copied as a whole, the
masks are the same on every device, and nobody must wait for a GPU to learn how much is hidden.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ..data import IGNORE, PAD, Sequences
from ..data.sequences import tensor_of
from ..data.sorting import left_padded
from ..errors import InputError
from .masks import check_cloze, choose_masked, hide


def windows(sequences: Sequences, max_len: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut histories into windows of at most `max_len` items that together cover all of them.

    A history that fits is one window. A longer one is covered from its end backwards, `stride`
    items further at each step; the last window is the oldest `max_len` items. Users with fewer
    than 2 items give none.

    Returns:
        starts and stops, (num_windows,) int64, places in `sequences.tokens`.
    """
    if not 1 <= stride <= max_len:
        raise InputError(f"stride must lie in 1 … max_len ({max_len}), not {stride}.")
    users = np.flatnonzero(sequences.lengths >= 2)
    lengths = sequences.lengths[users]
    counts = 1 + np.ceil(np.maximum(lengths - max_len, 0) / stride).astype(np.int64)
    first = np.repeat(sequences.offsets[:-1][users], counts)
    length = np.repeat(lengths, counts)
    step = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    stops = np.maximum(length - step * stride, np.minimum(length, max_len))
    starts = np.maximum(stops - max_len, 0)
    return first + starts, first + stops


class ClozeBatches:
    """The training batches: windows of histories, gathered by length, masked anew each epoch.

    Windows of similar length share a batch, so little of it is padding. Epoch `e` depends on the
    seed and `e` alone: it is the same whether or not the epochs before it were run, which makes a
    resumed training continue exactly.

    Args:
        sequences: the training histories.
        max_len: the longest window.
        batch_size: windows in a batch.
        mask_prob, last_item_prob, strategy: see `choose_masked` and `hide`.
        overlap: the share of a window that the next window of the same history repeats.
        seed: of the order and the masks.
    """

    lookahead = 0  # items of a window behind the max_len that the model sees

    def __init__(
        self,
        sequences: Sequences,
        max_len: int,
        batch_size: int,
        mask_prob: float = 0.2,
        last_item_prob: float = 0.0,
        strategy: str = "mask",
        overlap: float = 0.5,
        seed: int = 0,
    ):
        check_cloze(mask_prob, last_item_prob, strategy)
        if max_len < 2:
            raise InputError(
                f"max_len must be at least 2, one to hide and one to show, not {max_len}."
            )
        if not 0 <= overlap < 1:
            raise InputError(f"overlap must lie in [0, 1), not {overlap}.")
        stride = max(1, round(max_len * (1 - overlap)))
        starts, stops = windows(sequences, max_len + self.lookahead, stride)
        if len(starts) == 0:
            raise InputError("no training history has the 2 items that the cloze task needs.")
        self.num_items = sequences.num_items
        self.tokens = tensor_of(sequences.tokens)
        self.starts, self.stops = torch.from_numpy(starts), torch.from_numpy(stops)
        self.lengths = stops - starts
        self.batch_size = batch_size
        self.mask_prob, self.last_item_prob, self.strategy = mask_prob, last_item_prob, strategy
        self.seed = seed

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (inputs, labels), each (batch, length) int64, for one pass over all windows."""
        order = np.random.default_rng([self.seed, number])
        generator = torch.Generator()
        generator.manual_seed(int(order.integers(2**62)))
        for batch in self._by_length(order):
            rows = torch.from_numpy(batch)
            length = int(self.lengths[batch].max())
            tokens = left_padded(self.tokens, self.starts[rows], self.stops[rows], length)
            yield self.examples(tokens, generator)

    def examples(
        self, tokens: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn windows (batch, length) into inputs and labels."""
        masked = choose_masked(tokens, self.mask_prob, self.last_item_prob, generator)
        return hide(tokens, masked, self.num_items, self.strategy, generator)

    def _by_length(self, order: np.random.Generator) -> list[np.ndarray]:
        # Shuffle, sort by length within pools of 20 batches, and shuffle the batches: batches are
        # nearly free of padding, and a window still meets others from epoch to epoch.
        shuffled = order.permutation(len(self.lengths))
        pool = 20 * self.batch_size
        batches = []
        for begin in range(0, len(shuffled), pool):
            rows = shuffled[begin : begin + pool]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        return [batches[i] for i in order.permutation(len(batches))]


class NextItemBatches(ClozeBatches):
    """The same windows for a causal model: at every position the label is the next item.

    A window is one item longer, the last label (Kang and McAuley 2018, section 3.5).
    """

    lookahead = 1

    def __init__(
        self,
        sequences: Sequences,
        max_len: int,
        batch_size: int,
        overlap: float = 0.5,
        seed: int = 0,
    ):
        super().__init__(sequences, max_len, batch_size, overlap=overlap, seed=seed)

    def examples(
        self, tokens: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn windows (batch, length + 1) into inputs and labels, (batch, length) each."""
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        return inputs, torch.where(inputs == PAD, IGNORE, labels)
