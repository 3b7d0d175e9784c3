"""Which items to hide, and what the model sees in their place.

BERT4Rec is trained on the cloze task: hide some items of a history, predict them from the rest.
Source: Sun et al. 2019, section 3.6; the 80/10/10 rule is from Devlin et al. 2018, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..data import IGNORE, PAD
from ..errors import InputError
from ..registry import Registry


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


# tokens and the chosen positions (batch, length), num_items and the generator, to what the model
# sees and the positions that it must answer
Mask = Callable[
    [torch.Tensor, torch.Tensor, int, torch.Generator | None], tuple[torch.Tensor, torch.Tensor]
]
MASKS: Registry[Mask] = Registry("mask_strategy")


@MASKS.register("mask")
def mask(
    tokens: torch.Tensor,
    masked: torch.Tensor,
    num_items: int,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Show [MASK] at every chosen position (Sun et al. 2019)."""
    return torch.where(masked, num_items + 1, tokens), masked


@MASKS.register("80-10-10")
def mask_80_10_10(
    tokens: torch.Tensor,
    masked: torch.Tensor,
    num_items: int,
    generator: torch.Generator | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Show [MASK] at 80% of them, a random item at 10%, the item itself at 10% (Devlin et al.)."""
    fate = torch.rand(tokens.shape, generator=generator, device=tokens.device)
    other = torch.randint(1, num_items + 1, tokens.shape, generator=generator, device=tokens.device)
    shown = torch.where(fate < 0.8, num_items + 1, torch.where(fate < 0.9, other, tokens))
    return torch.where(masked, shown, tokens), masked


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
        strategy: one of MASKS: "mask" or "80-10-10".
        generator: draws the numbers of "80-10-10".

    Returns:
        inputs and labels, both (batch, length); labels are IGNORE outside the chosen positions.
    """
    MASKS.check(strategy)
    inputs, masked = MASKS[strategy](tokens, masked, num_items, generator)
    return inputs, torch.where(masked, tokens, IGNORE)


def check_cloze(mask_prob: float, last_item_prob: float = 0.0, strategy: str = "mask") -> None:
    """Raise InputError if a setting of the cloze task is out of range."""
    if not 0 < mask_prob < 1:
        raise InputError(
            f"mask_prob must lie between 0 and 1 (the paper: 0.2 on MovieLens-1M), not {mask_prob}."
        )
    if not 0 <= last_item_prob <= 1:
        raise InputError(f"last_item_prob must lie in [0, 1], not {last_item_prob}.")
    MASKS.check(strategy)
