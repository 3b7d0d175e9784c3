"""Measure a preset on MovieLens-1M: train, evaluate, and write the records that are cited.

    python results/measure_ml_1m.py --data ml-1m.txt.xz --seeds 0 1 2
    python results/measure_ml_1m.py --data ml-1m.txt.xz --preset ml-1m-causal
    python results/measure_ml_1m.py --data ml-1m.txt.xz --change epochs=20

Trains the preset once per seed with the command line (a run that is in `runs/` already is
not repeated), evaluates each under three protocols, and writes beside this file

    NAME.json         config, versions, data digest, time and curve of every run, and its reports
    NAME-ranks.csv.gz each user's rank on the test, per run, baseline and protocol
    NAME-curve.png    validation NDCG@10 over the minutes of training

NAME is that of the preset. With a change it says so, as ml-1m-20-epochs, and only the first file is
written. What is there is checked against the tables in README.md by the tests.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from measure_blend import paired

from bert4rec import plots

HERE = Path(__file__).resolve().parent
PROTOCOLS = ("full", "popular-100", "uniform-100")
CITED = ("NDCG@10", "HR@10")
BASELINES = ("item transitions", "popularity")
PUBLISHED = {
    "ml-1m": {"BERT4Rec, Klenitskiy & Vasilev 2023, test": 0.1537},
    "ml-1m-causal": {"SASRec, Klenitskiy & Vasilev 2023, test": 0.182},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="ml-1m.txt.xz")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where models are saved")
    parser.add_argument("--preset", default="ml-1m", choices=PUBLISHED)
    parser.add_argument("--change", nargs="+", default=[], help="options of train, as epochs=20")
    options = parser.parse_args()
    name, changes = options.preset, []
    for change in options.change:
        key, _, value = change.partition("=")
        name += f"-{value}-{key}"
        changes += [f"--{key}", value]

    record: dict = {"runs": [], "summary": {}}
    ranks: dict[str, pd.Series] = {}
    for seed in options.seeds:
        folder = options.runs / f"{name}-seed-{seed}"
        train = ["train", "--preset", options.preset, *changes, "--seed", str(seed)]
        if not (folder / "metrics.json").exists():
            command(*train, "--data", options.data, "--output", folder, "--resume")
        run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        run["data"]["data"] = Path(options.data).name
        run["command"] = " ".join(["bert4rec", *train, "--data", run["data"]["data"]])
        run["reports"] = {}
        for protocol in PROTOCOLS:
            report, table = evaluated(folder, options.data, protocol)
            run["reports"][protocol] = report
            ranks.setdefault("user", table["user"])
            for model in report["models"]:
                of = "" if model in BASELINES else f", seed {seed}"
                ranks[f"{model}{of}, {protocol}"] = table[model]
        del run["report"]  # it is run["reports"]["full"]
        record["runs"].append(run)

    for protocol in PROTOCOLS:
        reports = [run["reports"][protocol]["models"] for run in record["runs"]]
        record["summary"][protocol] = {
            model: reports[0][model] if model in BASELINES else over_seeds(reports, model)
            for model in reports[0]
            if all(model in report for report in reports)  # both ways counts where it was chosen
        }
    record["mixed less its parts"] = against_parts(ranks, options.seeds)
    text = json.dumps(record, indent=1)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    if not options.change:
        keep(name, record["runs"], pd.DataFrame(ranks))
    for protocol, models in record["summary"].items():
        for model in set(models) - set(BASELINES):
            for metric, seen in models[model].items():
                spread = seen["standard deviation"]
                print(f"{protocol:12} {model:24} {metric:8} {seen['mean']:.4f} ± {spread:.4f}")


def keep(preset: str, runs: list[dict], ranks: pd.DataFrame) -> None:
    """Write the ranks and the curves of a preset as it is."""
    # mtime=0: the same ranks give the same file
    ranks.to_csv(
        HERE / f"{preset}-ranks.csv.gz",
        index=False,
        float_format="%g",
        compression={"method": "gzip", "mtime": 0},
    )
    matplotlib.use("Agg")
    figure = plots.quality_over_time(runs, PUBLISHED[preset])
    figure.savefig(HERE / f"{preset}-curve.png", dpi=110)


def against_parts(ranks: dict[str, pd.Series], seeds: list[int]) -> dict:
    """NDCG@10 of the mixture less that of its parts in full ranking, paired over users."""

    def gains(model: str) -> np.ndarray:  # (seeds, users)
        of = [""] * len(seeds) if model in BASELINES else [f", seed {seed}" for seed in seeds]
        table = np.stack([ranks[f"{model}{one}, full"] for one in of])
        return np.where(table <= 10, 1 / np.log2(table + 1), 0)

    (network,) = {name.partition(" + ")[0] for name in ranks if " + " in name}
    mixed = gains(f"{network} + transitions")
    return {part: paired(mixed - gains(part)) for part in (network, "item transitions")}


def over_seeds(reports: list[dict], model: str) -> dict:
    """The mean of each cited metric and its spread."""
    values = {metric: [report[model][metric] for report in reports] for metric in CITED}
    return {
        metric: {"mean": np.mean(v), "standard deviation": np.std(v, ddof=1), "runs": v}
        for metric, v in values.items()
    }


def evaluated(folder: Path, data: str, protocol: str) -> tuple[dict, pd.DataFrame]:
    """A model's report under a protocol, and each user's rank."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "ranks.csv"
        output = command(
            "evaluate", "--model", folder, "--data", data, "--protocol", protocol, "--json",
            "--ranks", path, capture=True,
        )  # fmt: skip
        return json.loads(output), pd.read_csv(path)


def command(*arguments: object, capture: bool = False) -> str:
    """Run bert4rec with these arguments; its output, if asked for."""
    done = subprocess.run(
        [sys.executable, "-m", "bert4rec", *map(str, arguments)],
        check=True, text=True, stdout=subprocess.PIPE if capture else None,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    main()
