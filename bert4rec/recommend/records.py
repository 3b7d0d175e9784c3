"""metrics.json: what a trained model reached, with all that is needed to get there again."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

from ..evaluation import Report
from ..files import write_atomically
from ..training.checkpoint import RECORD, Run


def write_record(run: Run, report: Report, data: Mapping[str, object], seconds: float) -> None:
    """Write metrics.json into a model's folder.

    Args:
        run: the training that made the model.
        report: what it reached on the test.
        data: where the log came from, how it was read, and its digest.
        seconds: of everything, reading and evaluation included.
    """
    assert run.target.output is not None
    record = {
        "report": report.to_dict(),
        "seed": run.config.seed,
        "model": asdict(run.model.config),
        "training": asdict(run.config),
        "data": {**data, "split": run.split.name},
        "curve": run.history.epochs,
        "best_epoch": run.history.best_epoch,
        "stopped": run.history.stopped,
        "seconds": {"training": run.history.seconds, "total": seconds},
        "versions": versions(run.model.device),
    }
    write_atomically(run.target.output / RECORD, json.dumps(record, indent=2).encode())


def versions(device: torch.device) -> dict[str, str]:
    """The versions and the device that decide a result."""
    from .. import __version__  # at the top it would import itself

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
