"""Everything that is to be known about a GPU, in one command of at most eight minutes.

    python benchmarks/gpu_check.py --data ml-1m.txt.xz          make gpu-check DATA=ml-1m.txt.xz
    python benchmarks/gpu_check.py --device cpu --small         rehearse it without one

In this order: what holds on a CPU holds there (device_checks.py); several processes; how long
training takes to the published quality and to that of the shipped weights; the speed beside other
implementations; the notebooks that use a GPU. Each result is written as soon as it is there; so is
a failure, which does not end the rest, whatever it does to its process. Needs torch, numpy, pandas,
safetensors and this folder; peers and JupyterLab are used where they are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import mean

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

from device_checks import CHECKS  # noqa: E402
from flops import needed_by_step, peak  # noqa: E402
from training_speed import ALL, answer_of, machine  # noqa: E402

from bert4rec import BERT4Rec, Sequences, evaluate, get_preset, train  # noqa: E402
from bert4rec.training import loop  # noqa: E402

# test NDCG@10, full ranking: BERT4Rec in Klenitskiy and Vasilev 2023; the weights that travel along
GOALS = {"published": 0.1537, "ml-1m": 0.1808, "ml-1m-causal": 0.1967}

# several processes on one card, which NCCL does not allow; with one of them, NCCL
PROCESSES = """
import json, os, sys
import torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from bert4rec import distributed
dist.init_process_group("gloo" if sys.argv[1] == "gloo" else distributed.backend())
if sys.argv[2] == "cuda":
    torch.cuda.set_device(0)
from dataclasses import replace
from device_checks import CONFIG, first_batch, parts
from bert4rec import train
split, model = parts()
for device in ("cpu", sys.argv[2]):  # a single process would share nothing by itself
    found = torch.ones(3, device=device)
    dist.all_reduce(found)
    assert found.tolist() == 3 * [dist.get_world_size()], found
together = DistributedDataParallel(distributed._Loss(model.to(sys.argv[2]), model.loss))
together(*first_batch(split)).backward()
assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
del together
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

    def limit(self) -> float:
        """Seconds that what is begun now may take: half a minute after the last beginning, all is
        over."""
        return min(240.0, self.left() + 30)

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


class Apart:
    """Calls functions in another process, which is replaced when one fails.

    After some errors a GPU does nothing more for the process that made them.
    """

    def __init__(self) -> None:
        self.process = None

    def __call__(self, function, seconds: float):
        """What a function returns.

        Raises:
            RuntimeError: it raised something, ended its process, or took too long.
        """
        if self.process is None:
            spawn = get_context("spawn")
            self.door, theirs = spawn.Pipe()
            self.process = spawn.Process(target=serve, args=(theirs,), daemon=True)
            self.process.start()
            theirs.close()  # so that its death is heard here
        failed = f"it was not done after {seconds:.0f} s"
        try:
            self.door.send(function)
            if self.door.poll(seconds):
                failed, result = self.door.recv()
        except (EOFError, OSError):
            failed = "its process died"
        if failed:
            self.end()
            raise RuntimeError(failed)
        return result

    def end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = None


