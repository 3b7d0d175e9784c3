"""Which items to hide, and the batches of (inputs, labels) that the model learns from.

BERT4Rec is trained on the cloze task: hide some items of a history, predict them from the rest.
Source: Sun et al. 2019, section 3.6; the 80/10/10 rule is from Devlin et al. 2018, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from .errors import InputError
from .sequences import Sequences, left_padded, tensor_of
from .vocabulary import PAD

IGNORE = -100  # the label of a position that is not predicted; cross_entropy's ignore_index
STRATEGIES = ("mask", "80-10-10")


def choose_masked(
    tokens: torch.Tensor,
    mask_prob: float,
    last_item_prob: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Choose the positions to hide: at least one in each row, never all, never padding.

    Each item is hidden with probability `mask_prob`. A row where that hides nothing (no loss) or
    everything (nothing to learn from) has one item, drawn uniformly, hidden or shown after all.
    With probability `last_item_prob` a row hides its last item only: the question that the model
    is asked when it recommends.

    Args:
        tokens: (batch, length) item tokens, [PAD] in front; at least 2 items in each row.
        mask_prob: in (0, 1).
        last_item_prob: in [0, 1].
        generator: draws the numbers, on the device of `tokens`.

    Returns:
        (batch, length) bool, True where an item is hidden.

    Raises:
        InputError: a probability is out of range, or a row has fewer than 2 items.
    """
    check_cloze(mask_prob, last_item_prob)
    items = tokens != PAD
    if (items.sum(dim=1) < 2).any():
        row = int((items.sum(dim=1) < 2).nonzero()[0])
        raise InputError(
            f"row {row} has {int(items[row].sum())} items; the cloze task needs at least 2, one "
            "to hide and one to show."
        )
    draw = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    masked = items & (draw < mask_prob)

    # The item with the smallest draw is hidden, the one with the largest is shown. Where the draws
    # already hide one and show one this changes nothing; elsewhere it picks uniformly.
    smallest = draw.masked_fill(~items, 2.0).argmin(dim=1, keepdim=True)
    others = draw.masked_fill(~items, -1.0).scatter(1, smallest, -1.0)  # never the same item
    largest = others.argmax(dim=1, keepdim=True)
    masked = masked.scatter(1, smallest, True).scatter(1, largest, False)

    if last_item_prob > 0:
        last_only = torch.rand(len(tokens), generator=generator, device=tokens.device)
        last_only = last_only < last_item_prob
        last = torch.zeros_like(masked)
        last[:, -1] = True  # padding is in front, so the newest item is always in the last column
        masked = torch.where(last_only[:, None], last, masked)
    return masked


def hide(
    tokens: torch.Tensor,
    masked: torch.Tensor,
    num_items: int,
    strategy: str = "mask",
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn tokens and the chosen positions into what the model sees and what it must answer.

    Args:
        tokens: (batch, length) item tokens.
        masked: (batch, length) bool, the positions to predict.
        num_items: the size of the catalogue; [MASK] is num_items + 1.
        strategy: "mask" shows [MASK] at every chosen position (the paper). "80-10-10" shows
            [MASK] at 80% of them, a random item at 10%, and the item itself at 10% (BERT).
        generator: draws the numbers of "80-10-10".

    Returns:
        inputs and labels, both (batch, length); labels are IGNORE outside the chosen positions.
    """
    _check_strategy(strategy)
    labels = torch.where(masked, tokens, IGNORE)
    if strategy == "mask":
        return torch.where(masked, num_items + 1, tokens), labels
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    other = torch.randint(1, num_items + 1, tokens.shape, generator=generator, device=tokens.device)
    shown = torch.where(fate < 0.8, num_items + 1, torch.where(fate < 0.9, other, tokens))
    return torch.where(masked, shown, tokens), labels


def check_cloze(mask_prob: float, last_item_prob: float = 0.0, strategy: str = "mask") -> None:
    """Raise InputError if a setting of the cloze task is out of range."""
    if not 0 < mask_prob < 1:
        raise InputError(
            f"mask_prob must lie between 0 and 1 (the paper: 0.2 on MovieLens-1M), not {mask_prob}."
        )
    if not 0 <= last_item_prob <= 1:
        raise InputError(f"last_item_prob must lie in [0, 1], not {last_item_prob}.")
    _check_strategy(strategy)


def _check_strategy(strategy: str) -> None:
    if strategy not in STRATEGIES:
        raise InputError(f"mask_strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}.")


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
        device: where the batches are made.
    """

    beyond = 0  # items of a window besides the max_len that the model sees

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
        device: str | torch.device = "cpu",
    ):
        check_cloze(mask_prob, last_item_prob, strategy)
        if max_len < 2:
            raise InputError(
                f"max_len must be at least 2, one to hide and one to show, not {max_len}."
            )
        if not 0 <= overlap < 1:
            raise InputError(f"overlap must lie in [0, 1), not {overlap}.")
        stride = max(1, round(max_len * (1 - overlap)))
        starts, stops = windows(sequences, max_len + self.beyond, stride)
        if len(starts) == 0:
            raise InputError("no training history has the 2 items that the cloze task needs.")
        self.num_items = sequences.num_items
        self.tokens = tensor_of(sequences.tokens).to(device)
        self.starts = torch.from_numpy(starts).to(device)
        self.stops = torch.from_numpy(stops).to(device)
        self.lengths = stops - starts
        self.batch_size = batch_size
        self.mask_prob, self.last_item_prob, self.strategy = mask_prob, last_item_prob, strategy
        self.seed, self.device = seed, torch.device(device)

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, number: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield (inputs, labels), each (batch, length) int64, for one pass over all windows."""
        order = np.random.default_rng([self.seed, number])
        generator = torch.Generator(self.device)
        generator.manual_seed(int(order.integers(2**62)))
        for batch in self._by_length(order):
            rows = torch.from_numpy(batch).to(self.device)
            length = int(self.lengths[batch].max())
            tokens = left_padded(self.tokens, self.starts[rows], self.stops[rows], length)
            yield self.asked(tokens, generator)

    def asked(
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

    beyond = 1

    def __init__(
        self,
        sequences: Sequences,
        max_len: int,
        batch_size: int,
        overlap: float = 0.5,
        seed: int = 0,
        device: str | torch.device = "cpu",
    ):
        super().__init__(sequences, max_len, batch_size, overlap=overlap, seed=seed, device=device)

    def asked(
        self, tokens: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn windows (batch, length + 1) into inputs and labels, (batch, length) each."""
        inputs, labels = tokens[:, :-1], tokens[:, 1:]
        return inputs, torch.where(inputs == PAD, IGNORE, labels)
