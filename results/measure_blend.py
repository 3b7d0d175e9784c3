"""Measure a network, item transitions and the two mixed, over seeds, with paired tests.

    python results/measure_blend.py --ml-100k ml-100k.inter --ml-1m ml-1m.txt.xz

Writes blend.json beside this file, row by row; rows that are in it already are not measured again.
The small logs are trained on with the preset `tutorial`; on MovieLens-1M the shipped weights are
asked, which were trained on the same split. Transitions are counted forwards; their weight is
chosen on the validation. NDCG@10 and HR@10 are of the test. Twenty minutes on two cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from row_by_row import measure_rows, movielens_logs

from bert4rec import (
    BERT4Rec,
    ItemKNN,
    ItemTransitions,
    Recommender,
    Sequences,
    Split,
    evaluate,
    get_preset,
    load_movielens,
    read_interactions,
    train,
)
from bert4rec.evaluation import Blend, Ranks, TransitionTable, choose_weight, rank_targets
from bert4rec.evaluation.negatives import negatives_of
from bert4rec.recommend.records import versions

OUTPUT = Path(__file__).resolve().parent / "blend.json"
SEEDS = range(5)
PROTOCOLS = ("full", "popular-100")
METRICS = ("NDCG@10", "HR@10")


def main() -> None:
    ml_1m, ml_100k, command = movielens_logs(__doc__, "measure_blend.py")
    about = {"command": command, "versions": versions(torch.device("cpu"))}
    measure_rows(OUTPUT, about, rows(ml_100k, ml_1m))


def rows(ml_100k: Path, ml_1m: Path) -> Iterator[tuple[str, Callable[[], dict]]]:
    """Every measurement by its name."""
    for name in ("ml-1m", "ml-1m-causal"):
        yield f"MovieLens-1M, {name} as shipped", partial(shipped, ml_1m, name)
    yield "embedded set", partial(trained, lambda: load_movielens("small")[0])
    yield "MovieLens-100K", partial(trained, lambda: read_interactions(ml_100k))


def shipped(ml_1m: Path, name: str) -> dict:
    recommender = Recommender.load(name)
    log = replace(Sequences.from_file(ml_1m), vocabulary=recommender.vocabulary)
    split = log.leave_one_out()
    found = [blended(recommender.model, split, baselines(split))]
    return summary(split, log, found, {"weights": name})


def trained(read: Callable) -> dict:
    log = Sequences.from_interactions(read(), min_user_count=5, min_item_count=5)
    split, found = log.leave_one_out(), []
    beside = baselines(split)
    for seed in SEEDS:
        preset = get_preset("tutorial", seed=seed)
        torch.manual_seed(seed)
        model = BERT4Rec(preset.model_config(log.num_items))
        train(model, split, preset.training, progress=False)
        found.append(blended(model, split, beside))
        print(f"seed {seed}: weight {found[-1]['weight']}", flush=True)
    return summary(split, log, found, {"preset": "tutorial", "seeds": list(SEEDS)})


def baselines(split: Split) -> dict[str, dict[str, Ranks]]:
    """The ranks of what is counted, under both protocols: the same for all seeds."""
    models = {"transitions": ItemTransitions(split.train), "item-kNN": ItemKNN(split.train)}
    return {protocol: evaluate(models, split.test, protocol).models for protocol in PROTOCOLS}


def forwards(model: BERT4Rec, split: Split) -> tuple[Blend, dict[float, float]]:
    """The blend of a model with what followed."""
    return choose_weight(model, TransitionTable.count(split.train), split.validation)


def blended(
    model: BERT4Rec,
    split: Split,
    beside: dict[str, dict[str, Ranks]],
    choose: Callable[[BERT4Rec, Split], tuple[Blend, dict[float, float]]] = forwards,
) -> dict:
    """The weights, and the ranks of the blend and its parts under both protocols."""
    blend, by_weight = choose(model, split)
    negatives = {protocol: negatives_of(protocol, split.test) for protocol in PROTOCOLS}
    ranks = {
        protocol: {
            "blend": rank_targets(blend, split.test, drawn),
            "network": rank_targets(model, split.test, drawn),
            "mixed counts": rank_targets(blend.table, split.test, drawn),
            **beside[protocol],
        }
        for protocol, drawn in negatives.items()
    }
    back = blend.table.back
    return {"weight": blend.weight, "back": back, "by weight": by_weight, "ranks": ranks}


def summary(split: Split, log: Sequences, found: list[dict], about: dict) -> dict:
    """Means over seeds with their spread, and paired tests of the per-user means over seeds."""
    result: dict = {
        **about,
        "users": len(split.test),
        "items": log.num_items,
        "sha256": log.digest(),
        "weights of transitions": [one["weight"] for one in found],
        "weights of what came before": [one["back"] for one in found],
        "protocols": {},
    }
    for protocol in PROTOCOLS:
        ranks = [one["ranks"][protocol] for one in found]
        values = {
            name: {m: np.stack([models[name].per_user(m) for models in ranks]) for m in METRICS}
            for name in ranks[0]
        }
        result["protocols"][protocol] = {
            "models": {
                name: {
                    metric: {
                        "mean": float(users.mean()),
                        "spread": float(users.mean(axis=1).std(ddof=1)) if len(users) > 1 else 0.0,
                    }
                    for metric, users in metrics.items()
                }
                for name, metrics in values.items()
            },
            "blend ahead of": {
                other: paired(values["blend"]["NDCG@10"] - values[other]["NDCG@10"])
                for other in ("network", "transitions", "mixed counts")
            },
        }
    return result


def paired(gaps: np.ndarray) -> dict[str, float]:
    """The mean of (seeds, users) differences, its standard error over users, and p."""
    gap = gaps.mean(axis=0)
    error = float(gap.std(ddof=1) / len(gap) ** 0.5)
    return {
        "difference": float(gap.mean()),
        "standard_error": error,
        "p": math.erfc(abs(float(gap.mean())) / error / 2**0.5),
    }


if __name__ == "__main__":
    main()
