"""What a folder holds beside the model: the blend, and metrics.json, how a figure came about."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..errors import InputError
from ..evaluation import Blend, Report, TransitionTable
from ..files import (
    CONFIG,
    TRANSITIONS,
    pack,
    read_config,
    read_tensors,
    stored,
    write_atomically,
    write_together,
)
from ..model import BERT4Rec
from ..training import TrainingConfig
from ..training.checkpoint import RECORD, Run


def write_record(
    run: Run,
    report: Report,
    data: Mapping[str, object],
    seconds: float,
    weights: Mapping[float, float],
) -> None:
    """Write metrics.json into a model's folder.

    Args:
        run: the training that made the model.
        report: what it reached on the test.
        data: where the log came from, how it was read, and its digest.
        seconds: of everything, reading and evaluation included, and what was trained before it was
            resumed.
        weights: the validation's metric by the weight of item transitions.
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
        "weights of transitions": {f"{w:g}": value for w, value in weights.items()},
        "seconds": {"training": run.history.seconds, "total": seconds},
        "versions": versions(run.model.device),
    }
    write_atomically(run.target.output / RECORD, json.dumps(record, indent=2).encode())


def add_blend(folder: Path, blend: Blend) -> None:
    """Write a blend's transitions and weight beside the model in a folder, at once."""
    config = {**read_config(folder), **blend_entry(blend)}
    contents = {CONFIG: json.dumps(config, indent=2).encode(), TRANSITIONS: packed(blend)}
    write_together(folder, contents)


def blend_entry(blend: Blend | None) -> dict[str, object]:
    """What config.json says of a blend."""
    if blend is None:
        return {}
    return {"blend": {"weight": blend.weight, "back": blend.table.back}}


def packed(blend: Blend) -> bytes:
    """A blend's transitions as a file."""
    table = blend.table
    small = len(table.totals) < 2**15
    return pack(
        {
            "tokens": table.tokens.cpu().to(torch.int16 if small else torch.int32),
            "shares": table.shares.cpu().half(),
            "totals": table.totals.cpu(),
        }
    )


def read_blend(folder: Path, model: BERT4Rec) -> Blend | None:
    """Read the blend of a model's folder, if it has one.

    Raises:
        InputError: its file is missing, damaged or of another model.
    """
    said = read_config(folder).get("blend")
    if said is None:
        return None
    path = stored(folder, TRANSITIONS)
    tensors, _ = read_tensors(path)
    try:
        tokens, shares, totals = (tensors[name] for name in ("tokens", "shares", "totals"))
        table = TransitionTable(tokens, shares, totals, float(said.get("back", 0.0)))
        fits = table.tokens.shape == table.shares.shape and table.tokens.ndim == 2
        if not fits or not len(table.tokens) == len(table.totals) == model.config.num_tokens:
            raise ValueError("it is of another model")
        if not 0 <= int(table.tokens.min()) <= int(table.tokens.max()) <= model.config.num_items:
            raise ValueError("it holds tokens that are no items")
        return Blend(model, table.to(model.device), float(said["weight"]))
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        raise InputError(f"{path} does not fit the model: {error}") from error


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


def training_of(config: dict) -> TrainingConfig:
    """The training settings that a folder tells, or the default ones where it tells none."""
    stored_config = config.get("training")
    if not isinstance(stored_config, dict):
        return TrainingConfig()
    known = {f.name for f in fields(TrainingConfig)}
    try:
        return TrainingConfig(**{k: v for k, v in stored_config.items() if k in known})
    except TypeError as error:
        raise InputError(
            f"{CONFIG} is damaged: its training settings are wrong: {error}"
        ) from error
