"""What nbval does not see: that the committed notebooks were run, in order, and are readable."""

import ast
import dataclasses
import itertools
import json
import re
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import ROOT

import bert4rec
from bert4rec import rank_targets, train
from bert4rec.notebook.exercises import Verdict
from bert4rec.training.loop import train_run

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
        "00_start_here",
        "01_explore_movielens",
        "02_cloze_masking",
        "03_build_bert",
        "04_train",
        "05_evaluate",
        "06_recommend",
        "07_your_own_data",
        "08_what_really_matters",
        "09_scale_up",
        "10_from_an_empty_file",
    ]


@each
def test_it_was_run_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each
def test_outputs_are_clean(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) <= 1_000_000  # figures have twice the pixels
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
    assert text.count("<details>") == text.count("</details>")
    assert text.count("<summary>Answer</summary>") == len(exercises(path)) == 3
    for film in ("Toy Story", "Lion King", "Aladdin", "Jurassic Park", "Apollo 13"):
        assert film in path.read_text(encoding="utf-8"), f"the toy user is not here: no {film}"
    assert re.search(r"\]\(\.\./bert4rec/[\w/]+\.py\)", text), "no link to the module's source"
    assert re.search(r"\]\(\.\./docs/api/\w+\.md", text), "no link to the module's docs"
    assert re.search(r"arxiv\.org/abs/\d+\.\d+\), sections? \d", text), "no section of a paper"


def is_slot(node: ast.AST) -> bool:
    """Whether a statement is where the reader's answer goes: three dots, alone or as a body."""
    if isinstance(node, ast.FunctionDef):
        return ast.unparse(node.body[-1]) == "..."
    return isinstance(node, ast.Assign) and "..." in ast.unparse(node.value)[:5]


def named(node: ast.FunctionDef | ast.Assign) -> list[str]:
    if isinstance(node, ast.FunctionDef):
        return [node.name]
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name)]


def exercises(path: Path) -> list[tuple[str, str, list[str]]]:
    """Each exercise's answer, the cell that checks it, and the names that an answer sets."""
    content = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = []
    for cell, after in itertools.pairwise(content):
        answers = re.findall(
            r"<details><summary>Answer<.*?</details>", "".join(cell["source"]), re.S
        )
        if not answers:
            continue
        assert len(answers) == 1, f"{cell['id']}: one exercise a cell"
        code = "\n".join(re.findall(r"```python\n(.*?)```", answers[0], re.S))
        checked = "".join(after["source"])
        assert code, f"{cell['id']}: the answer is no code"
        assert "check(" in checked, f"{cell['id']}: nothing checks the answer"
        slots = [name for node in ast.parse(checked).body if is_slot(node) for name in named(node)]
        found.append((code, checked, slots))
    return found


# What no exercise has as its answer, and for each one what a reader might well come up with.
EVER_WRONG = (None, "nonsense", -1, [])
WRONG = {
    "00": (
        lambda n: n["recommender"].recommend(["Toy Story (1995)"], k=9),
        "Apollo 13 (1995)",
        lambda n: lambda one, other, history, k=10: 5,
    ),
    "01": (
        ["Toy Story (1995)", "Aladdin (1992)", "Speed (1994)"],
        lambda n: (
            lambda history, decay=0.7: sum((n["follows"][f] for f in history), n["Counter"]())
        ),
        lambda n: (n["places"](n["colleague"], n["split"].test) > 0).mean(),
    ),
    "02": (
        0.981,
        lambda n: (
            lambda scores, labels: n["F"].cross_entropy(
                scores.flatten(0, 1), labels.flatten(), reduction="sum"
            )
        ),
        lambda n: n["from_0"],
    ),
    "03": (
        4 * 64 * 64,
        lambda n: lambda length: n["torch"].ones(length, length).triu().bool(),
        lambda n: n["attention_with_a_fault"],
    ),
    "04": (
        lambda n: lambda model, optimizer, inputs, labels: 0.0,
        lambda n: lambda model: model.state_dict(),
        lambda n: n["settings"],
    ),
    "05": (
        lambda n: lambda above, tied, k: ((above < k) / np.log2(above + 2)).mean(),
        lambda n: lambda scorer, test, k=10: rank_targets(scorer, test).metric("HR@5"),
        lambda n: (0.0, n["error"]),
    ),
    "06": (
        lambda n: lambda scores, share, w: w * scores.log_softmax(0) + (1 - w) * share.log(),
        -0.29,
        lambda n: n["blend"].weight,
    ),
    "07": (
        lambda n: lambda history, k: list(reversed(history))[:k],
        lambda n: lambda log: log.drop_duplicates([n["user"], n["item"]]),
        lambda n: float(n["again"]),
    ),
    "08": (
        lambda n: lambda history, k, random: random.permutation(history),
        lambda n: n["counter"],
        (100, 100),
    ),
    "09": (
        lambda n: lambda z, label, drawn, q: n["torch"].cat([z[[label]], z[drawn]]).logsumexp(0),
        lambda n: n["learnt"](0),
        lambda n: lambda parts: sum(part.mean() for part in parts) / len(parts),
    ),
    "10": (
        lambda n: lambda tokens: (tokens, tokens),
        lambda n: lambda tokens: (tokens != 0)[:, None, None].expand(-1, -1, tokens.shape[1], -1),
        lambda n: lambda history, k=5: history[:k],
    ),
}


