"""What the benchmarks share that measure each thing in a process of its own."""

from __future__ import annotations

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
