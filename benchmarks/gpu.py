"""Everything that is measured on a GPU, in one command of a few minutes.

    python benchmarks/gpu.py --data ml-1m.txt.xz --output results

Speed beside whichever peers this Python can import (none is required), then the preset `ml-1m`
trained from nothing: how long it takes until its test metrics are the published ones. Needs torch,
numpy, pandas, and this folder. Writes gpu.json, with card, driver and versions. `--device cpu
--epochs 1 --steps 2` tries the script out where there is no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch
from training_speed import machine

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
PUBLISHED = {"NDCG@10": 0.1537, "HR@10": 0.2843}  # Klenitskiy and Vasilev 2023, full ranking


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="ml-1m.txt.xz")
    parser.add_argument("--output", type=Path, default=Path("results"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--epochs", type=int, help="instead of the preset's")
    parser.add_argument("--steps", type=int, default=100, help="steps timed in each round")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device; --device cpu tries the script out without one.")

    record = {"machine": machine(options.device), "time to the published quality": []}
    print(json.dumps(record["machine"], indent=1), flush=True)
    for batch_size in (32, 128):
        result = time_to_quality(options, batch_size)
        record["time to the published quality"].append(result)
        print(json.dumps({k: v for k, v in result.items() if k != "curve"}), flush=True)
        write(record, options.output)

    record["speed"] = {}
    peers = ["--peers", sys.executable] if has("transformers") and has("rectools") else []
    recbole = ["--recbole", sys.executable] if has("recbole") else []
    for name, extra in (("plain", [*peers, *recbole]), ("compiled", ["--compile"])):
        path = options.output / f".gpu-{name}.json"
        command = [
            sys.executable, str(HERE / "training_speed.py"), "--data", options.data,
            "--device", options.device, "--steps", str(options.steps), "--rounds", "1",
            "--warmup", "20" if options.device == "cuda" else "1", "--output", str(path), *extra,
        ]  # fmt: skip
        if name == "compiled":
            command += ["--only", "bert4rec"]
        subprocess.run(command, check=True)
        record["speed"][name] = json.loads(path.read_text())["configurations"]
        path.unlink()
        write(record, options.output)


def time_to_quality(options: argparse.Namespace, batch_size: int) -> dict:
    """Train the preset, with steps of `batch_size`, and test what came out."""
    from bert4rec import BERT4Rec, Sequences, evaluate, get_preset, train

    split = Sequences.from_file(options.data).leave_one_out()
    preset = get_preset("ml-1m")
    changes = {"device": options.device, "batch_size": batch_size}
    if options.epochs:
        changes["epochs"] = options.epochs
    elif batch_size > preset.training.batch_size:
        changes["epochs"] = 2 * preset.training.epochs  # fewer steps in an epoch, more epochs
    config = replace(preset.training, **changes)
    torch.manual_seed(config.seed)
    model = BERT4Rec(preset.model_config(split.train.num_items))
    history = train(model, split, config)
    report = evaluate(model, split.test).to_dict()
    reached = report["models"]["BERT4Rec"]
    return {
        "training": asdict(config),
        "model": asdict(model.config),
        "seconds": history.seconds,
        "test": reached,
        "reaches the published": all(reached[name] >= value for name, value in PUBLISHED.items()),
        "curve": history.epochs,
    }


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def write(record: dict, folder: Path) -> None:
    (folder / "gpu.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
