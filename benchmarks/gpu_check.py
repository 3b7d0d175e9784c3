"""Everything that is to be known about a GPU, in one command of at most eight minutes.

    python benchmarks/gpu_check.py --data ml-1m.txt.xz          make gpu-check DATA=ml-1m.txt.xz
    python benchmarks/gpu_check.py --device cpu --small         rehearse it without one

In this order: what holds on a CPU holds there (device_checks.py); how long training takes to the
published quality and to that of the shipped weights; the speed beside other implementations; the
notebooks that use a GPU; several processes. Each result is written as soon as it is there; so is a
failure, which does not end the rest. Needs torch, numpy, pandas and this folder; peers and
JupyterLab are used where they are installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

from device_checks import CHECKS  # noqa: E402
from flops import needed_by_step, peak  # noqa: E402
from training_speed import machine  # noqa: E402

from bert4rec import BERT4Rec, ClozeBatches, Sequences, evaluate, get_preset, train  # noqa: E402

# test NDCG@10, full ranking: BERT4Rec in Klenitskiy and Vasilev 2023; the weights that travel along
GOALS = {"published": 0.1537, "ml-1m": 0.1808, "ml-1m-causal": 0.1967}

# several processes on one card, which NCCL does not allow; with one of them, NCCL
PROCESSES = """
import json, os, sys
import torch, torch.distributed as dist
dist.init_process_group(sys.argv[1])
if sys.argv[2] == "cuda":
    torch.cuda.set_device(0)
from dataclasses import replace
from device_checks import CONFIG, parts
from bert4rec import train
split, model = parts()
config = replace(CONFIG, device=sys.argv[2], precision="float32", epochs=12, learning_rate=5e-3)
losses = [row["loss"] for row in train(model, split, config, progress=False).epochs]
if dist.get_rank() == 0:
    print(json.dumps(losses))
dist.destroy_process_group()
"""


class Record:
    """The results so far, written after each."""

    def __init__(self, path: Path, minutes: float):
        self.path, self.end, self.content = path, time.monotonic() + 60 * minutes, {}

    def left(self) -> float:
        """Seconds until nothing new is begun."""
        return self.end - time.monotonic()

    def add(self, group: str, name: str, measure) -> None:
        """Measure something, and write what came of it."""
        rows = self.content.setdefault(group, {})
        begun = time.monotonic()
        if self.left() <= 0:
            result: dict = {"skipped": "no time was left"}
        else:
            try:
                result = measure()
            except Exception as error:
                result = {"failed": f"{type(error).__name__}: {error}"[:2000]}
                traceback.print_exc()
        rows[name] = {**result, "seconds": round(time.monotonic() - begun, 1)}
        self.path.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        shown = {key: value for key, value in rows[name].items() if key not in ("curve", "ranks")}
        print(f"{group}, {name}: {json.dumps(shown)[:400]}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="ml-1m.txt.xz")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true", help="a rehearsal: little of everything")
    parser.add_argument("--minutes", type=float, default=7.5, help="nothing is begun after them")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "gpu.json")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device; --device cpu --small rehearses this without one.")
    if options.data is None and not options.small:
        sys.exit("name the MovieLens-1M sequences: --data ml-1m.txt.xz")
    record = Record(options.output, options.minutes)
    record.content["machine"] = about(options.device)
    for check in CHECKS:
        record.add("checks", check.__name__, partial(check, options.device))
    for preset in ("ml-1m", "ml-1m-causal"):
        record.add("quality", preset, partial(quality, options, preset))
    for name, extra in speeds(options):
        record.add("speed", name, partial(speed, options, extra))
    for number in ("04", "09"):
        record.add("notebooks", number, partial(notebook, options, number))
    for name, count in (("nccl", 1), ("gloo", 2))[options.small :]:
        backend = "gloo" if options.device == "cpu" else name
        record.add("processes", f"{backend}, {count}", partial(processes, options, backend, count))
    groups = [rows for name, rows in record.content.items() if name != "machine"]
    failed = [name for rows in groups for name, row in rows.items() if "failed" in row]
    print(f"written to {options.output}; failed: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


def about(device: str) -> dict:
    """The machine, and the state of the source."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    driver = ""
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(query, capture_output=True, text=True).stdout.strip()
    return {**machine(device), "driver": driver, "cuda": torch.version.cuda, "commit": commit}