def state_of(code: str | ast.Module, name: str, scope: dict) -> str:
    """Run a cell that checks an answer: what its last expression says."""
    tree = ast.parse(code) if isinstance(code, str) else code
    *before, last = tree.body
    exec(compile(ast.Module(before, []), name, "exec"), scope)
    verdict = eval(compile(ast.Expression(last.value), name, "eval"), scope)
    assert isinstance(verdict, Verdict)
    return verdict.state


class WithoutAsserts(ast.NodeTransformer):
    """A cell without its asserts; a training that is written out there takes one epoch."""

    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)

    def visit_Assign(self, node):
        if ast.unparse(node.targets[0]) == "EPOCHS":
            node.value = ast.copy_location(ast.Constant(1), node.value)
        return node


def needed(sources: list[str], names: set[str]) -> list[str]:
    """The cells without which some names would not be what they are, in order.

    A cell makes what it assigns, defines or imports, and changes: `x[0] = 1`, `x.append(1)`.
    """
    kept = []
    for source in reversed(sources):
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))
        imported = {
            (alias.asname or alias.name).partition(".")[0]
            for node in nodes
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        made = imported | {
            node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        for node in nodes:
            target = node.func if isinstance(node, ast.Call) else node
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                made.add(target.id)
            stored = isinstance(getattr(target, "ctx", None), ast.Store)
            while isinstance(target, ast.Attribute | ast.Subscript):
                target = target.value
                if isinstance(target, ast.Name) and (stored or isinstance(node, ast.Call)):
                    made.add(target.id)
        files = ".to_csv(" in source  # which another cell reads
        if made - MODULES & names or imported & names or files:
            names = names | {node.id for node in nodes if isinstance(node, ast.Name)}
            kept.append(source)
    return kept[::-1]


MODULES = {"np", "pd", "plt", "torch", "F", "math", "bert4rec", "plots", "diagrams", "json", "live"}
USED_ABOVE = set(re.findall(r'n\["(\w+)"\]', Path(__file__).read_text(encoding="utf-8")))


@each
def test_the_answers_are_right_and_wrong_ones_are_not(path, tmp_path, monkeypatch):
    """Run the cells that the exercises need, with training cut to a moment; then each answer, and
    wrong ones.

    The cell below an exercise must tell them apart, and say so if there is no answer yet.
    """
    monkeypatch.setenv("BERT4REC_DATASET", "small")
    (tmp_path / "notebooks").mkdir()
    for name in ("results", "benchmarks", "data", *(f"notebooks/{p.name}" for p in NOTEBOOKS)):
        (tmp_path / name).symlink_to(FOLDER.parent / name)
    monkeypatch.chdir(tmp_path / "notebooks")  # what the notebook saves stays out of the project
    plt.switch_backend("Agg")

    def train_a_moment(model, split, config, **options):
        some = dataclasses.replace(split, train=split.train.select(range(40)))
        config = dataclasses.replace(config, epochs=1, device="cpu")
        return train(model, some, config, **options)

    monkeypatch.setattr(bert4rec, "train", train_a_moment)

    def fit_a_moment(run):
        run.config = dataclasses.replace(run.config, epochs=min(run.config.epochs, 3))
        return train_run(run)

    monkeypatch.setattr("bert4rec.recommend.fitting.train_run", fit_a_moment)

    def some_batches(self, *epoch):  # of the loops that readers write
        return itertools.islice(whole_epoch(self, *epoch), 4)

    whole_epoch = bert4rec.ClozeBatches.epoch
    monkeypatch.setattr(bert4rec.ClozeBatches, "epoch", some_batches)
    names = {"display": print, "bert4rec": bert4rec}
    sources = ["".join(cell["source"]) for cell in code_cells(path)]
    asked = exercises(path)
    found = ["\n".join(texts) for *texts, _ in asked]
    used = {n.id for text in found for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Name)}
    for source in needed(sources, used | USED_ABOVE):
        if "subprocess.run" in source or (path.stem[:2] == "10" and "optimizer.step()" in source):
            continue  # a minute that nbval looks at, and that no exercise needs
        # what a trained model must reach is asserted by nbval, on a trained model
        tree = WithoutAsserts().visit(ast.parse(source))
        exec(compile(tree, f"{path.stem}: {source[:60]}", "exec"), names)
    for number, (answer, checked, slots) in enumerate(asked, start=1):
        where = f"{path.stem}, exercise {number}"
        scope = dict(names)
        assert state_of(checked, f"{where}, check", dict(scope)) == "open", where
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(answer, f"{where}, answer", "exec"), scope)
        rest = ast.Module([n for n in ast.parse(checked).body if not is_slot(n)], [])
        assert state_of(rest, f"{where}, check", scope) == "right", where
        for wrong in (*EVER_WRONG, WRONG[path.stem[:2]][number - 1]):
            scope |= dict.fromkeys(slots, wrong(scope) if callable(wrong) else wrong)
            state = state_of(rest, f"{where}, check", scope)
            assert state == "wrong", f"{where}: {wrong!r} passes"
    plt.close("all")
