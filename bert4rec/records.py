"""metrics.json: what a trained model reached, with all that is needed to get there again."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .evaluation import Report
from .files import write_atomically
from .model import BERT4Rec
from .sequences import Sequences, Split
from .training import METRICS, History, TrainingConfig


def write_record(
    folder: Path,
    model: BERT4Rec,
    training: TrainingConfig,
    history: History,
    report: Report,
    sequences: Sequences,
    split: Split,
    data: dict,
    seconds: float,
) -> None:
    """Write metrics.json into a model's folder.

    Args:
        report: what the model reached on the test.
        sequences, split: what it was trained on; a digest of the sequences is recorded.
        data: where the log came from and how it was read.
        seconds: of everything, reading and evaluation included.
    """
    record = {
        "report": report.to_dict(),
        "seed": training.seed,
        "model": asdict(model.config),
        "training": asdict(training),
        "data": {**data, "sha256": sequences.digest(), "split": split.name},
        "curve": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "seconds": {"training": history.seconds, "total": seconds},
        "versions": versions(model.device),
    }
    write_atomically(folder / METRICS, json.dumps(record, indent=2).encode())


def versions(device: torch.device) -> dict[str, str]:
    """The versions and the device that decide a result."""
    from . import __version__  # at the top it would import itself

    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {
        "bert4rec": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "device": str(device),
        "card": card,
        "threads": str(torch.get_num_threads()),
        "platform": platform.platform(terse=True),
    }
