"""The package as a whole: light to import, layered as its page says, complete when installed."""

import ast
import gzip
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT

import bert4rec
from bert4rec.notebook import diagrams, plots

RESULTS = ROOT / "results"


def test_importing_it_loads_nothing_heavy_besides_torch_pandas_and_numpy():
    code = (
        "import sys, torch, pandas, numpy; before = set(sys.modules); import bert4rec;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    late = {"matplotlib", "tensorboard", "pooch", "requests", "tyro", "tqdm", "IPython", "sklearn"}
    assert not late & set(result.stdout.split())


def imported(path, tree):
    """The files of the module that a file imports, at any depth, as paths without .py."""
    package = path.relative_to(ROOT / "bert4rec").parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = list(package[: len(package) - node.level + 1])
            parts = start + (node.module.split(".") if node.module else [])
            for alias in node.names:
                for place in (parts, [*parts, alias.name]):
                    if (ROOT / "bert4rec" / Path(*place)).with_suffix(".py").is_file():
                        yield "/".join(place)


def test_a_file_imports_only_from_those_above_it():
    page = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    order = re.findall(r"^ +([\w/]+)\.py +\S", page, re.M)
    paths = (ROOT / "bert4rec").rglob("*.py")
    files = {p.relative_to(ROOT / "bert4rec").with_suffix("").as_posix() for p in paths}
    files = {file for file in files if not file.endswith("__") and "solutions" not in file}
    assert set(order) == files
    rooms = list(dict.fromkeys(file.split("/")[0] for file in order if "/" in file))
    for place, name in enumerate(order):
        path = ROOT / "bert4rec" / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in list(ast.walk(tree)):  # what only a type checker reads is no import
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        for other in imported(path, tree):
            assert other in order[:place], f"{name} imports {other}"
    for room in rooms:  # and every room says what it is for
        first = ast.parse((ROOT / "bert4rec" / room / "__init__.py").read_text("utf-8"))
        assert len(ast.get_docstring(first).splitlines()) >= 3


def test_every_file_can_be_read_at_one_sitting():
    for path in (ROOT / "bert4rec").rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 350, path
    assert len((ROOT / "bert4rec/training/loop.py").read_text("utf-8").splitlines()) <= 200


def test_every_public_name_is_documented():
    for name in bert4rec.__all__:
        thing = getattr(bert4rec, name)
        if callable(thing):
            assert len(thing.__doc__ or "") > 30, name
            assert not (thing.__doc__ or "").startswith(f"{name}("), f"{name} has no docstring"


def test_the_embedded_files_are_the_ones_that_the_script_made():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    digests = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.M))
    found = {
        name: hashlib.sha256(
            gzip.decompress((ROOT / "data" / "movielens-small" / f"{name}.gz").read_bytes())
        ).hexdigest()
        for name in ("ratings.csv", "movies.csv")
    }
    assert {name: digest for digest, name in digests.items()} == found


def test_the_lock_pins_everything_the_project_asks_for():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for group in project["optional-dependencies"].values():
        wanted += group
    lock = (ROOT / "requirements.lock").read_text()
    lines = lock.lower().replace("_", "-").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    for requirement in wanted:
        assert re.split(r"[>=\[]", requirement)[0].lower().replace("_", "-") in pinned, requirement
    environment = (ROOT / "environment.yml").read_text()
    assert "requirements.lock" in environment
    assert "://" not in lock


def test_the_main_figures_of_the_results_page_are_the_recorded_ones():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    small = record("tutorial-small.json")
    for name, metrics in small["report"]["models"].items():
        assert f"| {name} | " + " | ".join(f"{v:.4f}" for v in metrics.values()) + " |" in page

    large = []
    for file, model in (("ml-1m.json", "BERT4Rec"), ("ml-1m-causal.json", "SASRec")):
        runs = record(file)["runs"]
        large += runs
        assert [run["seed"] for run in runs] == [0, 1, 2]
        cells = {name: [] for name in (model, "item transitions", "popularity")}
        for protocol in ("full", "popular-100"):
            reports = [run["reports"][protocol]["models"] for run in runs]
            for metric in ("NDCG@10", "HR@10"):
                values = [report[model][metric] for report in reports]
                cells[model].append(f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}")
                for name in ("item transitions", "popularity"):
                    cells[name].append(f"{reports[0][name][metric]:.4f}")
        for row in cells.values():
            assert " | ".join(row) in page
    for name, row in record("ablation.json").items():
        assert f"| {name} | {row['NDCG@10']:.4f} | " in page
    for run in (small, *large):
        assert {"command", "model", "training", "curve", "versions", "seconds"} <= set(run)
        assert len(run["data"]["sha256"]) == 64


