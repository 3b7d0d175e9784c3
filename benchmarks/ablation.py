"""What each choice of the preset for MovieLens-1M gives: change one, train 3 epochs.

    python benchmarks/ablation.py --data ml-1m.txt.xz --output results/ablation.json

Every row is the preset `ml-1m` with one thing changed, trained for 3 epochs instead of 30 with the
schedule shortened to fit, seed 0, one thread. What is compared is validation NDCG@10, which the
choices were made by; the test is not looked at. Rows that are in the output file already are not
repeated. Some 3 minutes a row; `--rows` chooses, so that two processes can share the work.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bert4rec import BERT4Rec, Sequences, get_preset, train
from bert4rec.files import write_atomically

EPOCHS = 3
# name: (changes of the training, changes of the model)
ROWS: dict[str, tuple[dict, dict]] = {
    "the preset": ({}, {}),
    "random item embeddings": ({"start_at_neighbours": 0}, {}),
    "AdamW for all weights": ({"muon_learning_rate": 0.0}, {}),
    "both of these": ({"start_at_neighbours": 0, "muon_learning_rate": 0.0}, {}),
    "output bias from 0": ({"start_at_popularity": False}, {}),
    "batch 16": ({"batch_size": 16}, {}),
    "batch 128": ({"batch_size": 128}, {}),
    "learning rate 2e-3": ({"learning_rate": 2e-3}, {}),
    "Muon's rate 5e-3": ({"muon_learning_rate": 5e-3}, {}),
    "Muon's rate 2e-2": ({"muon_learning_rate": 2e-2}, {}),
    "mask probability .2": ({"mask_prob": 0.2}, {}),
    "mask probability .5": ({"mask_prob": 0.5}, {}),
    "no last-item samples": ({"last_item_prob": 0.0}, {}),
    "dropout .2": ({}, {"dropout": 0.2}),
    "dropout in attention too": ({}, {"attention_dropout": 0.1}),
    "norm last": ({}, {"norm_first": False}),
    "output weights untied": ({}, {"tie_weights": False}),
    "length 50": ({"batch_size": 64}, {"max_len": 50}),
    "length 200": ({"batch_size": 16}, {"max_len": 200}),
    "windows without overlap, twice the epochs": ({"overlap": 0.0, "epochs": 2 * EPOCHS}, {}),
    "hidden size 128, 4 heads": ({}, {"hidden_size": 128, "num_heads": 4}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="ml-1m.txt.xz")
    parser.add_argument("--output", type=Path, required=True, help="a JSON file")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW")
    options = parser.parse_args()

    torch.set_num_threads(1)
    split = Sequences.from_file(options.data).leave_one_out()
    preset = get_preset("ml-1m")
    for name in options.rows:
        if name in read(options.output):
            continue
        training, shape = ROWS[name]
        config = replace(preset.training, **{"epochs": EPOCHS, "device": "cpu", **training})
        torch.manual_seed(config.seed)
        model = BERT4Rec(preset.model_config(split.train.num_items, **shape))
        print(f"-- {name}", flush=True)
        history = train(model, split, config)
        result = {
            "changes": training | shape,
            "NDCG@10": history.best_score,
            "seconds": history.seconds,
            "curve": [row["NDCG@10"] for row in history.epochs],
        }
        record = read(options.output) | {name: result}  # another process may have added rows
        write_atomically(options.output, (json.dumps(record, indent=1) + "\n").encode())


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


if __name__ == "__main__":
    main()
