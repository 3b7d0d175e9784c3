"""Measure what each thing gives that `train` adds to a plain loop, for notebook 4.

    python results/measure_additions.py

Writes additions.json beside this file, row by row; rows that are in it already are not measured
again. The embedded set and the model of the preset `tutorial`. Each row has all that the rows
before it have, and one thing more; all are trained for the same number of epochs, over which the
schedule, where there is one, is laid. NDCG@10 is of a full ranking: of the validation after each
epoch, and of the test with the weights of the best one. Beside them, the bug of notebook 4's
broken run. One thread; twenty minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from row_by_row import measure_rows

from bert4rec import (
    BERT4Rec,
    ClozeBatches,
    Sequences,
    get_preset,
    load_movielens,
    rank_targets,
    train,
)
from bert4rec.notebook.broken import ask_everywhere
from bert4rec.recommend.records import versions
from bert4rec.training import loop

OUTPUT = Path(__file__).resolve().parent / "additions.json"
EPOCHS = 6
SEEDS = (0, 1, 2)
ASKED = "visible films asked too"  # beside "+ neighbours", from which nothing else differs
WITHOUT = {
    "epochs": EPOCHS,
    "schedule": "constant",
    "warmup_share": 0.0,
    "clip_norm": 1e9,
    "start_at_popularity": False,
    "start_at_neighbours": 0,
    "muon_learning_rate": 0.0,
    "device": "cpu",
}
ADDED = {
    "a plain loop": (),
    "+ schedule": ("schedule", "warmup_share"),
    "+ clipping": ("clip_norm",),
    "+ popularity": ("start_at_popularity",),
    "+ neighbours": ("start_at_neighbours",),
    "+ Muon": ("muon_learning_rate",),
}


def main() -> None:
    torch.set_num_threads(1)
    about = {
        "command": "python results/measure_additions.py",
        "epochs": EPOCHS,
        "model": get_preset("tutorial").shape,
        "added": ADDED,
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, rows())


def rows() -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name."""
    log, _ = load_movielens("small")
    sequences = Sequences.from_interactions(log, min_user_count=5, min_item_count=5)
    for seed in SEEDS:
        config = replace(get_preset("tutorial").training, **WITHOUT, seed=seed)
        for name, fields in ADDED.items():
            given = {field: getattr(get_preset("tutorial").training, field) for field in fields}
            config = replace(config, **given)
            yield f"{name}, seed {seed}", partial(trained, sequences, config)
            if name == "+ neighbours":
                yield f"{ASKED}, seed {seed}", partial(trained, sequences, config, AllAsked)


class AllAsked(ClozeBatches):
    """Batches with the bug of notebook 4: the films that are visible are asked for, too."""

    def examples(self, tokens, generator):
        inputs, labels = super().examples(tokens, generator)
        return inputs, ask_everywhere(inputs, labels)


def trained(sequences: Sequences, config, batches: type[ClozeBatches] = ClozeBatches) -> dict:
    """Train with a config, and rank the test with the best weights."""
    split = sequences.leave_one_out()
    torch.manual_seed(config.seed)
    model = BERT4Rec(get_preset("tutorial").model_config(sequences.num_items))
    with mock.patch.object(loop, "ClozeBatches", batches):
        history = train(model, split, config, progress=False)
    ranks = rank_targets(model, split.test)
    return {
        "seed": config.seed,
        "training": asdict(config),
        "sha256": sequences.digest(),
        "curve": [
            {"epoch": row["epoch"], "loss": row["loss"], "NDCG@10": row["NDCG@10"]}
            for row in history.epochs
        ],
        "best epoch": history.best_epoch,
        "test": {
            "NDCG@10": ranks.metric("NDCG@10"),
            "standard error": ranks.standard_error("NDCG@10"),
        },
    }


if __name__ == "__main__":
    main()
