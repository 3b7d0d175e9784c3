"""Measure why mixing with counts helps, what SASRec's lead is made of, and what patience gives.

    python results/measure_why.py --ml-1m ml-1m.txt.xz --ml-100k ml-100k.inter

Writes why.json beside this file, row by row; rows that are in it already are not measured again.
Full ranking; NDCG@10 and HR@10 are of the test. Trainings use the preset `tutorial`, three seeds,
one thread. An hour and a half of one quiet core.

    order   MovieLens-1M, the shipped weights: the newest films shuffled among themselves, so that
            they are still the newest
    why     the gain of the blend over its network, by kind of user: how often the target and the
            item before it occur in training, whether the one followed the other there, how much
            time lies between them
    lead    BERT4Rec and SASRec as they are, with as many answers, asked for the last place alone,
            and with BERT4Rec trained until it has had as many answers as SASRec
    recipe  random item embeddings and AdamW, with three times the epochs of the preset
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from row_by_row import measure_rows, movielens_logs

from bert4rec import (
    BERT4Rec,
    ItemTransitions,
    Ranks,
    Recommender,
    Sequences,
    Split,
    evaluate,
    get_preset,
    load_movielens,
    read_interactions,
    train,
)
from bert4rec.cloze import ClozeBatches, NextItemBatches, choose_masked
from bert4rec.data import IGNORE
from bert4rec.evaluation import TransitionTable, choose_weight
from bert4rec.recommend.records import versions
from bert4rec.training import loop

OUTPUT = Path(__file__).resolve().parent / "why.json"
SEEDS = (0, 1, 2)


def main() -> None:
    ml_1m, ml_100k, command = movielens_logs(__doc__, "measure_why.py")
    torch.set_num_threads(1)
    about = {
        "command": command,
        "training": {"preset": "tutorial", "seeds": list(SEEDS)},
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, rows(ml_1m, ml_100k))


def rows(ml_1m: Path, ml_100k: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name."""
    for name in ("ml-1m", "ml-1m-causal"):
        yield f"why, MovieLens-1M, {name} as shipped", partial(why_shipped, ml_1m, name)
    small = Log("embedded set", lambda: load_movielens("small")[0])
    other = Log("MovieLens-100K", lambda: read_interactions(ml_100k))
    yield "why, embedded set", small.why
    for variant in VARIANTS:
        for seed in SEEDS:
            yield f"lead, embedded set, {variant}, seed {seed}", partial(small.lead, variant, seed)
    for newest in (2, 5, 20, 100):
        name = f"order, MovieLens-1M, the newest {newest} shuffled among themselves"
        yield name, partial(order, ml_1m, newest)
    slow = {"start_at_neighbours": 0, "muon_learning_rate": 0.0}
    for seed in SEEDS:
        name = f"recipe, embedded set, random start and AdamW, 36 epochs, seed {seed}"
        yield name, partial(small.recipe, seed, {**slow, "epochs": 36})
    yield "why, MovieLens-100K", other.why


# What order is worth


def order(ml_1m: Path, newest: int) -> dict:
    """Rank the test targets after histories whose newest items stand in another order."""
    networks = {
        name: Recommender.load(weights, blend=False)
        for name, weights in (("BERT4Rec", "ml-1m"), ("SASRec", "ml-1m-causal"))
    }
    log = replace(Sequences.from_file(ml_1m), vocabulary=networks["SASRec"].vocabulary)
    split, random = log.leave_one_out(), np.random.default_rng(0)
    histories = split.test.histories
    tokens = histories.tokens.copy()
    for start, stop in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        random.shuffle(tokens[max(start, stop - newest) : stop])
    test = replace(split.test, histories=replace(histories, tokens=tokens))
    models = {name: network.model for name, network in networks.items()}
    found = evaluate(models | {"item transitions": ItemTransitions(split.train)}, test).models
    return {
        name: {metric: ranks.metric(metric) for metric in ("NDCG@10", "HR@10")}
        for name, ranks in found.items()
        if name != "popularity"
    }


# What is asked in training


class FewerAnswers(NextItemBatches):
    """SASRec's batches with answers at the places that BERT4Rec's cloze task would have chosen."""

    def examples(self, tokens, generator):
        inputs, labels = super().examples(tokens, generator)
        cloze = get_preset("tutorial").training
        asked = choose_masked(inputs, cloze.mask_prob, cloze.last_item_prob, generator)
        return inputs, torch.where(asked, labels, IGNORE)


