"""Three trainings for notebook 4, of which two are broken. Read on only when you have guessed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import torch
from torch import nn

from ..cloze import ClozeBatches
from ..data import IGNORE, PAD


def ask_everywhere(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Labels as a fault makes them: the films that are not hidden are asked for as well."""
    seen = torch.where(inputs == PAD, IGNORE, inputs)
    return torch.where(labels == IGNORE, seen, labels)


def three_runs(
    start: Callable[[], nn.Module],
    batches: ClozeBatches,
    loss_of: Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor],
    steps: int,
) -> dict[str, tuple[nn.Module, list[float]]]:
    """Train three models for some steps: one as it should be, and two with a fault.

    Args:
        start: gives a model to train, the same each time.
        batches: of the cloze task.
        loss_of: the loss of a model on inputs and labels.

    Returns:
        for "A", "B" and "C" the model and its loss at each step.
    """
    runs = {}
    for name, rate, everywhere in (("A", 2e-3, True), ("B", 0.2, False), ("C", 2e-3, False)):
        model, losses = start(), []
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
        for inputs, labels in islice(batches.epoch(1), steps):
            loss = loss_of(model, inputs, ask_everywhere(inputs, labels) if everywhere else labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        runs[name] = model, losses
    return runs
