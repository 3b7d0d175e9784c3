"""What a log costs that does not fit into memory: to build its sequences, and to begin training.

    python benchmarks/large_log.py --rows 200000000 --scratch /where/there/is/room --output x.json

Writes a synthetic Parquet log (users of 100 interactions on average, items by a power law), builds
the sequences in a process of its own, and trains on them for some steps in another; reports the
time and the peak memory of each. Memory that holds pages of mapped files counts as well.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from processes import answer, ask, peak_memory_mb, stepper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ITEMS, PER_USER = 100_000, 100


def generate(rows: int, folder: Path) -> None:
    """A log in Parquet, written in pieces."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet

    rng = np.random.default_rng(0)
    names = ("user_id", "item_id", "timestamp")
    schema = pa.schema([(name, pa.int64()) for name in names])
    with pyarrow.parquet.ParquetWriter(folder / "log.parquet", schema) as file:
        for first in range(0, rows, 5_000_000):
            count = min(5_000_000, rows - first)
            columns = (
                rng.integers(0, rows // PER_USER, count),
                (rng.random(count) ** 3 * ITEMS).astype(np.int64),
                rng.integers(16 * 10**8, 17 * 10**8, count),
            )
            file.write_table(pa.table(dict(zip(names, columns, strict=True)), schema))


def build(rows: int, folder: Path) -> None:
    from bert4rec import build_sequences

    build_sequences(folder / "log.parquet", folder / "sequences", memory="2GB")


def begin_training(rows: int, folder: Path) -> None:
    """Open, split, and take 20 steps."""
    from itertools import islice

    from bert4rec import BERT4Rec, ClozeBatches, Sequences, get_preset

    split = Sequences.open(folder / "sequences").leave_one_out()
    preset = get_preset("ml-1m", loss="sampled-softmax")
    model = BERT4Rec(preset.model_config(split.train.num_items)).train()
    batches = ClozeBatches(split.train, 100, 128, 0.3)
    step = stepper(model, split.train, preset.training)
    for inputs, labels in islice(batches.epoch(1), 20):
        step(inputs, labels)


STAGES = {"generate": generate, "build": build, "begin training": begin_training}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000_000)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder with room")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    if options.stage:
        started = time.perf_counter()
        STAGES[options.stage](options.rows, options.scratch)
        seconds = time.perf_counter() - started
        answer({"seconds": seconds, "peak_memory_mb": peak_memory_mb()})
        return
    from training_speed import machine

    record = {"machine": machine("cpu"), "rows": options.rows, "results": {}}
    print("| | seconds | peak memory, MB |\n| --- | ---: | ---: |")
    for stage in STAGES:
        row = ask(
            stage, __file__, "--stage", stage, "--rows", options.rows, "--scratch", options.scratch
        )
        record["results"][stage] = row
        print(f"| {stage} | {row['seconds']:.0f} | {row['peak_memory_mb']:,.0f} |", flush=True)
        if options.output:
            options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
