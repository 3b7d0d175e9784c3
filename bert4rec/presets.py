"""Named pairs of model shape and training settings, to start from."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from .errors import InputError, did_you_mean
from .sublayers import ModelConfig
from .training import TrainingConfig


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
        "MovieLens-1M and logs of its size, half an hour on two CPU cores",
        {**_COMPACT, "max_len": 100, "dropout": 0.1, "attention_dropout": 0.0},
        replace(_TRAINING, epochs=20, learning_rate=4e-3),
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
