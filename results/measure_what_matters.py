"""Measure what notebook 8 says of order, ties, the split and the objective.

    python results/measure_what_matters.py --ml-1m ml-1m.txt.xz --ml-100k ml-100k.inter

Writes what-matters.json beside this file, row by row; rows that are in it already are not measured
again. Everything is ranked against all unseen items; NDCG@10 is of the test. Trainings use the
preset `tutorial`, seed 0, one thread. Half an hour.

    order      MovieLens-1M, the shipped weights: what is left when histories are shuffled
    ties       the embedded set and MovieLens-100K: interactions of one second in another order
    shuffled   the same two, trained on histories without their order
    objective  the same two: the same encoder trained on hidden items or on next items
    future     MovieLens-100K, cut at five moments: the same targets, with and without what other
               users did after the cut in training
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from row_by_row import measure_rows, movielens_logs

from bert4rec import (
    BERT4Rec,
    ItemTransitions,
    Recommender,
    Report,
    Sequences,
    Split,
    evaluate,
    get_preset,
    load_movielens,
    read_interactions,
    train,
)
from bert4rec.recommend.records import versions

OUTPUT = Path(__file__).resolve().parent / "what-matters.json"
CUTS = (0.1, 0.2, 0.3, 0.4, 0.5)  # the share of the log after the moment of the test


def main() -> None:
    ml_1m, ml_100k, command = movielens_logs(__doc__, "measure_what_matters.py")
    torch.set_num_threads(1)
    about = {
        "command": command,
        "training": {"preset": "tutorial", "seed": get_preset("tutorial").training.seed},
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, rows(ml_1m, ml_100k))


def rows(ml_1m: Path, ml_100k: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name."""
    for keep in (None, 10, 5, 2, 1, 0):
        name = "as it was" if keep is None else f"all but the newest {keep} shuffled"
        yield f"order, ml-1m, {name}", partial(shuffled_when_asked, ml_1m, keep)
    logs = {"small": lambda: load_movielens("small")[0], "ml-100k": lambda: read(ml_100k)}
    for data, log in logs.items():
        for order in ("file", "shuffled", "item id"):
            yield f"ties, {data}, {order}", partial(by_order_of_ties, log, order)
        yield f"shuffled, {data}", partial(trained_without_order, log)
        yield f"objective, {data}, next items", partial(by_order_of_ties, log, "file", causal=True)
    for share in CUTS:
        for future in (False, True):
            name = f"future, ml-100k, last {share:.0%}, {'with' if future else 'without'}"
            yield name, partial(cut, ml_100k, share, future)


@cache
def read(path: Path) -> pd.DataFrame:
    return read_interactions(path)


def sequences_of(log: pd.DataFrame) -> Sequences:
    return Sequences.from_interactions(log, min_user_count=5, min_item_count=5)


def result_of(report: Report, data: Sequences) -> dict:
    """NDCG@10 and HR@10 by model, with their standard errors."""
    models = {
        name: {
            metric: {"mean": ranks.metric(metric), "standard error": ranks.standard_error(metric)}
            for metric in ("NDCG@10", "HR@10")
        }
        for name, ranks in report.models.items()
    }
    return {"users": report.num_users, "sha256": data.digest(), "models": models}


def shuffled_when_asked(path: Path, keep: int | None) -> dict:
    """Rank the test targets of MovieLens-1M after histories whose older part is shuffled."""
    recommenders = {
        "BERT4Rec": Recommender.load("ml-1m"),
        "SASRec": Recommender.load("ml-1m-causal"),
    }
    sequences = Sequences.from_file(path)
    split = sequences.leave_one_out()
    test = split.test
    if keep is not None:
        test = replace(test, histories=shuffled(test.histories, keep))
    models = {name: recommender.model for name, recommender in recommenders.items()}
    for recommender in recommenders.values():
        assert sequences.vocabulary.is_numbering_of(recommender.vocabulary)
    models["item transitions"] = ItemTransitions(split.train)
    return result_of(evaluate(models, test), sequences)


def shuffled(histories: Sequences, keep: int, seed: int = 0) -> Sequences:
    """The same histories, all but each one's newest `keep` items in another order."""
    random = np.random.default_rng(seed)
    tokens = histories.tokens.copy()
    for start, stop in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        random.shuffle(tokens[start : max(start, stop - keep)])
    return replace(histories, tokens=tokens)


def by_order_of_ties(log: Callable, order: str, causal: bool = False) -> dict:
    """Train and test leave-one-out where interactions of the same second stand in this order."""
    rows = log()
    if order == "shuffled":
        rows = rows.sample(frac=1, random_state=0)
    elif order == "item id":
        rows = rows.sort_values(rows.columns[1], kind="stable")
    sequences = sequences_of(rows)
    split = sequences.leave_one_out()
    return result_of(evaluated(split, causal=causal), sequences)


def trained_without_order(log: Callable) -> dict:
    """Train on histories in a random order; targets and test histories are as they were."""
    sequences = sequences_of(log())
    split = sequences.leave_one_out()
    without = replace(split, train=shuffled(split.train, keep=0))
    return result_of(evaluated(without), sequences)


def cut(path: Path, share: float, future: bool) -> dict:
    """Test at a moment; train on what was before, or also on what other users did after it."""
    sequences = sequences_of(read(path))
    split = sequences.split_by_time(validation_share=0.1, test_share=share)
    if future:
        lengths = sequences.lengths.copy()
        for holdout in (split.test, split.validation):  # the shorter history of the two comes last
            known = np.searchsorted(sequences.users, holdout.histories.users)
            lengths[known] = holdout.histories.lengths
        keep = np.flatnonzero(lengths > 0)
        rest = sequences.select(keep, lengths[keep])
        split = Split(
            rest, replace(split.validation, train=rest), replace(split.test, train=rest), "with"
        )
    report = evaluated(split)
    result = result_of(report, sequences)
    result["training interactions"] = split.train.num_interactions
    result["NDCG@10 by user"] = {
        name: [round(float(value), 5) for value in ranks.per_user("NDCG@10")]
        for name, ranks in report.models.items()
    }
    return result


def evaluated(split: Split, causal: bool = False) -> Report:
    """Train the preset `tutorial` and report it on the test, beside both baselines."""
    preset = get_preset("tutorial", causal=causal, device="cpu")
    torch.manual_seed(0)
    model = BERT4Rec(preset.model_config(split.train.num_items))
    history = train(model, split, preset.training, progress=False)
    print(f"   best epoch {history.best_epoch}, {history.seconds:.0f} s", flush=True)
    name = "SASRec" if causal else "BERT4Rec"
    return evaluate({name: model, "item transitions": ItemTransitions(split.train)}, split.test)


if __name__ == "__main__":
    main()
