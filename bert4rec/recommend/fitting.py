"""From a log to a trained model: `fit` makes a new one, `update` goes on with one.

Each gives a `Job`: what is trained, on what, and where to. `Job.do` trains, evaluates and records.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from .. import distributed
from ..data.catalogue import Catalogue, item_titles
from ..data.interactions import Reading, as_frame, find_columns
from ..data.sequences import Sequences
from ..data.splits import Split
from ..data.values import id_codes
from ..data.vocabulary import Vocabulary
from ..errors import InputError, did_you_mean
from ..evaluation.protocols import Report
from ..files import CONFIG, VOCABULARY, stored
from ..model.bert4rec import BERT4Rec
from ..model.config import ModelConfig
from ..training.checkpoint import RECORD, History, Run
from ..training.loop import train_run
from ..training.settings import Preset, TrainingConfig, get_preset
from ..training.warm_start import grown
from .inference import compare
from .records import write_record


@dataclass(frozen=True)
class Target:
    """Where a training goes, and what is shown of it."""

    output: str | Path | None = None
    """A folder for the model, its checkpoint and metrics.json. A log can be trained on without one
    and saved later."""
    log_dir: str | Path | None = None
    """A folder for TensorBoard's event files; each run gets one of its own in it."""
    resume: bool = False
    """Go on from the checkpoint in the output folder."""
    overwrite: bool = False
    """Replace the model in the output folder."""
    progress: bool = True
    """Show a bar in a terminal, elsewhere print a line per epoch."""
    on_epoch: Callable[[History], bool | None] | None = None
    """Is called after each epoch with what happened so far; True ends the training."""
    data: Mapping[str, object] = field(default_factory=dict)
    """What config.json and metrics.json shall say about where the log came from."""


@dataclass
class Job:
    """A training of a recommender.

    Attributes:
        run: model, split, settings, folder.
        catalogue: the items, with titles and counts.
        sequences: the whole log.
        data: what the records say of the log.
        begun: when it was begun, by `perf_counter`.
        report: what was reached on the test, where a folder was named.
    """

    run: Run
    catalogue: Catalogue
    sequences: Sequences
    data: dict[str, object]
    begun: float
    report: Report | None = None

    @property
    def saved(self) -> bool:
        """Whether a model of this job is in the folder."""
        return self.run.output is not None and self.run.history.best_epoch > 0

    def do(self) -> None:
        """Train and, where there is a folder, evaluate and record.

        Raises:
            KeyboardInterrupt: nothing was validated before the interrupt, or nothing evaluated.
            InputError, FloatingPointError: see `train`.
        """
        run = self.run
        if run.output is not None:
            run.files = {VOCABULARY: self.catalogue.to_csv()}
        train_run(run)
        if not run.history.best_epoch:
            raise KeyboardInterrupt(_nothing_trained(run))
        if run.output is None:
            return
        try:
            self.report = compare(run.model, run.split.test)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"the model is saved in {run.output}, but was not evaluated: there is no {RECORD}."
            ) from None
        if distributed.rank() == 0:
            data = {**self.data, "sha256": self.sequences.digest()}
            write_record(run, self.report, data, perf_counter() - self.begun)


def fit(
    interactions: object,
    items: pd.DataFrame | None = None,
    preset: str | Preset = "tutorial",
    options: Mapping[str, Any] | None = None,
) -> Job:
    """Prepare what `Recommender.fit` says."""
    begun = perf_counter()
    reading, target, changes = _sorted_options(options or {})
    preset = get_preset(preset, **changes)
    preset.model_config(1)  # a bad value is said before anything is read
    folder = None if target.output is None else Path(target.output)
    there = folder is not None and stored(folder, CONFIG).exists()
    if there and not (target.resume or target.overwrite):
        raise InputError(
            f"{folder} already holds a model. resume (--resume) goes on with it, overwrite "
            "(--overwrite) replaces it, or choose another folder."
        )
    frame = as_frame(interactions)
    sequences = Sequences.from_interactions(frame, **asdict(reading))
    split = sequences.leave_one_out()
    distributed.start(preset.training.device)
    if target.progress and distributed.rank() == 0:
        print(sequences, flush=True)
    torch.manual_seed(preset.training.seed)
    model = BERT4Rec(preset.model_config(sequences.num_items))
    catalogue = Catalogue(sequences.vocabulary, items, split.train.item_counts())
    names = find_columns(frame, reading.user, reading.item, reading.time)
    data = {**asdict(reading), **dict(zip(("user", "item", "time"), names, strict=True))}
    if not reading.time_format:
        del data["time_format"]
    data |= target.data
    run = _run(model, split, preset.training, target, data, preset.training)
    return Job(run, catalogue, sequences, data, begun)


