"""Titles in, titles out: fit on a log, recommend, look into why, update, save and load.

A folder holds model.safetensors and config.json (`BERT4Rec.save`), vocabulary.csv (`Catalogue`),
and metrics.json, if the model was evaluated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..data import Catalogue, Holdout, Sequences, Split, Vocabulary
from ..data.splits import check_seen
from ..errors import InputError, is_whole
from ..evaluation import Blend, Negatives, Report, Scorer
from ..files import TRANSITIONS, VOCABULARY, model_folder, read_config, stored
from ..model import BERT4Rec
from ..training import History, Preset, TrainingConfig
from . import export, fitting
from .inference import (
    allowed_tokens,
    best_items,
    compare,
    entries_of,
    explanation,
    nearest_items,
    note_empty,
    ranked_table,
    read_histories,
)
from .records import blend_entry, packed, read_blend, training_of


class Recommender:
    """Recommends the next items for any history, of a known user or not.

    Args:
        model: a trained model.
        vocabulary: the items it was trained on.
        items: a table with an item column (movieId, item_id, …) and a title column. Items that
            it lacks, or all without it, are called by their id.
        counts: (num_items + 2,) how often each token occurs in training, as
            `Sequences.item_counts` gives it: what an empty history is answered with.

    Attributes:
        sequences, split, history, report: the histories it was trained on, their split, what
            happened, and what was reached on the test (if a folder was named), where `fit` or
            `update` made this recommender; None after loading.
    """

    def __init__(
        self,
        model: BERT4Rec,
        vocabulary: Vocabulary,
        items: pd.DataFrame | None = None,
        counts: np.ndarray | None = None,
    ):
        self._take(model, Catalogue(vocabulary, items, counts))
        self.training, self.seen = TrainingConfig(), "exclude"
        self.validation_users: int | None = None
        self.sequences: Sequences | None = None
        self.split: Split | None = None
        self.history: History | None = None
        self.report: Report | None = None

    def _take(self, model: BERT4Rec, catalogue: Catalogue, blend: Blend | None = None) -> None:
        if model.config.num_items != catalogue.vocabulary.num_items:
            raise InputError(
                f"the model knows {model.config.num_items:,} items, the vocabulary "
                f"{catalogue.vocabulary.num_items:,}; they must come from the same data."
            )
        self.model, self.catalogue, self.blend = model.eval(), catalogue, blend

    @property
    def scorer(self) -> Scorer:
        """What `recommend` ranks by: the blend, or the model where there is none."""
        return self.blend or self.model

    @property
    def vocabulary(self) -> Vocabulary:
        return self.catalogue.vocabulary

    @property
    def titles(self) -> list[str]:
        """The title of each item; that of token t stands at t - 1."""
        return self.catalogue.titles

    def __repr__(self) -> str:
        return f"Recommender({self.vocabulary.num_items:,} items, on {self.model.device})"

    def recommend(
        self,
        history: Iterable,
        k: int = 10,
        exclude: Iterable[object] = (),
        only: Iterable[object] | None = None,
        seen: str | None = None,
    ) -> pd.DataFrame:
        """Recommend the k best next items, best first; by default none that is in the history.

        The scores are the ones that `evaluate` ranks by: the model's logits at a [MASK] after the
        newest items of the history. An empty history is answered with the items that are most
        popular in training (scored by the log of their share), with a warning.

        Args:
            history: titles or item ids, oldest first; or many histories: a list of such lists, a
                dict of them by user, or `Sequences`. Titles may be typed as people do, "matrix" or
                "star wars"; of several that fit the most chosen is taken, with a note. Unknown
                items are left out, with one warning that names them.
            k: how many; fewer are returned where there are fewer.
            exclude: titles or ids that must not be recommended.
            only: titles or ids to choose from; None stands for all.
            seen: "exclude" or "include" the items of the history; default as it was trained.

        Returns:
            A DataFrame with columns item, title and score, by rank, from 1; for many histories by
            user (their key in the dict, or place in the list) and rank.

        Raises:
            InputError: k is not positive, or the history is no list.
        """
        if not is_whole(k, least=1):
            raise InputError(f"k must be at least 1, a whole number, not {k!r}.")
        seen = self.seen if seen is None else seen
        check_seen(seen)
        histories, many = read_histories(self.catalogue, history)
        allowed = allowed_tokens(self.catalogue, exclude, only)
        note_empty(self.catalogue, histories)
        best, scores = best_items(self.scorer, self.catalogue, histories, k, allowed, seen)
        return ranked_table(self.catalogue, histories.users if many else None, best, scores)

    def similar(self, item: object, k: int = 10) -> pd.DataFrame:
        """Return the k items whose embeddings are nearest to an item's, by cosine similarity.

        Args:
            item: a title or an id.
            k: how many.

        Returns:
            A DataFrame with columns item, title and similarity (at most 1), by rank, from 1.

        Raises:
            InputError: the item is not known.
        """
        found, similarity = nearest_items(self.model, self.catalogue.token(item), k)
        columns = {**self.catalogue.table(found), "similarity": similarity}
        return pd.DataFrame(columns, index=pd.RangeIndex(1, len(found) + 1, name="rank"))

    def explain(self, history: Iterable[object], item: object = None) -> pd.DataFrame:
        """Show what the model looked at, and what an item's score would be without each entry.

        Attention tells where information came from, not why an item won (Jain and Wallace 2019).
        The change of the score does tell what each entry did for it.

        Args:
            history: titles or item ids, oldest first.
            item: a title or an id; default the first that `recommend` gives.

        Returns:
            A DataFrame with a row for each of the newest items that the model sees, oldest first,
            and one for [MASK], the question. Columns: title; ("layer 1", "head 1"), …: the
            attention that [MASK] pays to the row, which adds up to 1; and "gain": the item's score
            less what it is when the row is left out of the history. Of a blend that is the sum of
            ("of which", "attention") and ("of which", "counting").

        Raises:
            InputError: as in `recommend`; or nothing is left of the history.
        """
        wanted = None if item is None else self.catalogue.token(item)
        return explanation(self.model, self.catalogue, self.tokens(history), wanted, self.blend)

    def tokens(self, history: Iterable[object]) -> np.ndarray:
        """Return the tokens of a list of titles or ids, int32; unknown ones are left out, noted."""
        return self.catalogue.tokens(entries_of(history))

    def suggest(self, text: str, count: int = 3) -> list[str]:
        """Return titles that contain a text, or else resemble it."""
        return self.catalogue.suggest(text, count)

    def evaluate(
        self,
        split: Split | Holdout,
        protocol: str | Negatives = "full",
        beside: Mapping[str, Scorer] | None = None,
    ) -> Report:
        """Rank the held-out items beside item transitions and popularity, by the same scores.

        Args:
            split: a split, whose test is ranked, or one of its parts, as `split.validation`.
            protocol: see `evaluate`.
            beside: other models by name, of the same items, that are ranked too.

        Raises:
            InputError: the split is of another vocabulary.
        """
        holdout = split.test if isinstance(split, Split) else split
        if holdout.histories.vocabulary != self.vocabulary:
            raise InputError(
                "the split is of another vocabulary than the model. Build it with "
                "Sequences.from_interactions(…, vocabulary=recommender.vocabulary)."
            )
        return compare(self.model, holdout, protocol, beside, self.blend)

    @classmethod
    def fit(
        cls,
        interactions: pd.DataFrame,
        items: pd.DataFrame | None = None,
        preset: str | Preset = "auto",
        **options: Any,
    ) -> Recommender:
        """Train on a log: each user's last item is held out to test, and of at most
        `validation_users` the one before it, to choose by.

        Args:
            interactions: a row per interaction, columns of any name.
            items: a table of titles, as for the class.
            preset: the settings to start from: "auto" chooses them by the size and sparsity of
                the log (see `auto_preset`) and says what it chose; else one of `PRESETS`.
            options: how the log is read and split (fields of `Reading`: user, item, time,
                time_format, min_user_count, min_item_count, seen, validation_users), where the
                model goes (of `Target`: output, log_dir, resume, overwrite, progress, on_epoch,
                data), and settings that differ from the preset (of `ModelConfig` and
                `TrainingConfig`: epochs=5, max_len=50).

        Returns:
            The recommender, with `split`, `history` and, if there is a folder, `report`.

        Raises:
            InputError: the log, a setting or the folder cannot be used; nothing was trained.
            FloatingPointError: see `train`.
            KeyboardInterrupt: it was interrupted (Ctrl-C) before the first validation; the message
                says what is in the folder. Later, an interrupt ends training with the best so far.
        """
        job = fitting.fit(interactions, items, preset, options)
        job.do()
        self = cls.__new__(cls)
        self.training, self.seen = job.run.config, job.run.split.test.seen
        self._keep(job)
        return self

    def update(
        self, interactions: pd.DataFrame, items: pd.DataFrame | None = None, **options: Any
    ) -> History:
        """Go on training with newer interactions, and learn the new items among them.

        The model starts from what it knows: scores of known items are at first what they were, new
        items stand where their neighbours in the log do (see `warm_start.grown`). Training is
        short, at a quarter of the rates, unless `options` say otherwise. Pass the whole histories
        of the users who did something new, and some others, so that what was learnt stays in use:
        the model trains on what it is given. (Where not all users were validated in `fit`, the
        validation of an update holds some items that were learnt then.)

        Args:
            interactions: a row per interaction, of known and new users.
            items: titles of new items; known titles stay.
            options: as in `fit`. All users are kept unless min_user_count says otherwise;
                min_item_count leaves out new items, known ones stay. The folder may be the one that
                this was loaded from. Settings of the model's shape cannot change.

        Returns:
            What happened; `split` and `report` are those of the new log.

        Raises:
            InputError: as in `fit`; or the ids are of another type, or a setting is one of the
                model's shape, which an update keeps.
            KeyboardInterrupt, FloatingPointError: as in `fit`.
            Whatever is raised, this recommender is what it was, or, if a better model was saved
            before that, what is in `output`.
        """
        transitions = None if self.blend is None else self.blend.table
        job = fitting.update(
            self.model,
            transitions,
            self.catalogue,
            self.training,
            interactions,
            items,
            {"seen": self.seen, **options},
        )
        try:
            job.do()
        except BaseException:
            if job.saved:
                self._keep(job)
            raise
        self._keep(job)
        return job.run.history

    def _keep(self, job: fitting.Job) -> None:
        self._take(job.run.model, job.catalogue, job.blend)
        self.sequences, self.split = job.sequences, job.run.split
        self.validation_users = job.run.split.validation_users
        self.history, self.report = job.run.history, job.report

    def save(self, folder: str | Path, **extra: object) -> None:
        """Write the model and its vocabulary into a folder; a crash leaves all old or all new.

        Args:
            folder: is made if it is not there.
            extra: further entries of config.json.

        Raises:
            InputError: the folder cannot be written to; what was there is untouched.
        """
        known = {"seen": self.seen, "validation_users": self.validation_users}
        extra = {"training": asdict(self.training), **known, **extra, **blend_entry(self.blend)}
        files = {VOCABULARY: self.catalogue.to_csv()}
        if self.blend is not None:
            files[TRANSITIONS] = packed(self.blend)
        self.model.save(folder, files, **extra)

    @classmethod
    def load(
        cls, folder: str | Path, device: str | torch.device = "cpu", blend: bool = True
    ) -> Recommender:
        """Read a folder that `save`, `fit` or `bert4rec train` wrote. Runs no code of it.

        Args:
            folder: where it was saved, or "ml-1m": trained on MovieLens-1M, and part of the
                package. Its items are MovieLens ids.
            device: where it shall compute; "auto" takes a GPU if there is one.
            blend: False leaves out the item transitions, if there are any: the model alone.

        Raises:
            InputError: a file is missing or damaged, or the files do not belong together.
        """
        folder = model_folder(folder)
        self = cls.__new__(cls)
        model, catalogue = BERT4Rec.load(folder, device), Catalogue.read(stored(folder, VOCABULARY))
        self._take(model, catalogue, read_blend(folder, model) if blend else None)
        self.sequences = self.split = self.history = self.report = None
        config = read_config(folder)
        self.training, self.seen = training_of(config), str(config.get("seen", "exclude"))
        self.validation_users = config.get("validation_users")
        return self

    def to_onnx(self, path: str | Path) -> None:
        """Write the scoring part as an ONNX model; see `export.to_onnx`."""
        export.to_onnx(self.model, path, self.blend)
