"""What must hold on a device as it does on the CPU, each a function that raises if it does not.

`gpu_check.py` runs them all. They need no test runner: they go wherever torch and pandas are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from bert4rec import (
    BERT4Rec,
    ClozeBatches,
    ItemTransitions,
    ModelConfig,
    Recommender,
    Sequences,
    TrainingConfig,
    rank_targets,
    train,
)
from bert4rec.training.optimizers import clip_gradients, loss_and_optimizers
from bert4rec.training.progress import EVERY, FiniteCheck

CONFIG = TrainingConfig(epochs=3, batch_size=32, start_at_neighbours=2, muon_learning_rate=0.01)
FIT = {"hidden_size": 32, "num_heads": 2, "max_len": 16, "min_user_count": 1, "min_item_count": 1}


def make_log(num_users: int = 300, num_items: int = 120, seed: int = 0) -> pd.DataFrame:
    """Histories that walk upwards through the catalogue."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        start = rng.integers(num_items)
        for step in range(rng.integers(5, 30)):
            rows.append((f"u{user}", 100 + int(start + step) % num_items, step))
    return pd.DataFrame(rows, columns=["user", "item", "timestamp"])


def parts(**changes) -> tuple:
    """A split and a model without dropout, so that devices can be compared."""
    split = Sequences.from_interactions(make_log()).leave_one_out()
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_heads": 2, "max_len": 16, "dropout": 0.0} | changes
    return split, BERT4Rec(ModelConfig(num_items=split.train.num_items, **shape))


def first_batch(split) -> tuple[torch.Tensor, torch.Tensor]:
    return next(ClozeBatches(split.train, 16, 64).epoch(1))


def close(found: float, expected: float, share: float) -> None:
    assert abs(found - expected) <= share * abs(expected), f"{found:.6g}, not {expected:.6g}"


def scores_are_the_cpus(device: str) -> dict:
    worst = 0.0
    for changes in ({}, {"causal": True}, {"norm_first": True, "tie_weights": True}):
        split, model = parts(**changes)
        histories = split.test.histories.newest(np.arange(64), 20)
        expected = model.score(histories)
        found = model.to(device).score(histories).cpu()
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)
        worst = max(worst, float((found - expected)[:, 1:-1].abs().max()))
    return {"largest difference": worst}


def gradients_are_the_cpus(device: str) -> dict:
    split, model = parts()
    inputs, labels = first_batch(split)
    found = []
    for place in ("cpu", device):
        model.to(place).zero_grad()
        loss = model.loss(inputs, labels)
        loss.backward()
        gradients = {
            n: p.grad.cpu().clone() for n, p in model.named_parameters() if p.grad is not None
        }
        found.append((loss.item(), gradients))
    close(found[1][0], found[0][0], 1e-4)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, atol=1e-4, rtol=1e-2)
    return {"loss": found[1][0]}


def a_step_waits_for_nothing(device: str) -> dict:
    if device == "cpu":
        return {"skipped": "a CPU waits for itself"}
    for config in (replace(CONFIG, muon_learning_rate=0.0), CONFIG):
        split, model = parts(dropout=0.1)
        model.to(device).train()
        loss_of, optimizers = loss_and_optimizers(model, split.train, config, 100)
        finite = FiniteCheck(config, torch.device(device))
        inputs, labels = next(ClozeBatches(split.train, 16, 32).epoch(1))
        for step in (1, 2):  # the first one makes the optimisers' state
            torch.cuda.set_sync_debug_mode("error" if step == 2 else "default")
            try:
                rate = optimizers.set_rate(step)
                loss = loss_of(inputs, labels)
                model.zero_grad(set_to_none=True)
                loss.backward()
                finite.check(step, rate, loss.detach(), clip_gradients(model.parameters(), 1.0))
                optimizers.step()
            finally:
                torch.cuda.set_sync_debug_mode("default")
    return {}


def losses_of(device: str, **changes) -> list[float]:
    split, model = parts()
    config = replace(CONFIG, **{"device": device, "epochs": 12, "learning_rate": 5e-3} | changes)
    return [row["loss"] for row in train(model, split, config, progress=False).epochs]


def precisions_learn_what_the_cpu_does(device: str) -> dict:
    expected = losses_of("cpu", precision="float32")
    found = {"cpu": expected}
    bounds = {"float32": 0.005, "tf32": 0.02, "bf16": 0.05}
    for precision, bound in bounds.items():
        if precision == "bf16" and device == "cpu":
            continue  # emulated there, and slow
        found[precision] = losses_of(device, precision=precision)
        close(found[precision][-1], expected[-1], bound)
    assert expected[-1] < 0.8 * expected[0], "nothing was learnt, so nothing was compared"
    return {"losses": found}


def compiled_it_is_the_same(device: str) -> dict:
    if device == "cpu":
        return {"skipped": "it takes minutes there"}
    losses = {}
    for loss in ("cross-entropy", "sampled-softmax"):
        settings = {"precision": "float32", "loss": loss, "num_negatives": 32}
        expected = losses_of(device, **settings)
        losses[loss] = losses_of(device, **settings, compile=True)
        # compiled, the tables of a sampled loss are AdamW's, not SparseAdam's
        close(losses[loss][-1], expected[-1], 0.01 if loss == "cross-entropy" else 0.03)
    return {"losses": losses}


