"""SASRec on the embedded set with all cores: `make train` with `--causal`, over seeds.

    python results/measure_small_causal.py

Writes tutorial-small-causal.json beside this file, row by row; rows that are in it already are not
measured again, and a run that is in runs/ is not repeated. Ten minutes on two cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from row_by_row import by_seed, measure_rows

from bert4rec.recommend.records import versions

OUTPUT = Path(__file__).resolve().parent / "tutorial-small-causal.json"
TRAIN = ("train", "--data", "small", "--preset", "tutorial", "--causal", "--seed")


def main() -> None:
    about = {
        "command": f"bert4rec {' '.join(TRAIN)} SEED",
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, by_seed(trained))


def trained(seed: int) -> dict:
    folder = Path("runs") / f"tutorial-causal-seed-{seed}"
    if not (folder / "metrics.json").exists():
        command = [sys.executable, "-m", "bert4rec", *TRAIN, str(seed), "--output", str(folder)]
        subprocess.run([*command, "--resume"], check=True)
    run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    kept = ("training", "model", "data", "best_epoch", "weights of transitions")
    return {
        **{key: run[key] for key in kept},
        "training and total seconds": list(run["seconds"].values()),
        "threads": run["versions"]["threads"],
        "report": run["report"]["models"],
    }


if __name__ == "__main__":
    main()
