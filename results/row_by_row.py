"""What the scripts share that measure row by row."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from bert4rec.files import write_atomically


def movielens_logs(description: str, script: str) -> tuple[Path, Path, str]:
    """The logs that a script is called with: ml-1m.txt.xz, ml-100k.inter, and how it was called."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--ml-1m", required=True, type=Path, help="ml-1m.txt.xz")
    parser.add_argument("--ml-100k", required=True, type=Path, help="ml-100k.inter")
    logs = parser.parse_args()
    command = f"python results/{script} --ml-1m {logs.ml_1m.name} --ml-100k {logs.ml_100k.name}"
    return logs.ml_1m, logs.ml_100k, command


def by_seed(measure: Callable[[int], dict]) -> Iterator[tuple[str, Callable[[], dict]]]:
    """The rows of what is measured with five seeds."""
    for seed in range(5):
        yield f"seed {seed}", partial(measure, seed)


def measure_rows(output: Path, about: dict, rows: Iterable[tuple[str, Callable[[], dict]]]) -> None:
    """Measure what a record does not have yet, and write it after each row.

    Args:
        output: the record, a JSON file.
        about: its other entries.
        rows: every measurement by its name.
    """
    measured = json.loads(output.read_text(encoding="utf-8"))["rows"] if output.exists() else {}
    for name, measure in rows:
        if name in measured:
            continue
        print(f"-- {name}", flush=True)
        begun = time.perf_counter()
        result = measure()
        measured[name] = {**result, "seconds": round(time.perf_counter() - begun, 1)}
        content = json.dumps({**about, "rows": measured}, indent=1)
        write_atomically(output, (content + "\n").encode())
