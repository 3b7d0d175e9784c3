"""BERT4Rec in PyTorch: from interactions to recommendations, a room for each notebook."""

from typing import Any

from .cloze import ClozeBatches, NextItemBatches, choose_masked, hide, windows
from .data import (
    IGNORE,
    PAD,
    Catalogue,
    Holdout,
    Sequences,
    Split,
    Vocabulary,
    build_sequences,
    download_movielens,
    load_movielens,
    read_interactions,
)
from .devices import pick_device
from .errors import InputError
from .evaluation import (
    METRICS,
    ItemKNN,
    ItemTransitions,
    Negatives,
    Popularity,
    Ranks,
    Report,
    evaluate,
    rank_targets,
)
from .model import BERT, BERT4Rec, ModelConfig
from .recommend import Recommender
from .training import PRESETS, History, Preset, TrainingConfig, get_preset, train

__version__ = "0.1.0"

__all__ = [
    "BERT",
    "IGNORE",
    "METRICS",
    "PAD",
    "PRESETS",
    "BERT4Rec",
    "Catalogue",
    "ClozeBatches",
    "History",
    "Holdout",
    "InputError",
    "ItemKNN",
    "ItemTransitions",
    "ModelConfig",
    "Negatives",
    "NextItemBatches",
    "Popularity",
    "Preset",
    "Ranks",
    "Recommender",
    "Report",
    "Sequences",
    "Split",
    "TrainingConfig",
    "Vocabulary",
    "build_sequences",
    "choose_masked",
    "download_movielens",
    "evaluate",
    "get_preset",
    "hide",
    "load_movielens",
    "pick_device",
    "rank_targets",
    "read_interactions",
    "train",
    "windows",
]


def __getattr__(name: str) -> Any:
    if name in ("plots", "diagrams", "style"):  # they bring matplotlib, which only they need
        import importlib

        return importlib.import_module(f".notebook.{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
