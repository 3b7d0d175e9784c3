"""Make the folder of weights that travels with the package from a trained run.

    python results/ship_ml_1m.py runs/ml-1m-seed-2 --items items.tsv
    python results/ship_ml_1m.py runs/ml-1m-causal-seed-0 --items items.tsv --name ml-1m-causal

The run's items are numbered 1 … 3416, as the sequences that papers evaluate on are. `items.tsv`
says which MovieLens id each number stands for, in columns sas_item_id and movielens_id. Titles come
from the embedded MovieLens set, which may be redistributed; an item that it lacks is called by its
id.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from bert4rec import Recommender, Vocabulary, load_movielens
from bert4rec.files import SHIPPED, read_config, write_atomically


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="the folder of the trained model")
    parser.add_argument("--items", type=Path, required=True, help="items.tsv")
    parser.add_argument("--name", default="ml-1m", help="what Recommender.load shall call it")
    options = parser.parse_args()

    items = pd.read_csv(options.items, sep="\t").set_index("sas_item_id")["movielens_id"]
    run = Recommender.load(options.run)
    vocabulary = Vocabulary(items.loc[run.vocabulary.items].to_numpy())
    _, movies = load_movielens("small")
    recommender = Recommender(run.model, vocabulary, movies, run.catalogue.counts)
    stored = read_config(options.run)
    data = stored["data"] | {"data": Path(stored["data"]["data"]).name}
    folder = SHIPPED / options.name
    recommender.save(folder, training=stored["training"], data=data)
    metrics = json.loads((options.run / "metrics.json").read_text(encoding="utf-8"))
    metrics["data"]["data"] = data["data"]
    write_atomically(folder / "metrics.json", (json.dumps(metrics, indent=1) + "\n").encode())
    known = vocabulary.items.isin(movies["movieId"]).sum()
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    print(f"{folder}: {size:.1f} MB, {known:,} of {len(vocabulary):,} items have a title")


if __name__ == "__main__":
    main()
