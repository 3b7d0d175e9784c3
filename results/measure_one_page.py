"""Measure the page of notebook 10 over seeds.

    python results/measure_one_page.py

Runs the code cells of the notebook up to its measurement on the test, once per seed, and writes
one-page.json beside this file, row by row; rows that are in it already are not measured again.
NDCG@10 is of a full ranking of the embedded set. One thread; six minutes.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from row_by_row import by_seed, measure_rows

from bert4rec.recommend.records import versions

OUTPUT = Path(__file__).resolve().parent / "one-page.json"
NOTEBOOK = OUTPUT.parents[1] / "notebooks" / "10_from_an_empty_file.ipynb"
SEED, MEASURED = "torch.manual_seed({})\nmodel = ", "gains = ndcg(model, test)"


def main() -> None:
    torch.set_num_threads(1)
    os.chdir(NOTEBOOK.parent)  # the page reads ../data
    about = {
        "command": "python results/measure_one_page.py",
        "versions": versions(torch.device("cpu")),
    }
    measure_rows(OUTPUT, about, by_seed(measured))


def measured(seed: int) -> dict:
    """Run the page with another seed."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    before, measuring, _ = code.partition(MEASURED)
    if before.count(SEED.format(0)) != 1 or not measuring:
        raise SystemExit(f"{NOTEBOOK.name} must hold {SEED.format(0)!r} once, and {MEASURED!r}.")
    names: dict = {"__name__": "page"}
    exec(before.replace(SEED.format(0), SEED.format(seed)) + MEASURED, names)
    gains = names["gains"]
    return {
        "NDCG@10": gains.mean().item(),
        "standard error": (gains.std() / len(gains) ** 0.5).item(),
        "validation NDCG@10": names["best"],
    }


if __name__ == "__main__":
    main()