def test_the_longer_and_the_wider_trainings_of_the_results_page_are_recorded():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    for change in ("20-epochs", "128-hidden-size"):
        stored = record(f"ml-1m-causal-{change}.json")
        assert [run["seed"] for run in stored["runs"]] == [0, 1, 2]
        found = stored["summary"]["full"]
        cells = [
            f"{found[model]['NDCG@10']['mean']:.4f} ± "
            f"{found[model]['NDCG@10']['standard deviation']:.4f}"
            for model in ("SASRec", "SASRec + transitions")
        ]
        seconds = [run["seconds"]["training"] for run in stored["runs"]]
        cells.append(f"{min(seconds):,.0f} to {max(seconds):,.0f} s")
        for part in ("SASRec", "item transitions"):
            gap = stored["mixed less its parts"][part]
            cells.append(f"{gap['difference']:+.4f} ± {gap['standard_error']:.4f}")
        assert f"{' | '.join(cells)} |" in page
        assert f"](ml-1m-causal-{change}.json)" in page
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{cells[0]} alone and {cells[1]} mixed" in readme
    small = record("tutorial-small-causal.json")["rows"].values()
    assert len(small) == 5
    alone, mixed = (
        [row["report"][model]["NDCG@10"] for row in small]
        for model in ("SASRec", "SASRec + transitions")
    )
    text = " and ".join(
        f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} {how}"
        for values, how in ((alone, "alone"), (mixed, "mixed"))
    )
    assert f"NDCG@10 {text} over five seeds" in page


@pytest.mark.parametrize(("preset", "model"), [("ml-1m", "BERT4Rec"), ("ml-1m-causal", "SASRec")])
def test_the_recorded_metrics_follow_from_the_recorded_ranks(preset, model):
    ranks = pd.read_csv(RESULTS / f"{preset}-ranks.csv.gz")
    assert len(ranks) == 6040
    for run in record(f"{preset}.json")["runs"]:
        for protocol, report in run["reports"].items():
            rank = ranks[f"{model}, seed {run['seed']}, {protocol}"]
            reported = report["models"][model]
            assert (rank <= 10).mean() == pytest.approx(reported["HR@10"], abs=2e-4)
            gain = (rank <= 10) / np.log2(rank + 1)
            assert gain.mean() == pytest.approx(reported["NDCG@10"], abs=2e-4)


def test_the_speeds_on_the_page_of_benchmarks_are_the_recorded_ones():
    page = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    fastest = []
    for configuration in record("training-speed.json")["configurations"]:
        speeds = {n: r["tokens_per_second"] for n, r in configuration["results"].items()}
        assert set(speeds) == {"bert4rec", "Hugging Face", "RecTools", "RecBole", "textbook"}
        row = f"| {configuration['hidden_size']}, {configuration['max_len']} | "
        row += " | ".join(
            f"{speed:,.0f}" + ("" if n == "bert4rec" else f" ({speeds['bert4rec'] / speed:.1f} ×)")
            for n, speed in speeds.items()
        )
        assert row in page
        ours = speeds.pop("bert4rec")
        fastest.append(ours / max(speeds.values()))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{min(fastest):.1f} to {max(fastest):.1f} times as fast" in readme


