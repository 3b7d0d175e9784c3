"""The package as a whole: light to import, layered as the README says, complete when installed."""

import ast
import gzip
import hashlib
import re
import subprocess
import sys

from helpers import ROOT

import bert4rec


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


def test_a_file_imports_only_from_those_above_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    order = re.findall(r"^  (\w+)\.py +\S", readme, re.M)
    files = {path.stem for path in (ROOT / "bert4rec").glob("*.py")} - {"__init__", "__main__"}
    assert set(order) == files
    for place, name in enumerate(order):
        tree = ast.parse((ROOT / "bert4rec" / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
                assert node.module in order[:place], f"{name} imports {node.module}"


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
    pinned = {line.split("==")[0].lower() for line in lock.splitlines() if "==" in line}
    for requirement in wanted:
        assert re.split(r"[>=\[]", requirement)[0].lower() in pinned, requirement
    environment = (ROOT / "environment.yml").read_text()
    assert "requirements.lock" in environment
    assert "://" not in lock


def test_the_figures_in_the_readme_are_the_recorded_ones():
    import json

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    small = json.loads((ROOT / "results" / "tutorial-small.json").read_text())
    large = json.loads((ROOT / "results" / "ml-1m-24-epochs.json").read_text())
    popular = large["reports on sampled negatives"][0]["models"]
    for name, full in large["report"]["models"].items():
        values = [metrics[m] for metrics in (full, popular[name]) for m in ("NDCG@10", "HR@10")]
        assert f"| {name} | " + " | ".join(f"{v:.4f}" for v in values) + " |" in readme
    for name, metrics in small["report"]["models"].items():
        assert f"| {name} | " + " | ".join(f"{v:.4f}" for v in metrics.values()) + " |" in readme
    for record in (small, large):
        assert record["seed"] == 0
        assert {"command", "model", "training", "curve", "versions", "seconds"} <= set(record)
        assert len(record["data"]["sha256"]) == 64


def test_every_figure_is_shown_in_a_notebook():
    shown = "".join(path.read_text() for path in (ROOT / "notebooks").glob("*.ipynb"))
    tree = ast.parse((ROOT / "bert4rec" / "plots.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            assert f"plots.{node.name}(" in shown, node.name
