"""Train the same configuration with five implementations, and print who is how fast.

    python benchmarks/training_speed.py --data ml-1m.txt.xz \
        --peers .venv-peers/bin/python --recbole .venv-recbole/bin/python

`make benchmark DATA=…` makes the environments of the peers and runs this. Implementations take
turns within a round, so that a machine that is slow for a while is slow for all; the figures are
medians over the rounds. Without the peers' interpreters, ours and the textbook loop run alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch

HERE = Path(__file__).resolve().parent
ALL = ("bert4rec", "Hugging Face", "RecTools", "RecBole", "textbook")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="ml-1m.txt.xz")
    parser.add_argument("--peers", help="a Python with transformers and rectools")
    parser.add_argument("--recbole", help="a Python with recbole")
    parser.add_argument("--hidden", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--length", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--steps", type=int, default=10, help="steps timed in each round")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=ALL, default=ALL)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--batch", type=int, default=128, help="sequences in a step")
    parser.add_argument("--precision", default="auto", help="ours: float32, tf32, bf16 or auto")
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    options = parser.parse_args()

    pythons = dict.fromkeys(("bert4rec", "textbook"), sys.executable)
    pythons |= {"Hugging Face": options.peers, "RecTools": options.peers}
    pythons["RecBole"] = options.recbole
    names = [name for name in options.only if pythons[name]]
    record = {
        "machine": machine(options.device),
        "steps": options.steps,
        "warmup": options.warmup,
        "rounds": options.rounds,
        "configurations": [],
    }
    for hidden in options.hidden:
        for length in options.length:
            setting = {
                "data": str(Path(options.data).resolve()),
                "hidden": hidden,
                "length": length,
                "steps": options.steps,
                "warmup": options.warmup,
                "device": options.device,
                "batch": options.batch,
            }
            results = rounds(names, pythons, setting, options)
            record["configurations"].append(
                {
                    "hidden_size": hidden,
                    "max_len": length,
                    "batch": options.batch,
                    "results": results,
                }
            )
            print(table(hidden, length, results), flush=True)
            if options.output:  # after each configuration: a run cut short keeps what it measured
                options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def rounds(names: list[str], pythons: dict, setting: dict, options) -> dict:
    """Run each implementation once per round and take the medians."""
    seen: dict[str, list[dict]] = {name: [] for name in names}
    ours = {"compile": options.compile, "precision": options.precision}
    for number in range(options.rounds):
        for name in names:
            mine = setting | (ours if name == "bert4rec" else {})
            print(f"\r\x1b[K  round {number + 1}: {name} …", end="", file=sys.stderr, flush=True)
            result = run(pythons[name], name, mine)
            if result is not None:
                seen[name].append(result)
    print("\r\x1b[K", end="", file=sys.stderr)
    summary = {}
    for name, runs in seen.items():
        if not runs:
            continue
        keys = ("sequences_per_second", "tokens_per_second", "peak_memory_mb")
        summary[name] = {key: median(run[key] for run in runs) for key in keys}
        summary[name]["versions"] = runs[0]["versions"]
        if name == "bert4rec":
            rates = [run["flops"] / run["seconds"] for run in runs]
            summary[name]["gflops"] = median(rates) / 1e9
            summary[name]["peak_gflops"] = median(run["peak_flops"] for run in runs) / 1e9
            summary[name]["share_of_peak"] = median(
                rate / run["peak_flops"] for rate, run in zip(rates, runs, strict=True)
            )
            if "products_seconds" in runs[0]:
                summary[name]["share_of_products"] = median(
                    run["products_seconds"] / run["seconds"] for run in runs
                )
    return summary


def run(python: str, name: str, setting: dict) -> dict | None:
    """One implementation in a process of its own; None, with its last words, if it failed."""
    command = [python, str(HERE / "trainers.py"), name, json.dumps(setting)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"\n{name} failed:\n{done.stderr[-800:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(hidden: int, length: int, results: dict) -> str:
    """The figures of a configuration as Markdown."""
    lines = [
        f"\n**hidden size {hidden}, length {length}**\n",
        "| | sequences/s | real tokens/s | ours is faster | peak memory, MB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    ours = results.get("bert4rec", {}).get("tokens_per_second")
    for name, row in results.items():
        ratio = f"{ours / row['tokens_per_second']:.1f} ×" if ours and name != "bert4rec" else ""
        lines.append(
            f"| {name} | {row['sequences_per_second']:,.0f} | {row['tokens_per_second']:,.0f} | "
            f"{ratio} | {row['peak_memory_mb']:,.0f} |"
        )
    if "bert4rec" in results:
        row = results["bert4rec"]
        lines.append(
            f"\nOurs does {row['gflops']:,.1f} GFLOP/s of the operations needed, "
            f"{row['share_of_peak']:.0%} of the {row['peak_gflops']:,.1f} GFLOP/s of a large "
            "matrix product on this machine."
        )
        if "share_of_products" in row:
            lines[-1] += (
                " The step's own matrix products, in their shapes and by themselves, take "
                f"{row['share_of_products']:.0%} of its time."
            )
    return "\n".join(lines)


def answer_of(*command: str) -> str:
    """What a command prints, or nothing where there is none."""
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except FileNotFoundError:
        return ""


def machine(device: str) -> dict:
    """What the figures depend on."""
    facts = {
        "device": device,
        "threads": torch.get_num_threads(),
        "platform": platform.platform(terse=True),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if device == "cuda":
        facts["card"] = torch.cuda.get_device_name()
        facts["cuda"] = torch.version.cuda
        query = "--query-gpu=driver_version", "--format=csv,noheader"
        facts["driver"] = answer_of("nvidia-smi", *query)
    else:
        cpu = Path("/proc/cpuinfo")
        names = [line for line in cpu.read_text().splitlines() if line.startswith("model name")]
        facts["cpu"] = names[0].split(":", 1)[1].strip() if names else platform.processor()
    return facts


if __name__ == "__main__":
    main()
