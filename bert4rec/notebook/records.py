"""The figures of results/ that notebooks quote, read from the file that the measurement wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ..errors import InputError, did_you_mean

RESULTS = Path("../results")  # as a notebook sees it


def recorded(name: str) -> dict:
    """Read what a measurement recorded: `recorded("ml-1m")` is results/ml-1m.json as a dict.

    Args:
        name: the file's name without .json; results/README.md says what each file holds.

    Raises:
        InputError: there is no such file, or this is not run in the folder notebooks/.
    """
    known = sorted(path.stem for path in RESULTS.glob("*.json"))
    if not known:
        raise InputError(
            f"no results are in {RESULTS.resolve()}: start this notebook in the folder notebooks/ "
            "of the repository."
        )
    if name not in known:
        raise InputError(
            f"there is no results/{name}.json; there are {', '.join(known)}."
            + did_you_mean(name, known)
        )
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def recorded_means(*names: str, protocol: str = "full") -> pd.DataFrame:
    """HR@10 and NDCG@10 of each model in records with a "summary", means over their seeds.

    Args:
        names: of records, as for `recorded`; the later one counts where both have a model.
        protocol: "full", "popular-100" or "uniform-100".

    Returns:
        a row for each model.
    """
    rows = {}
    for name in names:
        for model, metrics in recorded(name)["summary"][protocol].items():
            values = [metrics[metric] for metric in ("HR@10", "NDCG@10")]
            rows[model] = [v["mean"] if isinstance(v, dict) else v for v in values]
    return pd.DataFrame.from_dict(rows, orient="index", columns=["HR@10", "NDCG@10"])
