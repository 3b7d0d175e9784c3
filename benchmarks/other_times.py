"""Time what is not training: preparing data, evaluating, recommending, importing.

    python benchmarks/other_times.py --data ml-1m.txt.xz --output times.json

Each measurement runs in a process of its own, several times; the figures are medians, and the
peak memory is that of the process, Python and torch included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

from processes import answer, ask, peak_memory_mb

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def prepare_file(data: str) -> dict:
    """Read a file, build the sequences and split them."""
    from bert4rec import Sequences

    started = time.perf_counter()
    split = Sequences.from_file(data).leave_one_out()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "interactions": split.train.num_interactions}


def prepare_ratings(data: str) -> dict:
    """Build and split sequences from a table like MovieLens-20M's, with ids and times shuffled."""
    import numpy as np
    import pandas as pd

    from bert4rec import Sequences

    number, users, items = 20_000_000, 138_493, 26_744
    random = np.random.default_rng(0)
    popularity = 1 / np.arange(1, items + 1) ** 0.8
    log = pd.DataFrame(
        {
            "userId": random.integers(1, users + 1, number),
            "movieId": random.choice(items, number, p=popularity / popularity.sum()) * 5 + 1,
            "timestamp": random.integers(789_652_009, 1_427_784_002, number),
        }
    )
    started = time.perf_counter()
    split = Sequences.from_interactions(log).leave_one_out()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "interactions": split.train.num_interactions}


def rank_all(data: str) -> dict:
    """Rank all users of MovieLens-1M against the whole catalogue, with the weights shipped."""
    from bert4rec import Recommender, Sequences, rank_targets

    model = Recommender.load("ml-1m").model
    split = Sequences.from_file(data).leave_one_out()
    started = time.perf_counter()
    ranks = rank_targets(model, split.test)
    return {"seconds": time.perf_counter() - started, "users": len(ranks)}


def recommend_to_all(data: str) -> dict:
    """Recommend ten movies to each user of MovieLens-1M, whose history is a list of ids."""
    from dataclasses import replace

    from bert4rec import Recommender, Sequences

    recommender = Recommender.load("ml-1m")
    sequences = Sequences.from_file(data)  # its items are numbered as the model's tokens are
    sequences = replace(sequences, vocabulary=recommender.vocabulary)
    tests = sequences.leave_one_out().test.histories
    histories = [recommender.vocabulary.ids(tests[user]).tolist() for user in range(len(tests))]
    started = time.perf_counter()
    recommender.recommend(histories, k=10)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "histories_per_second": len(histories) / seconds}


def load_and_recommend(data: str) -> dict:
    """Load the weights shipped and answer once."""
    from bert4rec import Recommender

    started = time.perf_counter()
    Recommender.load("ml-1m").recommend(["Toy Story (1995)"])
    return {"seconds": time.perf_counter() - started}


def import_alone(data: str) -> dict:
    """Import bert4rec after torch, pandas and numpy."""
    import numpy  # noqa: F401
    import pandas  # noqa: F401
    import torch  # noqa: F401

    started = time.perf_counter()
    import bert4rec  # noqa: F401

    return {"seconds": time.perf_counter() - started}


TASKS = {
    "prepare MovieLens-1M": prepare_file,
    "prepare 20 million synthetic ratings": prepare_ratings,
    "full ranking of MovieLens-1M's users": rank_all,
    "ten movies for each of its 6,040 users, from lists of ids": recommend_to_all,
    "load the shipped weights and recommend once": load_and_recommend,
    "import bert4rec beyond torch, pandas and numpy": import_alone,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="ml-1m.txt.xz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        result = TASKS[options.task](options.data)
        answer(result | {"peak_memory_mb": peak_memory_mb()})
        return
    from training_speed import machine

    record = {"machine": machine("cpu"), "rounds": options.rounds, "results": {}}
    print("| | seconds | peak memory, MB |\n| --- | ---: | ---: |")
    for task in TASKS:
        runs = [
            ask(task, __file__, "--data", options.data, "--task", task)
            for _ in range(options.rounds)
        ]
        row = {key: median(run[key] for run in runs) for key in runs[0]}
        record["results"][task] = row
        print(f"| {task} | {row['seconds']:.2f} | {row['peak_memory_mb']:,.0f} |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