def sampled_losses_learn(device: str) -> dict:
    found = {}
    for loss in ("sampled-softmax", "gbce"):
        for tied in (True, False):
            split, model = parts(tie_weights=tied)
            config = replace(CONFIG, device=device, loss=loss, num_negatives=32, epochs=6)
            losses = [row["loss"] for row in train(model, split, config, progress=False).epochs]
            assert losses[-1] < losses[0], losses
            found[f"{loss}, {'tied' if tied else 'untied'}"] = losses
    return {"losses": found}


def a_training_goes_on_where_it_was(device: str) -> dict:
    config = replace(CONFIG, device=device, precision="float32")
    split, whole = parts(dropout=0.1)
    expected = train(whole, split, config, progress=False)
    with tempfile.TemporaryDirectory() as folder:
        _, model = parts(dropout=0.1)
        train(model, split, config, folder, progress=False, on_epoch=lambda h: len(h.epochs) == 2)
        _, model = parts(dropout=0.1)
        found = train(model, split, config, folder, resume=True, progress=False)
    assert [row["epoch"] for row in found.epochs] == [1, 2, 3]
    for row, other in zip(found.epochs, expected.epochs, strict=True):
        close(row["loss"], other["loss"], 1e-2)
    return {"loss": found.epochs[-1]["loss"], "never stopped": expected.epochs[-1]["loss"]}


# arguments: the folder of this file, the device, the folder of the model
FITS = """
import sys
sys.path[:0] = [sys.argv[1], sys.argv[1] + "/.."]
from device_checks import FIT, make_log
from bert4rec import Recommender
how = {"device": sys.argv[2], "output": sys.argv[3], "resume": True, "progress": False}
Recommender.fit(make_log(), epochs=60, **how, **FIT)
"""


def killed_it_goes_on(device: str) -> dict:
    """A process that is killed in its training; another goes on from the folder."""
    with tempfile.TemporaryDirectory() as folder:
        model, said = Path(folder) / "model", Path(folder) / "said"
        here = str(Path(__file__).resolve().parent)
        command = [sys.executable, "-c", FITS, here, device, str(model)]
        with said.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=file)
            while process.poll() is None and not (model / "checkpoint.safetensors").exists():
                time.sleep(0.05)
            process.kill()
        assert process.wait() == -signal.SIGKILL, said.read_text()[-2000:]
        BERT4Rec.load(model)  # whole, whenever it was killed
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        record = json.loads((model / "metrics.json").read_text(encoding="utf-8"))
        assert [row["epoch"] for row in record["curve"]] == list(range(1, 61))
    return {}


def ranks_are_the_cpus(device: str) -> dict:
    split, model = parts()
    train(model, split, replace(CONFIG, device="cpu"), progress=False)
    expected = rank_targets(model, split.test)
    found = rank_targets(model.to(device), split.test)
    share = float((found.expected == expected.expected).mean())
    assert share > 0.98, f"{share:.1%} of the users have the same rank"
    assert abs(found.metric("NDCG@10") - expected.metric("NDCG@10")) < 2e-3
    return {"share of equal ranks": share}


def it_recommends_what_the_cpu_does(device: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        made = Recommender.fit(
            make_log(), output=folder, device=device, epochs=5, progress=False, **FIT
        )
        assert made.model.device.type == torch.device(device).type
        assert made.report.models["item transitions"].metric("HR@10") > 0
        again = Recommender.load(folder)
        history = [105, 106, 107]
        found, expected = (r.recommend(history, k=20) for r in (made, again))
        assert set(found["item"]) & set(expected["item"]) == set(found["item"])
        np.testing.assert_allclose(
            found.set_index("item")["score"].sort_index(),
            expected.set_index("item")["score"].sort_index(),
            atol=2e-3,
        )
        made.explain(history)
        made.similar(105)
        made.update(make_log(50, 130, seed=1), epochs=1, progress=False, min_item_count=1)
    return {"weight of transitions": made.blend.weight}


def onnx_gives_the_same_scores(device: str) -> dict:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            return {"skipped": f"{package} is not installed"}
    import onnxruntime

    split, model = parts()
    histories = split.test.histories.newest(np.arange(8), 10)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        recommender = Recommender(model.to(device), split.train.vocabulary)
        recommender.to_onnx(path)
        session = onnxruntime.InferenceSession(path)
        (found,) = session.run(None, {"histories": histories.numpy()})
    expected = model.score(histories).cpu().numpy()
    np.testing.assert_allclose(found[:, 1:-1], expected[:, 1:-1], atol=2e-3, rtol=2e-3)
    return {}


def a_loss_that_is_no_number_ends_it(device: str) -> dict:
    split, model = parts()
    config = replace(CONFIG, device=device, learning_rate=1e30, warmup_share=0.0, epochs=50)
    try:
        train(model, split, config, progress=False)
    except FloatingPointError as error:
        return {"message": str(error)[:80]}
    raise AssertionError(f"nothing was raised, looking every {EVERY} steps")


def counting_is_on_the_cpu_and_ranks_beside(device: str) -> dict:
    split, model = parts()
    model.to(device)
    for scorer in (model, ItemTransitions(split.train)):
        assert len(rank_targets(scorer, split.test)) == len(split.test)
    return {}


CHECKS = (
    scores_are_the_cpus,
    gradients_are_the_cpus,
    a_step_waits_for_nothing,
    precisions_learn_what_the_cpu_does,
    sampled_losses_learn,
    ranks_are_the_cpus,
    it_recommends_what_the_cpu_does,
    a_training_goes_on_where_it_was,
    a_loss_that_is_no_number_ends_it,
    counting_is_on_the_cpu_and_ranks_beside,
    killed_it_goes_on,
    onnx_gives_the_same_scores,
    compiled_it_is_the_same,
)
