"""How a model is trained, and named pairs of model shape and training settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..cloze import check_cloze
from ..devices import PRECISIONS
from ..errors import InputError, check_types, did_you_mean
from ..evaluation.metrics import DECIDING, check_metric
from ..model import LOSSES, ModelConfig
from ..registry import Registry

SCHEDULES: Registry[Callable[[float], float]] = Registry("schedule")
"""The share of its peak that the learning rate has, by the share of the steps after the warm-up."""
SCHEDULES["cosine"] = lambda progress: 0.5 * (1 + math.cos(math.pi * progress))
SCHEDULES["linear"] = lambda progress: 1 - progress
SCHEDULES["constant"] = lambda progress: 1.0


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; a value out of range raises InputError."""

    epochs: int = 20
    """Passes over all training windows."""
    batch_size: int = 128
    """Windows of histories in a step."""
    loss: str = "cross-entropy"
    """"cross-entropy" over all items; "sampled-softmax" or "gbce" over some, for catalogues of
    hundreds of thousands: a step then costs no more for more items."""
    num_negatives: int = 256
    """Items that the sampled losses draw for each step."""
    calibration: float = 0.75
    """gBCE's t: 0 is plain binary cross-entropy, 1 fully calibrated."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate."""
    muon_learning_rate: float = 0.0
    """Peak of Muon's learning rate, for the matrices in the encoders; 0 leaves them to AdamW."""
    weight_decay: float = 0.01
    """Weight decay of both; biases, norms and embeddings of positions have none."""
    warmup_share: float = 0.05
    """Share of all steps in which the rate rises from 0 to its peak."""
    schedule: str = "cosine"
    """How the rate goes on from there: "cosine" or "linear" down to 0, or "constant"."""
    mask_prob: float = 0.2
    """Probability that an item is hidden. (This and the next two do not concern a causal model.)"""
    last_item_prob: float = 0.1
    """Share of samples in which only the last item is hidden."""
    mask_strategy: str = "mask"
    """What stands in the place of a hidden item: "mask" (the paper) or "80-10-10" (BERT)."""
    overlap: float = 0.5
    """Share of a window that the next window of the same long history repeats."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; it is scaled down to it."""
    start_at_popularity: bool = True
    """Start the output bias at the log popularity of the items."""
    start_at_neighbours: int = 0
    """Start the item embeddings from counts of the items that stand up to so many steps apart in
    the histories (see neighbours.py); 0 starts them at random."""
    validate_every: int = 1
    """Epochs between validations (full ranking)."""
    metric: str = DECIDING
    """What the best epoch is chosen by."""
    patience: int = 0
    """Stop after this many validations without a new best; 0 never stops early."""
    seed: int = 0
    """Seed of the masks, the order of batches, and dropout."""
    device: str = "auto"
    """"auto" (CUDA, then MPS, then CPU), or a device's name."""
    precision: str = "auto"
    """"auto" (bf16 on a GPU that has it, else float32), "float32", "tf32" or "bf16"."""
    compile: bool = False
    """Compile the encoder with torch.compile: faster on a GPU, minutes of start-up on a CPU. The
    gradients of a sampled loss are then as large as the table of items."""

    def __post_init__(self):
        check_types(self)
        for names, fits, wanted in (
            (
                ("epochs", "batch_size", "validate_every", "num_negatives"),
                lambda v: v >= 1,
                "be at least 1",
            ),
            (("learning_rate", "clip_norm"), lambda v: v > 0, "be above 0"),
            (
                ("muon_learning_rate", "weight_decay", "patience", "start_at_neighbours"),
                lambda v: v >= 0,
                "not be negative",
            ),
            (("warmup_share", "overlap"), lambda v: 0 <= v < 1, "lie in [0, 1)"),
            (("calibration",), lambda v: 0 <= v <= 1, "lie in [0, 1]"),
            (("seed",), lambda v: 0 <= v < 2**63, "be a whole number from 0 to 2^63 - 1"),
        ):
            for name in names:
                if not fits(getattr(self, name)):
                    raise InputError(f"{name} must {wanted}, not {getattr(self, name)}.")
        LOSSES.check(self.loss)
        SCHEDULES.check(self.schedule)
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}."
            )
        check_metric(self.metric)
        check_cloze(self.mask_prob, self.last_item_prob, self.mask_strategy)