def quality(options: argparse.Namespace, name: str) -> dict:
    """Train a preset; when does the test reach the goals? Looking is not counted."""
    preset = get_preset(name, device=options.device, batch_size=128)
    if options.small:
        preset = get_preset(preset, epochs=1, max_len=20, batch_size=32)
        log = small_log()
    else:
        epochs = 2 * preset.training.epochs  # fewer steps in an epoch, more epochs
        preset = get_preset(preset, epochs=epochs)
        log = Sequences.from_file(options.data)
    split, curve, looking = log.leave_one_out(), [], 0.0
    torch.manual_seed(preset.training.seed)
    model = BERT4Rec(preset.model_config(split.train.num_items))

    def look(history) -> bool:
        nonlocal looking
        begun = time.perf_counter()
        ranks = evaluate(model, split.test).models[model.name]
        seconds = history.seconds - looking
        curve.append({"seconds": seconds, "NDCG@10": ranks.metric("NDCG@10")})
        looking += time.perf_counter() - begun
        return False

    history = train(model, split, preset.training, progress=False, on_epoch=look)
    report = evaluate(model, split.test)
    reached = {
        goal: next((row["seconds"] for row in curve if row["NDCG@10"] >= value), None)
        for goal, value in GOALS.items()
        if goal in ("published", name)
    }
    inputs, labels = next(ClozeBatches(split.train, preset.shape["max_len"], 128).epoch(1))
    steps = history.epochs[-1]["step"]
    operations = needed_by_step(model.config, inputs, labels) * steps
    rate = operations / (history.seconds - looking)
    return {
        "training": asdict(preset.training),
        "model": asdict(model.config),
        "training seconds": history.seconds - looking,
        "seconds to": reached,
        "test": report.to_dict()["models"],
        "share of the matrix rate": rate / peak(options.device),
        "curve": curve,
        "ranks": report.models[model.name].expected.tolist(),
    }


def has(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def small_log() -> Sequences:
    from device_checks import make_log

    return Sequences.from_interactions(make_log())


def speeds(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """The runs of training_speed.py: what they are called, and their options."""
    have = [name for name in ("transformers", "rectools", "recbole") if has(name)]
    peers = ["Hugging Face"] * ("transformers" in have) + ["RecTools"] * ("rectools" in have)
    beside = ["--only", "bert4rec", *peers, *(["RecBole"] if "recbole" in have else [])]
    beside += ["--peers", sys.executable] if peers else []
    beside += ["--recbole", sys.executable] if "recbole" in have else []
    alone = ["--only", "bert4rec"]
    found = [("bf16, beside others", beside)]
    for precision in ("float32", "tf32"):
        found.append((precision, [*alone, "--precision", precision]))
    found.append(("bf16, compiled", [*alone, "--compile"]))
    found.append(("bf16, batch 1,024", [*alone, "--batch", "1024"]))
    found.append(("bf16, batch 1,024, compiled", [*alone, "--batch", "1024", "--compile"]))
    return [("ours", alone)] if options.small else found


def speed(options: argparse.Namespace, extra: list[str]) -> dict:
    path = options.output.with_suffix(".speed.json")
    data = options.data or written_log(options.output.with_suffix(".txt"))
    command = [
        sys.executable, str(HERE / "training_speed.py"), "--data", str(data), "--rounds", "1",
        "--device", options.device, "--output", str(path), *extra,
    ]  # fmt: skip
    steps = {"steps": "1", "warmup": "1"} if options.small else {"steps": "60", "warmup": "15"}
    for name, value in steps.items():
        command += [f"--{name}", value]
    if options.small:
        command += ["--hidden", "64", "--length", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-1500:]
    result = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return {"configurations": result["configurations"]}


def written_log(path: Path) -> Path:
    """The small log as the field's text."""
    log = small_log()
    lines = [f"{user + 1} {item}" for user in range(len(log)) for item in log[user]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def notebook(options: argparse.Namespace, number: str) -> dict:
    """Run a notebook as it is, on this device; its outputs stay beside the record."""
    if not (has("nbconvert") and has("ipykernel")):
        return {"skipped": "nbconvert or ipykernel is not installed"}
    if options.small:
        return {"skipped": "the tests run the notebooks"}
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    output = options.output.parent / f"gpu-{path.name}"
    command = [
        sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", str(path),
        "--output", str(output),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-1500:]
    return {"written": output.name}


def processes(options: argparse.Namespace, backend: str, count: int) -> dict:
    """The losses of several processes beside those of one."""
    from device_checks import losses_of

    script = options.output.with_suffix(".processes.py")
    script.write_text(PROCESSES, encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={count}", str(script), backend, options.device,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ['PYTHONPATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment)
    script.unlink()
    assert done.returncode == 0, done.stderr[-1500:]
    found = json.loads(done.stdout.strip().splitlines()[-1])
    expected = losses_of(options.device, precision="float32")
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other) <= 1e-3 * other, f"{found}, not {expected}"
    return {"losses": found, "one process": expected}


if __name__ == "__main__":
    raise SystemExit(main())