class LastAnswer(NextItemBatches):
    """SASRec's batches with the answer at the last place alone."""

    def examples(self, tokens, generator):
        inputs, labels = super().examples(tokens, generator)
        labels = labels.clone()
        labels[:, :-1] = IGNORE
        return inputs, labels


# the batches, and what is changed in the preset
VARIANTS: dict[str, tuple[type[ClozeBatches], dict]] = {
    "BERT4Rec": (ClozeBatches, {}),
    "SASRec": (NextItemBatches, {"causal": True}),
    "SASRec, as few answers": (FewerAnswers, {"causal": True}),
    "BERT4Rec, the last place alone": (ClozeBatches, {"last_item_prob": 1.0}),
    "SASRec, the last place alone": (LastAnswer, {"causal": True}),
    "BERT4Rec, as many answers": (ClozeBatches, {"epochs": "as many answers"}),
}


class Log:
    """A log, its split, and what is measured on it."""

    def __init__(self, name: str, read: Callable[[], pd.DataFrame]):
        self.name, self.read = name, read
        self.trained = cache(self._trained)

    @property
    def sequences(self) -> Sequences:
        return Sequences.from_interactions(self.read(), min_user_count=5, min_item_count=5)

    def _trained(self, variant: str, seed: int) -> tuple[BERT4Rec, dict]:
        kind, changes = VARIANTS[variant]
        if "epochs" in changes:
            changes = {"epochs": self.epochs_for_as_many_answers()}
        return fit(self.sequences.leave_one_out(), kind, seed, changes)

    def epochs_for_as_many_answers(self) -> int:
        """How long BERT4Rec must be trained to have had as many answers as SASRec."""
        preset, split = get_preset("tutorial"), self.sequences.leave_one_out()
        answers = {}
        for causal in (False, True):
            config = get_preset("tutorial", causal=causal).model_config(split.train.num_items)
            batches = loop._batches(BERT4Rec(config), split, preset.training)
            answers[causal] = sum(int((labels != IGNORE).sum()) for _, labels in batches.epoch(1))
        return round(preset.training.epochs * answers[True] / answers[False])

    def lead(self, variant: str, seed: int) -> dict:
        return self.trained(variant, seed)[1]

    def recipe(self, seed: int, changes: dict) -> dict:
        return fit(self.sequences.leave_one_out(), ClozeBatches, seed, changes)[1]

    def why(self) -> dict:
        log = self.sequences
        models = [self.trained("BERT4Rec", seed)[0] for seed in SEEDS]
        return {"preset": "tutorial", "seeds": list(SEEDS), **why(log, models)}


def fit(split: Split, kind: type[ClozeBatches], seed: int, changes: dict) -> tuple[BERT4Rec, dict]:
    """Train with these batches, and report the test."""
    preset = get_preset("tutorial", seed=seed, device="cpu", **changes)
    torch.manual_seed(seed)
    model = BERT4Rec(preset.model_config(split.train.num_items))
    answers: Counter = Counter()

    class Counted(kind):  # type: ignore[misc, valid-type]
        def examples(self, tokens, generator):
            inputs, labels = super().examples(tokens, generator)
            answers["answers"] += int((labels != IGNORE).sum())
            return inputs, labels

    name = "NextItemBatches" if issubclass(kind, NextItemBatches) else "ClozeBatches"
    begun = time.process_time()
    with mock.patch.object(loop, name, Counted):
        history = train(model, split, preset.training, progress=False)
    seconds = time.process_time() - begun
    ranks = evaluate({"model": model}, split.test).models["model"]
    print(f"   {ranks.metric('NDCG@10'):.4f}, {seconds:.0f} s of a processor", flush=True)
    return model, {
        **{metric: ranks.metric(metric) for metric in ("NDCG@10", "HR@10")},
        "standard error": ranks.standard_error("NDCG@10"),
        "validation NDCG@10": [round(row["NDCG@10"], 5) for row in history.epochs],
        "epochs": preset.training.epochs,
        "best epoch": history.best_epoch,
        "steps": history.epochs[-1]["step"],
        "answers": answers["answers"],
        "processor seconds": round(seconds, 1),
    }


# Why mixing helps


def why_shipped(ml_1m: Path, name: str) -> dict:
    recommender = Recommender.load(name, blend=False)
    log = replace(Sequences.from_file(ml_1m), vocabulary=recommender.vocabulary)
    return {"weights": name, **why(log, [recommender.model])}


