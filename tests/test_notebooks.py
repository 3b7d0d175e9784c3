"""What nbval does not see: that the committed notebooks were run, in order, and are readable."""

import ast
import contextlib
import dataclasses
import json
import re
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from helpers import ROOT

import bert4rec
from bert4rec import InputError, train

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def code_cells(path: Path) -> list[dict]:
    """The cells that are run: all but those which only a reader starts."""
    skipped = "skip-execution"
    return [c for c in cells(path, "code") if skipped not in c["metadata"].get("tags", [])]


def test_the_series_is_complete():
    names = [path.stem for path in NOTEBOOKS]
    assert names == [
        "01_explore_movielens",
        "02_cloze_masking",
        "03_build_bert",
        "04_train",
        "05_evaluate",
        "06_recommend",
        "07_your_own_data",
        "09_scale_up",
    ]


@each
def test_it_was_run_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_outputs_are_clean(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) <= 500_000
    for cell in code_cells(path):
        assert not "".join(cell["source"]).rstrip().endswith(";"), cell["id"]
        assert "execution" not in cell["metadata"], "timing metadata"
        for output in cell["outputs"]:
            assert output.get("name") != "stderr", cell["id"]
            assert output["output_type"] != "error", cell["id"]
            assert not any("widget" in kind for kind in output.get("data", {})), cell["id"]
    assert "widgets" not in json.loads(text)["metadata"]
    assert not re.search(r"(?<![\w.])/(home|root|work|tmp|Users|usr)/", text)


@each
def test_every_figure_has_a_picture_and_words_beside_it(path):
    content = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell, after in zip(content, [*content[1:], None], strict=True):
        if "plt.show()" not in "".join(cell["source"]):
            continue
        kinds = [kind for output in cell["outputs"] for kind in output.get("data", {})]
        assert "image/png" in kinds, cell["id"]
        assert after["cell_type"] == "markdown", cell["id"]
        assert "".join(after["source"]).startswith("*"), f"{cell['id']}: no words for the picture"
    for cell in cells(path, "markdown"):
        for alt in re.findall(r"!\[(.*?)\]\(", "".join(cell["source"])):
            assert len(alt) > 20, "an image without alt text"


@each
def test_something_is_compared(path):
    """A notebook whose outputs are all ignored would pass while checking nothing."""
    ignored = {"nbval-ignore-output", "nbval-skip"}
    compared = [c for c in code_cells(path) if not ignored & set(c["metadata"].get("tags", []))]
    assert sum(bool(cell["outputs"]) for cell in compared) >= 6


@each
def test_links_resolve(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (FOLDER / target).exists(), target
    number = NOTEBOOKS.index(path)
    for neighbour in (number - 1, number + 1):
        if 0 <= neighbour < len(NOTEBOOKS):
            assert f"({NOTEBOOKS[neighbour].name})" in text


@each
def test_it_has_the_parts_of_a_lesson(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    for part in ("You will be able to", "## Recap", "## Exercises", "**Sources.**", "*Time:*"):
        assert part in text, part
    assert text.count("<details>") == text.count("</details>") >= 3


class WithoutAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)


@each
def test_the_answers_run(path, tmp_path, monkeypatch):
    """Run the notebook's cells and then each answer, with training cut to a moment."""
    monkeypatch.setenv("BERT4REC_DATASET", "small")
    (tmp_path / "notebooks").mkdir()
    for name in ("results", "benchmarks"):
        (tmp_path / name).symlink_to(FOLDER.parent / name)
    monkeypatch.chdir(tmp_path / "notebooks")  # what the notebook saves stays out of the project
    plt.switch_backend("Agg")

    def train_a_moment(model, split, config, **options):
        some = dataclasses.replace(split, train=split.train.select(range(40)))
        config = dataclasses.replace(config, epochs=1, device="cpu")
        return train(model, some, config, **options)

    monkeypatch.setattr(bert4rec, "train", train_a_moment)
    names = {"display": print}
    for cell in code_cells(path):
        # what a trained model must reach is asserted by nbval, on a trained model
        tree = WithoutAsserts().visit(ast.parse("".join(cell["source"])))
        exec(compile(tree, f"{path.stem} {cell['id']}", "exec"), names)
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    blocks = re.findall(r"<details>.*?</details>", text, re.S)
    answers = ["\n".join(re.findall(r"```python\n(.*?)```", block, re.S)) for block in blocks]
    assert sum(map(bool, answers)) >= 2
    for number, answer in enumerate(answers, start=1):
        with warnings.catch_warnings(), contextlib.suppress(InputError, FloatingPointError):
            warnings.simplefilter("ignore")
            exec(compile(answer, f"{path.stem} answer {number}", "exec"), dict(names))
    plt.close("all")
