"""What the benchmarks count."""

import json
import os
import subprocess
import sys
import time
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, tiny_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bert4rec import IGNORE

sys.path.insert(0, str(ROOT / "benchmarks"))
from flops import needed_by_step


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_operations_needed_are_those_that_torch_counts(num_layers):
    def plain(hidden, weight, bias, labels):  # torch counts no product written to a given place
        return F.cross_entropy(F.linear(hidden, weight, bias), labels)

    model = tiny_model(30, num_layers=num_layers, attention_dropout=0.0).train()
    tokens = torch.randint(1, 31, (5, 8))
    labels = torch.full_like(tokens, IGNORE)
    labels[:, [2, 5, 7]] = tokens[:, [2, 5, 7]]  # as many in each row: nothing is filled up
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.loss(tokens, labels, loss=plain).backward()
    assert needed_by_step(model.config, tokens, labels) == counter.get_total_flops()


def test_padding_and_hidden_work_is_not_needed():
    model = tiny_model(30)
    tokens = torch.tensor([[0, 0, 0, 3, 4, 31], [0, 0, 0, 5, 31, 7]])
    labels = torch.where(tokens == 31, 9, IGNORE)
    short = needed_by_step(model.config, tokens[:, 3:], labels[:, 3:])
    assert needed_by_step(model.config, tokens, labels) == short


def test_the_check_of_a_gpu_rehearsed_on_the_cpu(tmp_path):
    """The same script; what takes longest has tests of its own."""
    import device_checks
    import gpu_check

    slow = {"killed_it_goes_on", "onnx_gives_the_same_scores"}
    checks = [check for check in device_checks.CHECKS if check.__name__ not in slow]
    assert len(checks) == len(device_checks.CHECKS) - len(slow)
    path = tmp_path / "gpu.json"
    arguments = ["gpu_check.py", "--device", "cpu", "--small", "--output", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_check, "CHECKS", checks)
        patch.setattr(sys, "argv", arguments)
        assert gpu_check.main() == 0
    found = json.loads(path.read_text(encoding="utf-8"))
    assert {"commit", "driver", "torch"} <= set(found["machine"])
    assert set(found["checks"]) == {check.__name__ for check in checks}
    assert {"curve", "ranks", "seconds to", "test"} <= set(found["quality"]["ml-1m-causal"])
    (speed,) = found["speed"].values()
    assert speed["configurations"][0]["results"]["bert4rec"]["tokens_per_second"] > 0
    assert found["processes"]["gloo, 2"]["losses"] != []


def test_a_failed_check_is_written_and_the_rest_goes_on(tmp_path):
    import gpu_check

    record = gpu_check.Record(tmp_path / "gpu.json", minutes=5)
    record.add("checks", "one", lambda: 1 / 0)
    record.add("checks", "two", lambda: {"fine": True})
    record.end = 0  # the time is over
    record.add("checks", "three", lambda: {"fine": True})
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))["checks"]
    assert found["one"]["failed"].startswith("ZeroDivisionError")
    assert found["two"]["fine"]
    assert found["three"]["skipped"] == "no time was left"


def test_what_breaks_its_process_or_takes_too_long_ends_alone():
    import gpu_check

    apart = gpu_check.Apart()
    with pytest.raises(RuntimeError, match="not done"):
        apart(partial(time.sleep, 600), 0.5)
    first = apart(partial(dict, fine=True), 60)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        apart(partial(divmod, 1, 0), 60)
    with pytest.raises(RuntimeError, match="its process died"):
        apart(partial(os._exit, 1), 600)
    assert first == apart(partial(dict, fine=True), 60) == {"fine": True}
    apart.end()
    with pytest.raises(subprocess.TimeoutExpired):
        gpu_check.finished([sys.executable, "-c", "import time; time.sleep(600)"], 0.5)
    with pytest.raises(AssertionError, match="its last words"):
        gpu_check.finished([sys.executable, "-c", "import sys; sys.exit('its last words')"], 60)
