"""The cross-entropy of the output layer, forward and backward: ours beside what torch has.

    python benchmarks/cross_entropy.py --output results/cross-entropy.json

Answers, hidden size and items as in a step of the benchmark of trainings and of larger catalogues.
The functions take turns, so that a machine that is slow for a while is slow for all.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from training_speed import machine

from bert4rec.devices import keep_freed_memory
from bert4rec.model import cross_entropy

SIZES = (
    (2500, 64, 3418),
    (5000, 64, 3418),
    (2500, 256, 3418),
    (5000, 256, 3418),
    (2500, 64, 50_000),
)


def plain(hidden, weight, bias, labels):
    return F.cross_entropy(F.linear(hidden, weight, bias), labels)


def chunked(hidden, weight, bias, labels):
    options = torch.nn.LinearCrossEntropyOptions()
    return F.linear_cross_entropy(hidden, weight, labels, linear_bias=bias, options=options)


FUNCTIONS = {"bert4rec": cross_entropy, "torch, whole": plain, "torch, chunked": chunked}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()
    keep_freed_memory()
    record = {"machine": machine(options.device), "rounds": options.rounds, "results": []}
    print("| answers | hidden | tokens | " + " | ".join(FUNCTIONS) + " |")
    for answers, size, tokens in SIZES:
        torch.manual_seed(0)
        shapes = ((answers, size), (tokens, size), (tokens,))
        tensors = [torch.randn(s, device=options.device).mul_(0.1).requires_grad_() for s in shapes]
        labels = torch.randint(1, tokens, (answers,), device=options.device)
        seconds: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
        for _ in range(options.rounds + 1):  # the first one warms up
            for name, function in FUNCTIONS.items():
                begun = time.perf_counter()
                torch.autograd.grad(function(*tensors, labels), tensors)
                if options.device != "cpu":
                    torch.cuda.synchronize()
                seconds[name].append(time.perf_counter() - begun)
        found = {name: median(values[1:]) for name, values in seconds.items()}
        record["results"].append(
            {"answers": answers, "hidden_size": size, "tokens": tokens, "seconds": found}
        )
        cells = [f"{1000 * value:.1f} ms" for value in found.values()]
        print(f"| {answers:,} | {size} | {tokens:,} | " + " | ".join(cells) + " |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