def update(
    model: BERT4Rec,
    catalogue: Catalogue,
    training: TrainingConfig,
    interactions: object,
    items: pd.DataFrame | None = None,
    options: Mapping[str, Any] | None = None,
) -> Job:
    """Prepare what `Recommender.update` says, for a model, its items and its first settings."""
    begun = perf_counter()
    reading, target, changes = _sorted_options({"min_user_count": 1, **(options or {})})
    for key in changes:
        if key in {f.name for f in fields(ModelConfig)}:
            raise InputError(
                f"an update cannot change {key}: the model keeps its shape. To train one of "
                "another shape: Recommender.fit."
            )
    gentle = replace(
        training,
        epochs=3,
        learning_rate=training.learning_rate / 4,
        muon_learning_rate=training.muon_learning_rate / 4,
        start_at_popularity=False,
        start_at_neighbours=0,
        device=str(model.device),  # the first training may have been elsewhere
    )
    config = get_preset(Preset("", {}, gentle), **changes).training
    frame = as_frame(interactions)
    vocabulary = _with_new_items(catalogue.vocabulary, frame, reading)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare new items are left out, as was asked for
        sequences = Sequences.from_interactions(
            frame, vocabulary=vocabulary, **(asdict(reading) | {"min_item_count": 1})
        )
    split = sequences.leave_one_out()
    counts, known = split.train.item_counts(), catalogue.vocabulary.num_items
    if catalogue.counts is not None:
        # whole histories come again: to add them up would count them twice
        before = counts[: known + 1]
        np.maximum(before, catalogue.counts[:-1], out=before)
    titles = catalogue.titles + item_titles(vocabulary, items)[known:]
    table = pd.DataFrame({"item": vocabulary.items, "title": titles})
    # the next update starts from the settings of the first training again
    data: dict[str, object] = {"updated": True, **target.data}
    run = _run(grown(model, split.train), split, config, target, data, training)
    return Job(run, Catalogue(vocabulary, table, counts), sequences, data, begun)


def _run(
    model: BERT4Rec,
    split: Split,
    config: TrainingConfig,
    target: Target,
    data: Mapping[str, object],
    first: TrainingConfig,
) -> Run:
    return Run(
        model,
        split,
        config,
        output=None if target.output is None else Path(target.output),
        log_dir=None if target.log_dir is None else Path(target.log_dir),
        resume=target.resume,
        progress=target.progress,
        on_epoch=target.on_epoch,
        extra={"data": data, "training": asdict(first)},
    )


def _with_new_items(known: Vocabulary, frame: pd.DataFrame, reading: Reading) -> Vocabulary:
    """A vocabulary and, behind its items, those of a log that occur often enough."""
    _, item, _ = find_columns(frame, reading.user, reading.item, reading.time)
    codes, found = id_codes(frame[item], item)
    items = known.items
    if len(found) and isinstance(found[0], str) != isinstance(items[0], str):
        raise InputError(
            f"the new items are called like {found.tolist()[0]!r}, the known ones like "
            f"{items.tolist()[0]!r}. Convert the new ids: interactions[column].astype(…)."
        )
    often = np.bincount(codes, minlength=len(found)) >= reading.min_item_count
    return Vocabulary(items.append(found[often & ~found.isin(items)]))


def _sorted_options(options: Mapping[str, Any]) -> tuple[Reading, Target, dict[str, Any]]:
    """Sort options by what they are of: how the log is read, where to, and the settings."""
    rest = dict(options)

    def taken(kind: type) -> dict[str, Any]:
        return {f.name: rest.pop(f.name) for f in fields(kind) if f.name in rest}

    reading, target = Reading(**taken(Reading)), Target(**taken(Target))
    settings = {f.name for kind in (ModelConfig, TrainingConfig) for f in fields(kind)}
    named = {f.name for kind in (Reading, Target) for f in fields(kind)}
    for key in rest:
        if key not in settings:
            raise InputError(
                f"there is no option or setting {key!r}." + did_you_mean(key, settings | named)
            )
    return reading, target, rest


def _nothing_trained(run: Run) -> str:
    """What to tell who interrupted a training before its first validation."""
    text = "it ended before the first validation; no model was trained."
    if run.output is None:
        return text
    old = stored(run.output, CONFIG).exists()
    text += f" The model that was in {run.output} is still there." if old else ""
    if run.history.epochs:
        text += f" resume (--resume) goes on after epoch {len(run.history.epochs)}."
    return text