def why(log: Sequences, networks: list[BERT4Rec]) -> dict:
    """NDCG@10 of networks, transitions and their blends on the test, by kind of user."""
    split = log.leave_one_out()
    table, reports, weights = TransitionTable.count(split.train), [], []
    for network in networks:
        blend, _ = choose_weight(network, table, split.validation)
        weights.append(blend.weight)
        models = {"network": network, "transitions": ItemTransitions(split.train), "blend": blend}
        reports.append(evaluate(models, split.test).models)
    values = {
        name: np.mean([report[name].per_user("NDCG@10") for report in reports], axis=0)
        for name in ("network", "transitions", "blend")
    }
    total = (values["blend"] - values["network"]).sum()
    found: dict[str, dict] = {"everybody": {"all": summary(values, slice(None), total)}}
    for question, kinds in kinds_of_users(log, split).items():
        found[question] = {kind: summary(values, kinds == kind, total) for kind in kinds.categories}
    return {
        "users": len(split.test),
        "sha256": log.digest(),
        "weights of transitions": weights,
        "groups": found,
        "hits": hits(reports),
    }


def summary(values: dict[str, np.ndarray], users, total: float) -> dict:
    gain = (values["blend"] - values["network"])[users]
    return {
        "users": len(gain),
        **{name: float(value[users].mean()) for name, value in values.items()},
        "gain": float(gain.mean()),
        "standard error": float(gain.std(ddof=1) / len(gain) ** 0.5),
        "share of the gain": float(gain.sum() / total),
    }


def hits(reports: list[dict[str, Ranks]]) -> dict:
    """Who has the target in the top ten, and how many of those the blend has there; users."""
    found: dict[str, list[float]] = {}
    for report in reports:
        hit = {name: ranks.per_user("HR@10") for name, ranks in report.items()}
        network, transitions = hit["network"] > 0.5, hit["transitions"] > 0.5
        for name, users in {
            "both": network & transitions,
            "network alone": network & ~transitions,
            "transitions alone": ~network & transitions,
            "neither": ~network & ~transitions,
        }.items():
            found.setdefault(name, []).append([int(users.sum()), float(hit["blend"][users].sum())])
    means = {name: np.mean(pairs, axis=0) for name, pairs in found.items()}
    return {name: {"users": mean[0], "hits of the blend": mean[1]} for name, mean in means.items()}


def kinds_of_users(log: Sequences, split: Split) -> dict[str, pd.Categorical]:
    """Users by what training, and the clock, know of the target and the item before it."""
    target = np.asarray(split.test.targets)
    before = log.tokens[log.offsets[1:] - 2]
    assert (log.tokens[log.offsets[1:] - 1] == target).all()
    occurs, pairs = split.train.item_counts(), Counter(adjacent(split.train))
    asked = zip(before.tolist(), target.tolist(), strict=True)
    followed = np.array([pairs[pair] for pair in asked])
    kinds = {
        "how often the target occurs in training": quartiles(occurs[target]),
        "how often the item before it occurs in training": quartiles(occurs[before]),
        "how often it directly followed that item in training": pd.cut(
            followed, [-1, 0, 1, 4, np.inf], labels=["never", "once", "2 to 4 times", "5 or more"]
        ),
    }
    if log.times is not None and len(np.unique(log.times)) > log.num_interactions / 100:
        seconds = log.times[log.offsets[1:] - 1] - log.times[log.offsets[1:] - 2]
        if seconds.dtype.kind == "m":
            seconds = seconds / np.timedelta64(1, "s")
        kinds["time since that item"] = pd.cut(
            seconds.astype(float),
            [-1, 0, 60, 3600, np.inf],
            labels=["same second", "within a minute", "within an hour", "later"],
        )
    return kinds


def adjacent(train: Sequences) -> Iterator[tuple[int, int]]:
    for history in train:
        yield from itertools.pairwise(history.tolist())


def quartiles(counts: np.ndarray) -> pd.Categorical:
    """Four groups of about as many users each, named by the counts in them."""
    edges = np.unique(np.quantile(counts, [0, 0.25, 0.5, 0.75, 1]))
    found = pd.cut(counts, edges, include_lowest=True)
    names = []
    for group in found.categories:
        own = counts[found == group]
        names.append(f"{own.min():,} to {own.max():,}")
    return found.rename_categories(names)


if __name__ == "__main__":
    main()
