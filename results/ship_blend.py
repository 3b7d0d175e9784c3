"""Add blends to the weights that travel with the package.

    python results/ship_blend.py --data ml-1m.txt.xz

The transitions are counted in the training part of the log that the weights were trained on, only
what followed; their weight is chosen on its validation.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from bert4rec import Recommender, Sequences
from bert4rec.evaluation import TransitionTable, choose_weight
from bert4rec.files import SHIPPED
from bert4rec.recommend.records import add_blend


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="ml-1m.txt.xz")
    options = parser.parse_args()
    for folder in sorted(path for path in SHIPPED.iterdir() if path.is_dir()):
        recommender = Recommender.load(folder)
        log = replace(Sequences.from_file(options.data), vocabulary=recommender.vocabulary)
        split = log.leave_one_out()
        table = TransitionTable.count(split.train)
        blend, found = choose_weight(recommender.model, table, split.validation)
        add_blend(folder, blend)
        print(f"{folder.name}: weight {blend.weight}, validation NDCG@10 {found[blend.weight]:.4f}")
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*")) / 2**20
    print(f"{SHIPPED.name}: {size:.1f} MB")


if __name__ == "__main__":
    main()