def serve(door: Connection) -> None:
    """Call what comes through a door, and say what came of it."""
    while True:
        function = door.recv()
        try:
            door.send(("", function()))
        except Exception as error:
            traceback.print_exc()
            door.send((f"{type(error).__name__}: {error}", None))


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
    apart = Apart()

    def add(group: str, name: str, function, *arguments) -> None:
        record.add(group, name, lambda: apart(partial(function, *arguments), record.limit()))

    for check in CHECKS:
        add("checks", check.__name__, check, options.device)
    apart.end()  # what follows has the GPU's memory for itself
    for name, count in (("nccl", 1), ("gloo", 2))[options.small :]:
        backend = "gloo" if options.device == "cpu" else name
        record.add(
            "processes",
            f"{backend}, {count}",
            lambda b=backend, c=count: processes(options, apart, b, c, record.limit()),
        )
    for preset in ("ml-1m", "ml-1m-causal"):
        add("quality", preset, quality, options, preset, record.limit() - 30)
    apart.end()
    for name, extra in speeds(options):
        record.add("speed", name, lambda e=extra: speed(options, e, record.limit()))
    for number in ("04", "09"):
        record.add("notebooks", number, lambda n=number: notebook(options, n, record.limit()))
    groups = [rows for name, rows in record.content.items() if name != "machine"]
    failed = [name for rows in groups for name, row in rows.items() if "failed" in row]
    print(f"written to {options.output}; failed: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


def about(device: str) -> dict:
    """The machine, and the state of the source."""
    commit = answer_of("git", "-C", str(ROOT), "rev-parse", "HEAD")
    return {"driver": "", **machine(device), "cuda": torch.version.cuda, "commit": commit}


def finished(command: list[str], seconds: float, **options) -> str:
    """Run a command and what it starts, and stop all of it when its time is over; what it printed.

    Raises:
        AssertionError: it failed, with its last words.
        TimeoutExpired: it took too long.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, **options,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends what it started, in groups of their own
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, err[-1500:]
    return out


def quality(options: argparse.Namespace, name: str, limit: float) -> dict:
    """Train a preset, for so many seconds at most; when does the test reach the goals? Looking is
    not counted."""
    start = time.perf_counter()
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
        seconds = history.seconds - looking  # of the looks before this one
        curve.append({"seconds": seconds, "NDCG@10": ranks.metric("NDCG@10")})
        looking += time.perf_counter() - begun
        return time.perf_counter() - start > limit

    history = train(model, split, preset.training, progress=False, on_epoch=look)
    report = evaluate(model, split.test)
    reached = {
        goal: next((row["seconds"] for row in curve if row["NDCG@10"] >= value), None)
        for goal, value in GOALS.items()
        if goal in ("published", name)
    }
    batches, seconds = loop._batches(model, split, preset.training).epoch(1), curve[-1]["seconds"]
    operations = mean(needed_by_step(model.config, *batch) for batch in batches)
    rate = operations * history.epochs[-1]["step"] / seconds
    return {
        "training": asdict(preset.training),
        "model": asdict(model.config),
        "training seconds": seconds,
        "stopped": history.stopped,
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
    alone = ["--only", "bert4rec", "--hidden", "256", "--length", "200"]
    found = [("bf16, beside others", beside)]
    for precision in ("float32", "tf32"):
        found.append((precision, [*alone, "--precision", precision]))
    found.append(("bf16, compiled", [*alone, "--compile"]))
    found.append(("bf16, batch 1,024", [*alone, "--batch", "1024"]))
    found.append(("bf16, batch 1,024, compiled", [*alone, "--batch", "1024", "--compile"]))
    return [("ours", ["--only", "bert4rec"])] if options.small else found


def speed(options: argparse.Namespace, extra: list[str], seconds: float) -> dict:
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
    path.unlink(missing_ok=True)
    note = {}
    try:
        finished(command, seconds)
    except subprocess.TimeoutExpired:  # what was measured so far is there
        note = {"cut short": f"after {seconds:.0f} s"}
        if not path.exists():
            raise
    found = json.loads(path.read_text(encoding="utf-8"))["configurations"]
    wanted = set(extra[extra.index("--only") + 1 :]) & set(ALL)
    for row in found:
        missing = wanted - set(row["results"])
        assert not missing, f"{', '.join(missing)} failed; the rest: {found}"
    return {"configurations": found, **note}


def written_log(path: Path) -> Path:
    """The small log as the field's text."""
    log = small_log()
    lines = [f"{user + 1} {item}" for user in range(len(log)) for item in log[user]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def notebook(options: argparse.Namespace, number: str, seconds: float) -> dict:
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
    finished(command, seconds)
    return {"written": output.name}


def processes(
    options: argparse.Namespace, apart: Apart, backend: str, count: int, seconds: float
) -> dict:
    """The losses of several processes beside those of one."""
    from device_checks import losses_of

    script = options.output.with_suffix(".processes.py")
    script.write_text(PROCESSES, encoding="utf-8")
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone",
        f"--nproc-per-node={count}", str(script), backend, options.device,
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ['PYTHONPATH']}"}
    try:
        printed = finished(command, seconds, env=environment)
    finally:
        script.unlink()
    found = json.loads(printed.strip().splitlines()[-1])
    expected = apart(partial(losses_of, options.device, precision="float32"), seconds)
    for one, other in zip(found, expected, strict=True):
        assert abs(one - other) <= 1e-3 * other, f"{found}, not {expected}"
    return {"losses": found, "one process": expected}


if __name__ == "__main__":
    raise SystemExit(main())
