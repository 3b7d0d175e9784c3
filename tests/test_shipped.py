"""The weights that travel with the package: what they know, and what they reach."""

import json
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, SHARED, tiny_model

from bert4rec import BERT4Rec, Recommender, Vocabulary, cli
from bert4rec.files import SHIPPED

TOY = ["Toy Story (1995)", "Lion King, The (1994)", "Aladdin (1992)", "Jurassic Park (1993)"]


@pytest.fixture(scope="module")
def shipped():
    return Recommender.load("ml-1m")


def test_it_answers_by_title_and_by_movielens_id(shipped):
    by_title = shipped.recommend(TOY, k=10)
    assert len(by_title) == 10
    assert not set(by_title["title"]) & set(TOY)
    assert by_title.equals(shipped.recommend([1, 364, 588, 480], k=10))
    # Toy Story 2 came out four years later, in the same data: whoever saw these knows it
    nearest = shipped.recommend(["Toy Story (1995)", "Bug's Life, A (1998)"], k=10)
    assert "Toy Story 2 (1999)" in set(nearest["title"])


def test_its_vocabulary_is_movielens_ids_with_titles_or_ids(shipped):
    items = shipped.vocabulary.items
    assert len(items) == 3416
    assert items.max() <= 3952
    named = [title for item, title in zip(items, shipped.titles, strict=True) if title != str(item)]
    assert len(named) == 3096


def test_it_is_small_and_says_how_it_was_trained():
    files = {path.name for path in (SHIPPED / "ml-1m").iterdir()}
    assert files == {
        "config.json", "metrics.json", "model.safetensors", "transitions.safetensors",
        "vocabulary.csv",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) < 6 * 2**20
    metrics = json.loads((SHIPPED / "ml-1m" / "metrics.json").read_text(encoding="utf-8"))
    assert {"seed", "training", "curve", "versions", "seconds"} <= set(metrics)


def test_a_folder_of_that_name_comes_first(tmp_path, monkeypatch, shipped):
    monkeypatch.chdir(tmp_path)
    own = Recommender(tiny_model(5), Vocabulary(list("abcde")))
    own.save("ml-1m")
    assert Recommender.load("ml-1m").vocabulary.num_items == 5
    assert BERT4Rec.load("ml-1m").config.num_items == 5
    with pytest.raises(Exception, match="Did you mean 'ml-1m'"):
        Recommender.load("ml-1n")


@pytest.mark.skipif(not (SHARED / "ml-1m").exists(), reason="needs MovieLens-1M in ../shared")
@pytest.mark.parametrize(
    ("model", "protocol"), [("ml-1m", "full"), ("ml-1m", "popular-100"), ("ml-1m-causal", "full")]
)
def test_evaluate_reproduces_what_is_reported(model, protocol, capsys):
    data = SHARED / "ml-1m" / "ml-1m.txt.xz"
    command = ["evaluate", "--model", model, "--data", str(data), "--protocol", protocol]
    assert cli.main([*command, "--json"]) == 0
    reached = json.loads(capsys.readouterr().out)["models"]
    seed = json.loads((SHIPPED / model / "metrics.json").read_text(encoding="utf-8"))["seed"]
    record = json.loads((ROOT / "results" / f"{model}.json").read_text(encoding="utf-8"))
    run = next(run for run in record["runs"] if run["seed"] == seed)
    for name, metrics in run["reports"][protocol]["models"].items():
        for metric, value in metrics.items():
            assert reached[name][metric] == pytest.approx(value, abs=5e-5), (name, metric)


def test_the_weights_are_numbers(shipped):
    for name, parameter in shipped.model.named_parameters():
        assert torch.isfinite(parameter).all(), name


def test_the_first_list_waits_for_no_compiler():
    """Weights that are about to be read need not be drawn; on "meta" that imports torch.compile."""
    code = "import sys, bert4rec; bert4rec.Recommender.load('ml-1m').recommend(['Heat'])"
    code += "; print([name for name in sys.modules if name.startswith('torch._dynamo')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
