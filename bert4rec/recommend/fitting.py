"""From a log to a trained model: `fit` makes a new one, `update` goes on with one.

Each gives a `Job`: what is trained, on what, and where to. `Job.do` trains, evaluates and records.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from .. import distributed
from ..data import Catalogue, Reading, Sequences, Vocabulary
from ..data.catalogue import item_titles
from ..data.interactions import as_frame, find_columns
from ..data.values import id_codes
from ..errors import InputError
from ..evaluation import (
    Blend,
    ItemTransitions,
    Popularity,
    Report,
    TransitionTable,
    choose_blend,
    choose_weight,
)
from ..files import CONFIG, VOCABULARY, stored
from ..model import BERT4Rec, ModelConfig
from ..registry import sort_options
from ..training import AUTO, Preset, TrainingConfig, auto_preset, get_preset
from ..training.checkpoint import RECORD, Run, Target
from ..training.loop import train_run
from ..training.progress import log_result
from ..training.warm_start import grown
from .inference import compare
from .records import add_blend, write_record

SETTINGS = (ModelConfig, TrainingConfig)


@dataclass
class Job:
    """A training of a recommender.

    Attributes:
        run: model, split, settings, folder.
        catalogue: the items, with titles and counts.
        sequences: the whole log.
        data: what the records say of the log.
        settings: where the next update starts from: those of the first training.
        begun: when it was begun, by `perf_counter`.
        items: the table of titles, if there is one.
        transitions: earlier counts, which the log's own are merged with.
        blend: the model with the transitions, if it was asked for.
        report: what was reached on the test, where a folder was named.
    """

    run: Run
    catalogue: Catalogue
    sequences: Sequences
    data: dict[str, object]
    settings: TrainingConfig
    begun: float
    items: pd.DataFrame | None = None
    transitions: TransitionTable | None = None
    blend: Blend | None = None
    report: Report | None = None

    @property
    def saved(self) -> bool:
        """Whether a model of this job is in the folder."""
        return self.run.target.output is not None and self.run.history.best_epoch > 0

    def do(self) -> None:
        """Train and, where there is a folder, evaluate and record.

        Raises:
            KeyboardInterrupt: nothing was validated before the interrupt, or nothing evaluated.
            InputError, FloatingPointError: see `train`.
        """
        run, folder = self.run, self.run.target.output
        if folder is not None:
            run.files = {VOCABULARY: self.catalogue.to_csv()}
            run.extra = {
                "data": self.data,
                "training": asdict(self.settings),
                "seen": run.split.test.seen,
                "validation_users": run.split.validation_users,
            }
        if run.target.log_dir is not None:
            run.beside = lambda: {
                "popularity": Popularity(run.split.train),
                "item transitions": ItemTransitions(run.split.train),
            }
        train_run(run)
        if not run.history.best_epoch:
            raise KeyboardInterrupt(_nothing_trained(run))
        try:
            weights = self._mix()
            if folder is not None:
                self.report = compare(run.model, run.split.test, blend=self.blend)
        except KeyboardInterrupt:
            if folder is None:
                raise
            raise KeyboardInterrupt(
                f"the model is saved in {folder}, but was not evaluated: there is no {RECORD}."
            ) from None
        if self.report is not None and distributed.rank() == 0:
            data = {**self.data, "sha256": self.sequences.digest()}
            seconds = run.earlier + perf_counter() - self.begun
            write_record(run, self.report, data, seconds, weights)
        log_result(run, self.report, self.catalogue, self.items)

    def _mix(self) -> dict[float, float]:
        """Choose the weight of the blend; returns the validation's metric by weight."""
        run = self.run
        if not run.target.blend:
            return {}
        train, validation, metric = run.split.train, run.split.validation, run.config.metric
        if self.transitions is None:
            self.blend, found = choose_blend(run.model, train, validation, metric)
        else:
            table = TransitionTable.count(train, back=self.transitions.back)
            table = self.transitions.merged(table).to(run.model.device)
            self.blend, found = choose_weight(run.model, table, validation, metric)
        if run.target.progress and distributed.rank() == 0:
            weight, back = self.blend.weight, self.blend.table.back
            before = f" (what came before counts {back:g})" * (back > 0)
            print(
                f"blend: {weight:.2f} of item transitions{before}, validation {metric} "
                f"{found[weight]:.4f} (the network alone {found[0.0]:.4f}, they alone "
                f"{found[1.0]:.4f})",
                flush=True,
            )
        if run.target.output is not None and distributed.rank() == 0:
            add_blend(run.target.output, self.blend)
        return found