def test_the_other_figures_of_the_results_page_are_the_recorded_ones():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    for run in record("beauty.json")["runs"]:
        reached = run["report"]["models"]["BERT4Rec"]
        row = f"| {run['loss']} | {reached['NDCG@10']:.4f} | {reached['HR@10']:.4f} | "
        row += f"{run['seconds']['training']:,.0f} | {run['peak_memory_mb']:,.0f} |"
        assert row in page
    for row in record("catalogue.json")["results"]:
        cells = f"| {row['loss']} | {row['items']:,} | {row['seconds']:.2f} | "
        assert cells + f"{row['peak_memory_mb']:,.0f} |" in page
    for row in record("cross-entropy.json")["results"]:
        cells = f"| {row['answers']:,} | {row['hidden_size']} | {row['tokens']:,} | "
        assert cells + " | ".join(f"{1000 * v:.0f}" for v in row["seconds"].values()) in page
        assert min(row["seconds"], key=row["seconds"].get) == "bert4rec"
    for metric, gap in record("ml-1m-objectives.json")["differences"]["BERT4Rec - SASRec"].items():
        text = f"{metric} {gap['difference']:+.4f} ± {gap['standard_error']:.4f}"
        assert text in page


def test_what_the_results_page_says_of_what_matters_is_recorded():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    stored = record("what-matters.json")
    assert {"command", "training", "versions"} <= set(stored)
    rows = stored["rows"]
    for name, row in rows.items():
        assert {"users", "sha256", "seconds"} <= set(row)
        if name.startswith("future"):
            continue
        columns = ["BERT4Rec", "SASRec", "item transitions", "popularity"]
        columns = columns[:3] if name.startswith("order") else columns
        means = {model: metrics["NDCG@10"]["mean"] for model, metrics in row["models"].items()}
        cells = [f"{means[model]:.4f}" if model in means else "" for model in columns]
        assert f"| {name.removeprefix('order, ml-1m, ')} | {' | '.join(cells)} |" in page
    for model in ("BERT4Rec", "item transitions", "popularity"):
        past, known = (
            np.concatenate(
                [r["NDCG@10 by user"][model] for n, r in rows.items() if n.endswith(end)]
            )
            for end in (", without", ", with")
        )
        gap = known - past
        error = gap.std(ddof=1) / len(gap) ** 0.5
        cells = f"{past.mean():.4f} | {known.mean():.4f} | {gap.mean():+.4f} | {error:.4f}"
        assert f"| {model} | {cells} |" in page


def test_the_figures_of_the_blend_are_the_recorded_ones():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    stored = record("blend.json")
    assert {"command", "versions"} <= set(stored)
    for name, row in stored["rows"].items():
        assert {"sha256", "seconds", "weights of transitions", "users"} <= set(row)
        for protocol, found in row["protocols"].items():
            cells = [
                f"{m['mean']:.4f}" + (f" ± {m['spread']:.4f}" if m["spread"] else "")
                for m in (
                    found["models"][k]["NDCG@10"] for k in ("network", "transitions", "blend")
                )
            ]
            for gap in found["blend ahead of"].values():
                cells.append(f"{gap['difference']:+.4f} ± {gap['standard_error']:.4f}")
            assert f"| {name} | {protocol} | {' | '.join(cells)} |" in page


def test_the_figures_of_five_logs_are_the_recorded_ones():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    stored = record("logs.json")
    assert {"command", "versions"} <= set(stored)
    rows = stored["rows"]
    logs = list(dict.fromkeys(name.rpartition(", ")[0] for name in rows))
    assert len(logs) == 5
    for log in logs:
        both = [rows[f"{log}, {network}"] for network in ("BERT4Rec", "SASRec")]
        for protocol in ("full", "popular-100"):
            one, other = (row["protocols"][protocol]["models"] for row in both)
            parts = [one[name] for name in ("popularity", "item-kNN", "transitions")]
            parts += [found[name] for name in ("network", "blend") for found in (one, other)]
            means = [f"{part['NDCG@10']['mean']:.4f}" for part in parts]
            spreads = [part["NDCG@10"]["spread"] for part in parts]
            cells = [
                mean + (f" ± {spread:.4f}" if spread > 1e-6 else "")
                for mean, spread in zip(means, spreads, strict=True)
            ]
            assert f"| {log} | {' | '.join(cells)} |" in page
            if protocol == "full":
                assert f"| {log} | {' | '.join(means)} |" in readme
        for row in both:
            for gap in row["protocols"]["full"]["blend ahead of"].values():
                assert f"{gap['difference']:+.4f} ± {gap['standard_error']:.4f}" in page
                assert gap["difference"] > 0, "mixed is ahead of its parts"
    for name, row in record("logs-forwards.json")["rows"].items():
        one, other = (r["protocols"]["full"]["models"] for r in (row, rows[name]))
        alone = [found["network"]["NDCG@10"]["mean"] for found in (one, other)]
        assert alone[0] == pytest.approx(alone[1], abs=1e-6), "the same trainings"
        means = [f"{found['blend']['NDCG@10']['mean']:.4f}" for found in (one, other)]
        assert f"| {name} | {' | '.join(means)} |" in page


