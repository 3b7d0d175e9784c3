"""BERT4Rec in PyTorch: from interactions to recommendations, one readable file per step."""

from .baselines import ItemTransitions, Popularity
from .catalogue import Catalogue
from .cloze import IGNORE, ClozeBatches, NextItemBatches, choose_masked, hide, windows
from .devices import pick_device
from .errors import InputError
from .evaluation import METRICS, Negatives, Ranks, Report, evaluate, rank_targets
from .large import build_sequences
from .model import BERT4Rec
from .movielens import download_movielens, load_movielens
from .presets import PRESETS, Preset, get_preset
from .readers import read_interactions
from .recommender import Recommender
from .sequences import Holdout, Sequences, Split
from .sublayers import BERT, ModelConfig
from .training import History, TrainingConfig, train
from .vocabulary import PAD, Vocabulary

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
