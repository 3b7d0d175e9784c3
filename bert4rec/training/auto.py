"""Settings that fit a log, by how large and how sparse it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..data import Sequences
from .settings import PRESETS, Preset, get_preset

AUTO = "auto"


def auto_preset(train: Sequences) -> tuple[Preset, str]:
    """Choose settings for a log.

    The rule. It gives the settings that were found by hand on the embedded set, MovieLens-100K,
    MovieLens-1M and Amazon Beauty; results/logs.json has what it reaches on these, and on a log of
    purchases that had no part in it. results/auto.json sets it beside other settings there.

    1. Fewer than 200,000 interactions, or fewer than 10 an item: `tutorial`; else `ml-1m`.
    2. Fewer than 10 interactions an item, a sparse log: dropout 0.3, and from 200,000 on batches
       of 64 and 24 epochs.
    3. `ml-1m`: max_len is as long as nine of ten histories need, in tens, from 20 to 100.
    4. More than a million interactions: epochs that make 20 million of them, at least 2; more than
       10 million: batches of 256.
    5. More than 100,000 items, or 20,000 of a sparse log: sampled softmax with 1,024 negatives.

    Args:
        train: the training sequences.

    Returns:
        The preset, and a line that says what was chosen and why.
    """
    size, items = train.num_interactions, max(train.num_items, 1)
    sparse, large = size / items < 10, size >= 200_000
    name = "ml-1m" if large and not sparse else "tutorial"
    preset, changes = PRESETS[name], dict[str, Any]()
    if sparse:
        changes |= {"dropout": 0.3} | ({"batch_size": 64, "epochs": 24} if large else {})
    if name == "ml-1m":
        needed = int(np.quantile(train.lengths, 0.9)) + 1  # the [MASK] that asks
        changes["max_len"] = min(100, max(20, -(-needed // 10) * 10))
    if size > 1_000_000:
        epochs = changes.get("epochs", preset.training.epochs)
        changes["epochs"] = max(2, min(epochs, 20_000_000 // size))
    if size > 10_000_000:
        changes["batch_size"] = 256
    if items > (20_000 if sparse else 100_000):
        changes |= {"loss": "sampled-softmax", "num_negatives": 1024}
    listed = ", ".join([f"preset {name}", *(f"{key}={value}" for key, value in changes.items())])
    reason = f"{size:,} interactions to learn from, {size / items:.1f} an item"
    return get_preset(preset, **changes), f"settings: {listed} ({reason})"