@dataclass(frozen=True)
class Preset:
    """A model's shape and how to train it.

    Attributes:
        purpose: what it is for, in a line.
        shape: arguments of ModelConfig besides num_items.
        training: the training settings.
    """

    purpose: str
    shape: dict = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def model_config(self, num_items: int, **changes: object) -> ModelConfig:
        """The model's config for a catalogue of `num_items`, with changes if any."""
        return ModelConfig(num_items=num_items, **{**self.shape, **changes})


_COMPACT = {
    "hidden_size": 64,
    "num_heads": 2,
    "norm_first": True,
    "tie_weights": True,
    "num_segments": 0,
}


_TRAINING = TrainingConfig(
    batch_size=32, muon_learning_rate=1e-2, mask_prob=0.3, start_at_neighbours=5
)


PRESETS = {
    "tutorial": Preset(
        "the notebooks: the embedded ratings, minutes on a CPU",
        {**_COMPACT, "max_len": 20, "dropout": 0.2},
        replace(_TRAINING, epochs=12, learning_rate=2e-3),
    ),
    "ml-1m": Preset(
        "MovieLens-1M and logs of its size, half an hour on a CPU core",
        {**_COMPACT, "max_len": 100, "dropout": 0.1, "attention_dropout": 0.0},
        replace(_TRAINING, epochs=30, learning_rate=4e-3),
    ),
    "ml-1m-causal": Preset(
        "SASRec on MovieLens-1M: the same encoder, trained on next items",
        {**_COMPACT, "max_len": 100, "dropout": 0.1, "attention_dropout": 0.0, "causal": True},
        replace(_TRAINING, epochs=12, learning_rate=4e-3),
    ),
    "paper": Preset(
        "Sun et al. 2019 on MovieLens-1M, as printed; needs a GPU and patience",
        {**_COMPACT, "norm_first": False, "max_len": 200, "dropout": 0.2},
        TrainingConfig(
            epochs=4000,
            batch_size=256,
            learning_rate=1e-4,
            schedule="linear",
            warmup_share=0.01,
            clip_norm=5.0,
            mask_prob=0.2,
            start_at_popularity=False,
            validate_every=10,
        ),
    ),
    "reference": Preset("the reference structure at its defaults"),
}


def get_preset(name: str | Preset, **changes: Any) -> Preset:
    """Return a preset by name, with changes if any.

    Args:
        name: one of PRESETS, or a preset to change.
        changes: fields of ModelConfig or TrainingConfig, as `epochs=5, max_len=50`.

    Raises:
        InputError: no preset or no setting is called so, or a value is out of range.
    """
    if not isinstance(name, Preset):
        if name not in PRESETS:
            raise InputError(
                f"no preset is called {name!r}; there are {', '.join(PRESETS)}."
                + did_you_mean(name, PRESETS)
                + " (auto_preset chooses by a log.)" * (name == "auto")
            )
        name = PRESETS[name]
    shape = {f.name for f in fields(ModelConfig)} - {"num_items"}
    training = {f.name for f in fields(TrainingConfig)}
    for key in changes:
        if key not in shape | training:
            raise InputError(
                f"there is no setting {key!r} of a model or its training."
                + did_you_mean(key, shape | training)
            )
    return replace(
        name,
        shape={**name.shape, **{k: v for k, v in changes.items() if k in shape}},
        training=replace(name.training, **{k: v for k, v in changes.items() if k in training}),
    )
