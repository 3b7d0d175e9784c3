"""The exercises of notebook 4."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FunctionType

import torch
import torch.nn.functional as F

from ...cloze import hide
from ...data import IGNORE
from ...model import BERT4Rec, ModelConfig
from ...training import TrainingConfig
from ..exercises import Exercise, exercise

EXERCISES: dict[int, Exercise] = {}


def small_model() -> BERT4Rec:
    torch.manual_seed(0)
    return BERT4Rec(
        ModelConfig(num_items=20, hidden_size=8, num_heads=2, num_layers=1, max_len=6, dropout=0.0)
    )


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 21, (count, 4, 6), generator=generator)
    masked = torch.zeros(4, 6, dtype=torch.bool)
    masked[:, [1, 4]] = True
    return [hide(batch, masked, 20) for batch in tokens]


def after(steps: int, forget: bool = True, clip: float | None = 1.0) -> list[torch.Tensor]:
    """The weights after some steps as they should be, or with something left out."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for inputs, labels in batches(steps):
        loss = F.cross_entropy(model(inputs).flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
        if forget:
            optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def alike(ones: list[torch.Tensor], others: list[torch.Tensor]) -> bool:
    return all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ones, others, strict=True))


@exercise(
    EXERCISES,
    1,
    "a function",
    FunctionType,
    because="Old gradients away, new ones computed, clipped, and the weights moved by them.",
)
def is_a_step(answer: Callable) -> bool | str:
    model = small_model().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = [answer(model, optimizer, *batch) for batch in batches(3)]
    weights = [parameter.detach() for parameter in model.parameters()]
    if alike(weights, after(0)):
        return "The weights have not moved. Do gradients come before `optimizer.step()`?"
    if alike(weights, after(3, clip=None)):
        return "The gradients are not clipped, or only after the weights have moved."
    if alike(weights, after(3, forget=False)) or alike(weights, after(3, False, None)):
        return "The gradients of old batches are still there and add up. What forgets them?"
    if not alike(weights, after(3)):
        return "The weights are not where three steps of this kind lead. Check loss and order."
    if not all(isinstance(loss, float) for loss in found):
        return "The weights are right. Give back the loss as a number: `loss.item()`."
    inputs, labels = batches(1)[0]
    right = small_model().loss(inputs, labels).item()
    return abs(found[0] - right) < 1e-4 or "The weights are right, the number given back is not."


@exercise(
    EXERCISES,
    2,
    "a function",
    FunctionType,
    because="A deep copy has tensors of its own, and the model can go on learning without them.",
)
def keeps(answer: Callable) -> bool | str:
    model = small_model()
    right = copy.deepcopy(model.state_dict())
    kept = answer(model)
    if not isinstance(kept, Mapping):
        return "Return what `load_state_dict` takes: a dictionary of tensors by name."
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    try:
        model.load_state_dict(kept)
    except (RuntimeError, TypeError) as error:
        return f"load_state_dict does not take it: {error}"
    if all(torch.equal(value, right[name]) for name, value in model.state_dict().items()):
        return True
    return (
        "After the model has learnt on, your copy has changed along with it: it still holds the "
        "model's own tensors."
    )


@exercise(
    EXERCISES,
    3,
    "a TrainingConfig",
    TrainingConfig,
    because="`replace` copies all other settings as they are.",
)
def two_changes(answer: TrainingConfig, settings: TrainingConfig) -> bool | str:
    if answer == settings:
        return "These are the settings as they were. `replace` returns a copy with changes."
    right = replace(settings, last_item_prob=0.0, patience=3)
    if answer == right:
        return True
    if answer.last_item_prob != 0.0:
        return f"The last film is still hidden alone in {answer.last_item_prob:.0%} of the samples."
    if answer.patience != 3:
        return f"patience should be 3, and it is {answer.patience}."
    return "Something else has changed, too. Only these two settings should."
