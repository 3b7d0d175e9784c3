"""What the benchmarks share that measure each thing in a process of its own."""

from __future__ import annotations

import itertools
import json
import resource
import subprocess
import sys


def answer(result: dict) -> None:
    """Print what was measured, as the last line of this process."""
    print("\n" + json.dumps(result))


def ask(what: str, script: str, *options: object) -> dict:
    """Run a script of ours and return what it answered; end with its words if it fails."""
    command = [sys.executable, script, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{what} failed:\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peak_memory_mb() -> float:
    """The most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def stepper(model, train, config):
    """Return a function of inputs and labels that takes the steps that bert4rec's `train` takes."""
    from bert4rec import devices
    from bert4rec.training.optimizers import clip_gradients, loss_and_optimizers

    loss_of, optimizers = loss_and_optimizers(model, train, config, steps=10_000)
    numbers = itertools.count(1)

    def step(inputs, labels, precision="float32"):
        optimizers.set_rate(next(numbers))
        with devices.precision(precision, model.device) as autocast:
            with autocast:
                loss = loss_of(inputs, labels)
            model.zero_grad(set_to_none=True)
            loss.backward()
            clip_gradients(model.parameters(), config.clip_norm)
            optimizers.step()

    return step