def test_the_automatic_settings_keep_up_with_those_by_hand():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    rows = record("auto.json")["rows"]
    assert len(rows) >= 4
    for name, row in rows.items():
        values = [row[part][model] for part in ("validation", "test") for model in row[part]]
        assert f"| {name} | {' | '.join(f'{value:.4f}' for value in values)} |" in page
    for model in ("network", "blend"):
        by_hand = max(rows.values(), key=lambda row: row["validation"][model])
        assert rows["auto"]["test"][model] >= 0.95 * by_hand["test"][model]


def test_what_the_results_page_says_of_why_and_of_additions_is_recorded():
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    stored, added = record("why.json"), record("additions.json")
    assert {"command", "training", "versions"} <= set(stored)
    lead: dict[str, list] = {}
    for name, row in stored["rows"].items():
        if name.startswith("lead, embedded set, "):
            variant = name.removeprefix("lead, embedded set, ").rpartition(", seed ")[0]
            lead.setdefault(variant, []).append(row)
        if name.startswith("why, "):
            groups = row["groups"]
            shown = (
                groups["everybody"] | groups["how often it directly followed that item in training"]
            )
            for kind, group in shown.items():
                means = " | ".join(f"{group[k]:.4f}" for k in ("network", "transitions", "blend"))
                gain = f"{group['gain']:+.4f} ± {group['standard error']:.4f}"
                assert f"| {group['users']:,} | {means} | {gain} |" in page, (name, kind)
    slow = [row["NDCG@10"] for name, row in stored["rows"].items() if name.startswith("recipe, ")]
    assert f"{np.mean(slow):.4f} ± {np.std(slow, ddof=1):.4f}" in page
    for variant, rows in lead.items():
        values = [row["NDCG@10"] for row in rows]
        answers = np.mean([row["answers"] for row in rows])
        cells = f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f} | {answers / 1e6:.2f}"
        assert f"| {variant} | {cells} |" in page
    for name in (*added["added"], "visible films asked too"):
        rows = [row for key, row in added["rows"].items() if key.startswith(f"{name}, seed")]
        assert len(rows) == 3
        cells = [
            f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
            for values in (
                [row["curve"][-1]["NDCG@10"] for row in rows],
                [row["test"]["NDCG@10"] for row in rows],
            )
        ]
        assert f"| {name} | {' | '.join(cells)} |" in page


def test_the_first_example_of_the_readme_is_what_comes_out():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names: dict = {}
    *before, last = ast.parse(re.search(r"```python\n(.*?)```", readme, re.S)[1]).body
    exec(compile(ast.Module(before, []), "README", "exec"), names)
    table = eval(compile(ast.Expression(last.value), "README", "eval"), names)
    for rank, title in table["title"].items():
        assert f"| {rank} | {title} |" in readme
    full = record("blend.json")["rows"]["MovieLens-1M, ml-1m as shipped"]["protocols"]["full"]
    reached = {name: metrics["HR@10"]["mean"] for name, metrics in full["models"].items()}
    assert 0.32 < reached["blend"] < 0.35, "one person in three"
    assert 0.25 < reached["transitions"] < 0.30, "a little more than one in four"
    means = [
        run["reports"]["full"]["models"]["BERT4Rec"]["NDCG@10"]
        for run in record("ml-1m.json")["runs"]
    ]
    assert f"{np.mean(means):.4f} ± {np.std(means, ddof=1):.4f}" in readme


def record(name: str) -> dict:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def test_every_figure_is_shown_somewhere():
    shown = "".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb"))
    shown += "".join(path.read_text() for path in RESULTS.glob("*.py"))  # curves in its folder
    for module in (plots, diagrams):
        here = [v for v in vars(module).values() if getattr(v, "__module__", "") == module.__name__]
        assert {v.__name__ for v in here if v.__name__[0] != "_"} <= set(plots.__all__)
    for name in plots.__all__:
        assert f"plots.{name}(" in shown, name
