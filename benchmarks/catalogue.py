"""What a training step costs as the catalogue grows, by loss.

    python benchmarks/catalogue.py --output results/catalogue.json

Hidden size 64, 2 layers, 128 sequences of 200 items in a step, random items. Each row runs in a
process of its own; the time is the median of the steps after two to warm up (of cross-entropy at
a million items, of one step), the peak memory that of the process,
Python, torch and the optimiser's state included.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

from processes import answer, ask, peak_memory_mb, stepper

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

SIZES = (10_000, 100_000, 1_000_000)


def measure(loss: str, num_items: int, steps: int, device: str) -> dict:
    """Train a model on random sequences for some steps."""
    import numpy as np
    import torch

    from bert4rec import BERT4Rec, ClozeBatches, Sequences, Vocabulary, get_preset
    from bert4rec.devices import keep_freed_memory, pick_device

    keep_freed_memory()
    users, length = 256, 200
    random = np.random.default_rng(0)
    sequences = Sequences(
        random.integers(1, num_items + 1, users * length).astype(np.int32),
        np.arange(users + 1) * length,
        np.arange(users),
        Vocabulary(np.arange(num_items)),
    )
    preset = get_preset("ml-1m", max_len=length, batch_size=128, loss=loss, num_negatives=256)
    torch.manual_seed(0)
    device = pick_device(device)
    model = BERT4Rec(preset.model_config(num_items)).to(device).train()
    batches = ClozeBatches(sequences, length, 128, preset.training.mask_prob)
    step = stepper(model, sequences, preset.training)
    seconds = []
    epoch = 0
    warmup = 2 if steps > 1 else 0
    while len(seconds) < steps + warmup:
        epoch += 1
        for inputs, labels in batches.epoch(epoch):
            started = time.perf_counter()
            step(inputs, labels)
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
            if len(seconds) == steps + warmup:
                break
    peak = peak_memory_mb()
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    return {"seconds": median(seconds[warmup:]), "peak_memory_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", nargs="+", default=["cross-entropy", "sampled-softmax", "gbce"])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        loss, size = options.one
        answer(measure(loss, int(size), options.steps, options.device))
        return
    from training_speed import machine

    record = {"machine": machine(options.device), "steps": options.steps, "results": []}
    print("| loss | items | seconds a step | peak memory, MB |\n| --- | ---: | ---: | ---: |")
    for loss in options.losses:
        for size in options.sizes:
            # the whole catalogue's logits take minutes a step at a million items
            steps = 1 if loss == "cross-entropy" and size > 100_000 else options.steps
            row = ask(
                f"{loss} at {size:,} items", __file__,
                "--one", loss, size, "--steps", steps, "--device", options.device,
            )  # fmt: skip
            record["results"].append({"loss": loss, "items": size, **row})
            print(
                f"| {loss} | {size:,} | {row['seconds']:.2f} | {row['peak_memory_mb']:,.0f} |",
                flush=True,
            )
            if options.output:
                text = json.dumps(record, indent=1)
                options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
