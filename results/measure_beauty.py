"""Train on Amazon Beauty with each loss, and write quality, time and memory side by side.

    python results/measure_beauty.py --data beauty.txt.xz

40,226 users and 54,542 items, most of them with a handful of events. The preset `ml-1m` with
the changes of CHANGES, the same for all losses; a run that is in `runs/` already is not repeated.
Writes beauty.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from bert4rec.model.losses import LOSSES

HERE = Path(__file__).resolve().parent
CHANGES = [
    "--max-len", "50", "--batch-size", "64", "--dropout", "0.3", "--epochs", "12",
    "--learning-rate", "2e-3", "--validate-every", "4", "--num-negatives", "1024",
    "--min-user-count", "1", "--min-item-count", "1",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="beauty.txt.xz")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are saved")
    options = parser.parse_args()
    record: dict = {"runs": []}
    for loss in LOSSES:
        folder = options.runs / f"beauty-{loss}"
        arguments = ["train", "--preset", "ml-1m", "--loss", loss, *CHANGES]
        memory = folder / "peak_memory_mb"
        if not memory.exists():
            memory_mb = run([*arguments, "--data", options.data, "--output", str(folder)])
            memory.write_text(str(memory_mb))
        result = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        result["data"]["data"] = Path(options.data).name
        result["command"] = " ".join(["bert4rec", *arguments, "--data", result["data"]["data"]])
        result["loss"], result["peak_memory_mb"] = loss, float(memory.read_text())
        record["runs"].append(result)
        text = json.dumps(record, indent=1)
        (HERE / "beauty.json").write_text(text + "\n", encoding="utf-8")
        models = result["report"]["models"]
        print(loss, {name: round(m["NDCG@10"], 4) for name, m in models.items()}, flush=True)


def run(arguments: list[str]) -> float:
    """Run bert4rec in a process of its own; its peak memory in MB."""
    process = os.spawnv(
        os.P_NOWAIT, sys.executable, [sys.executable, "-m", "bert4rec", *arguments, "--overwrite"]
    )
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"bert4rec {' '.join(arguments)} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