def fit(
    interactions: object,
    items: pd.DataFrame | None = None,
    preset: str | Preset = AUTO,
    options: Mapping[str, Any] | None = None,
) -> Job:
    """Prepare what `Recommender.fit` says."""
    begun = perf_counter()
    (reading, target), changes = sort_options(options or {}, (Reading, Target), SETTINGS)
    by_log = preset == AUTO
    preset = get_preset("tutorial" if by_log else preset, **changes)
    preset.model_config(1)  # a bad value is said before anything is read
    there = target.output is not None and stored(target.output, CONFIG).exists()
    if there and not (target.resume or target.overwrite):
        raise InputError(
            f"{target.output} already holds a model. resume (--resume) goes on with it, overwrite "
            "(--overwrite) replaces it, or choose another folder."
        )
    frame = as_frame(interactions)
    sequences = Sequences.from_interactions(frame, **reading.arguments())
    split = reading.split(sequences)
    distributed.start(preset.training.device)
    said = [str(sequences)]
    if split.validation_users is not None:
        said.append(
            f"validation: {split.validation_users:,} of {len(split.test):,} users; of the others "
            "only the last item is held out (validation_users)"
        )
    if by_log:
        chosen, reason = auto_preset(split.train)
        preset = get_preset(chosen, **changes)
        said.append(reason)
    if target.progress and distributed.rank() == 0:
        print(*said, sep="\n", flush=True)
    torch.manual_seed(preset.training.seed)
    model = BERT4Rec(preset.model_config(sequences.num_items))
    catalogue = Catalogue(sequences.vocabulary, items, split.train.item_counts())
    names = find_columns(frame, reading.user, reading.item, reading.time)
    data = {**asdict(reading), **dict(zip(("user", "item", "time"), names, strict=True))}
    data = {k: v.item() if isinstance(v, np.generic) else v for k, v in data.items()}  # for JSON
    if not reading.time_format:
        del data["time_format"]
    run = Run(model, split, preset.training, target)
    return Job(run, catalogue, sequences, data | target.data, preset.training, begun, items)


def update(
    model: BERT4Rec,
    transitions: TransitionTable | None,
    catalogue: Catalogue,
    training: TrainingConfig,
    interactions: object,
    items: pd.DataFrame | None = None,
    options: Mapping[str, Any] | None = None,
) -> Job:
    """Prepare what `Recommender.update` says, for a model, its items and its first settings."""
    begun = perf_counter()
    options = {"min_user_count": 1, **(options or {})}
    (reading, target), changes = sort_options(options, (Reading, Target), SETTINGS)
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
        device=distributed.place_of(model.device),  # the first training may have been elsewhere
    )
    config = get_preset(Preset("", {}, gentle), **changes).training
    frame = as_frame(interactions)
    vocabulary = _with_new_items(catalogue.vocabulary, frame, reading)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rare new items are left out, as was asked for
        sequences = Sequences.from_interactions(
            frame, vocabulary=vocabulary, **(reading.arguments() | {"min_item_count": 1})
        )
    split = reading.split(sequences)
    counts, known = split.train.item_counts(), catalogue.vocabulary.num_items
    if catalogue.counts is not None:
        # whole histories come again: to add them up would count them twice
        before = counts[: known + 1]
        np.maximum(before, catalogue.counts[:-1], out=before)
    titles = catalogue.titles + item_titles(vocabulary, items)[known:]
    table = pd.DataFrame({"item": vocabulary.items, "title": titles})
    run = Run(grown(model, split.train), split, config, target)
    data: dict[str, object] = {"updated": True, **target.data}
    items_known = Catalogue(vocabulary, table, counts)
    return Job(run, items_known, sequences, data, training, begun, items, transitions)


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


def _nothing_trained(run: Run) -> str:
    """What to tell who interrupted a training before its first validation."""
    text = "it ended before the first validation; no model was trained."
    folder = run.target.output
    if folder is None:
        return text
    old = stored(folder, CONFIG).exists()
    text += f" The model that was in {folder} is still there." if old else ""
    if run.history.epochs:
        text += f" resume (--resume) goes on after epoch {len(run.history.epochs)}."
    return text
