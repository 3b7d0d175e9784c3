"""The command line, called as a user would: train, evaluate, recommend, download, and mistakes."""

import contextlib
import io
import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from helpers import make_log

from bert4rec import METRICS, Recommender, __version__, cli
from bert4rec.files import read_tensors, write_tensors
from bert4rec.training.checkpoint import CHECKPOINT

SMALL = ["--hidden-size", "16", "--max-len", "8", "--batch-size", "16", "--device", "cpu"]


@pytest.fixture
def run(capsys):
    def run(*args):
        status = cli.main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A model trained by the command line on a file, with titles."""
    folder = tmp_path_factory.mktemp("cli")
    log = make_log()
    log.to_csv(folder / "log.csv", index=False)
    items = sorted(log["item"].unique())
    titles = pd.DataFrame({"item": items, "title": [f"Film {item} (1999)" for item in items]})
    titles.to_csv(folder / "titles.csv", index=False)
    args = ["train", "--data", folder / "log.csv", "--titles", folder / "titles.csv", *SMALL]
    args += ["--output", folder / "model", "--log-dir", folder / "training", "--epochs", "3"]
    args += ["--min-user-count", "1", "--min-item-count", "1"]
    assert cli.main([str(arg) for arg in args]) == 0
    return folder


def test_train_writes_a_folder_that_explains_itself(trained):
    files = {path.name for path in (trained / "model").iterdir() if path.name != ".lock"}
    assert files == {
        "model.safetensors", "config.json", "vocabulary.csv", "metrics.json",
        "checkpoint.safetensors", "transitions.safetensors",
    }  # fmt: skip
    metrics = json.loads((trained / "model" / "metrics.json").read_text())
    assert metrics["seed"] == 0
    assert metrics["training"]["epochs"] == 3
    assert metrics["model"]["hidden_size"] == 16
    assert metrics["model"]["num_items"] == 40
    assert len(metrics["curve"]) == 3
    assert len(metrics["data"]["sha256"]) == 64
    assert metrics["data"]["split"] == "leave-one-out"
    assert {"torch", "python", "bert4rec"} <= set(metrics["versions"])
    assert list(metrics["report"]["models"]) == [
        "BERT4Rec + transitions", "BERT4Rec", "item transitions", "popularity",
    ]  # fmt: skip
    assert list((trained / "training" / "model" / "run-1").glob("events.*"))


def test_users_that_are_not_validated_teach_one_more_item(trained, run, tmp_path):
    data = ["--data", trained / "log.csv", "--output", tmp_path / "model", *SMALL]
    data += ["--min-user-count", "1", "--min-item-count", "1"]
    status, _, _ = run("train", *data, "--epochs", "1", "--validation-users", "7")
    assert status == 0
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert metrics["data"]["split"] == "leave-one-out, 7 users validated"
    status, out, _ = run("evaluate", "--model", tmp_path / "model", "--json")
    assert status == 0
    for model, values in metrics["report"]["models"].items():
        # the counts, too, are of the split of the training
        assert json.loads(out)["models"][model] == pytest.approx(values, abs=1e-9)
    Recommender.load(tmp_path / "model").save(tmp_path / "copy")
    for folder in ("model", "copy"):
        names = ["--model", tmp_path / folder, "--data", trained / "log.csv"]
        _, out, _ = run("evaluate", *names, "--split", "validation", "--json")
        assert json.loads(out)["num_users"] == 7
    beside = ["--model", tmp_path / "model", "--beside", trained / "model"]
    status, _, err = run("evaluate", *beside, "--split", "validation")
    assert status == 2
    assert "were trained with different validation_users" in err
    assert run("evaluate", *beside)[0] == 0  # the test is the same
    data[data.index(tmp_path / "model")] = tmp_path / "again"
    assert run("train", *data, "--epochs", "1", "--validation-users", "7")[0] == 0
    status, _, err = run("train", *data, "--epochs", "1", "--resume")
    assert status == 2
    assert "another data (the log, how it is read, or validation_users)" in err


def test_evaluate_gives_what_train_reported(trained, run):
    status, out, _ = run("evaluate", "--model", trained / "model", "--json")
    assert status == 0
    metrics = json.loads((trained / "model" / "metrics.json").read_text())
    report = json.loads(out)
    for model, values in metrics["report"]["models"].items():
        assert report["models"][model] == pytest.approx(values, abs=1e-9)
    assert {"protocol", "split", "num_users", "num_items", "models"} <= set(report)
    assert set(METRICS) <= set(report["models"]["popularity"])


def test_evaluate_other_protocols_and_splits(trained, run):
    status, out, _ = run(
        "evaluate",
        "--model",
        trained / "model",
        "--protocol",
        "uniform-10",
        "--split",
        "validation",
    )
    assert status == 0
    assert "validation, 10 uniform negatives (seed 0); 30 users, 40 items" in out
    assert "popularity" in out


def test_evaluate_writes_each_users_rank(trained, run, tmp_path):
    path = tmp_path / "ranks.csv"
    status, out, _ = run("evaluate", "--model", trained / "model", "--ranks", path, "--json")
    assert status == 0
    ranks = pd.read_csv(path)
    assert list(ranks) == [
        "user", "BERT4Rec + transitions", "BERT4Rec", "item transitions", "popularity",
    ]  # fmt: skip
    assert ranks["user"].tolist()[:2] == ["u0", "u1"]
    report = json.loads(out)["models"]["BERT4Rec"]
    assert (ranks["BERT4Rec"] <= 10).mean() == pytest.approx(report["HR@10"])
    assert (1 / ranks["BERT4Rec"]).mean() == pytest.approx(report["MRR"])


def test_evaluate_two_models_on_the_same_users(trained, run, tmp_path):
    args = ["evaluate", "--model", trained / "model", "--beside", trained / "model"]
    status, out, _ = run(*args)
    assert status == 0
    assert (
        "transitions - BERT4Rec + transitions (model), NDCG@10: +0.0000 ± 0.0000 (paired, p = 1)"
        in out
    )
    _, out, _ = run(*args, "--json")
    gap = json.loads(out)["differences"]
    gap = gap["BERT4Rec + transitions - BERT4Rec + transitions (model)"]["HR@10"]
    assert gap == {"difference": 0.0, "standard_error": 0.0, "p": 1.0}
    status, _, err = run(*args[:-1], "ml-1m")
    assert status == 2
    assert "ml-1m knows 3,416 items" in err


def test_evaluate_reads_a_numbering_of_the_items_as_tokens(trained, run, tmp_path):
    log = pd.read_csv(trained / "log.csv")
    numbers = {item: place for place, item in enumerate(sorted(log["item"].unique()), start=1)}
    log.assign(item=log["item"].map(numbers)).to_csv(tmp_path / "numbered.csv", index=False)
    _, expected, _ = run("evaluate", "--model", trained / "model", "--json")
    status, out, err = run(
        "evaluate", "--model", trained / "model", "--data", tmp_path / "numbered.csv", "--json"
    )
    assert status == 0
    assert json.loads(out) == json.loads(expected)
    assert "numbered 1 … 40: read as tokens" in err


def test_evaluate_on_data_with_other_items_says_so(trained, run, tmp_path):
    log = make_log()
    log.loc[:2, "item"] = 99999
    log.to_csv(tmp_path / "other.csv", index=False)
    status, out, err = run(
        "evaluate", "--model", trained / "model", "--data", tmp_path / "other.csv"
    )
    assert status == 0
    assert "note: 3 of" in err
    assert "40 items" in out


def test_evaluate_asks_for_data_that_the_model_does_not_name(trained, run, tmp_path):
    Recommender.load(trained / "model").save(tmp_path / "bare")
    status, _, err = run("evaluate", "--model", tmp_path / "bare")
    assert status == 2
    assert "does not say what the model was trained on; name it with --data" in err


def test_recommend_by_title_and_id(trained, run):
    status, out, _ = run("recommend", "--model", trained / "model", "Film 101", "102", "--k", "3")
    assert status == 0
    lines = out.splitlines()
    assert lines[0] == "after Film 101 · 102"
    assert len(lines) == 4
    expected = Recommender.load(trained / "model").recommend(["Film 101", 102], k=3)
    assert [line.strip().split("  ")[1] for line in lines[1:]] == expected["title"].tolist()
    _, out, _ = run("recommend", "--model", trained / "model", "Film 101", "102", "--json")
    assert json.loads(out)[0]["title"] == expected["title"][1]
    assert len(json.loads(out)) == 10


def test_resume_and_overwrite(trained, run, tmp_path):
    args = ["train", "--data", trained / "log.csv", *SMALL, "--log-dir", tmp_path / "logs"]
    args += ["--output", tmp_path / "m", "--epochs", "2"]
    assert run(*args)[0] == 0
    status, _, err = run(*args)
    assert status == 2
    assert "already holds a model. resume (--resume) goes on with it, overwrite (--over" in err
    tensors, texts = read_tensors(tmp_path / "m" / CHECKPOINT)
    state = json.loads(texts["run"])
    state["history"]["epochs"][-1]["seconds"] = 1000.0
    write_tensors(tmp_path / "m" / CHECKPOINT, tensors, {"run": json.dumps(state)})
    status, _, err = run(*args, "--resume")
    assert status == 0
    assert "epoch" not in err  # both epochs were done
    seconds = json.loads((tmp_path / "m" / "metrics.json").read_text())["seconds"]
    assert seconds["total"] > seconds["training"] == 1000
    status, _, err = run(*args, "--overwrite")
    assert status == 0
    assert "epoch   1/2" in err


def test_json_of_train_is_json_alone(trained, run, tmp_path):
    status, out, err = run(
        "train", "--data", trained / "log.csv", *SMALL, "--output", tmp_path / "m", "--json",
        "--log-dir", tmp_path / "logs", "--epochs", "1",
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)["models"]["BERT4Rec"]["HR@10"] >= 0
    assert "epoch   1/1" in err


def test_help_comes_from_the_docs_of_the_config(run):
    for command in ("train", "evaluate", "recommend", "download"):
        with pytest.raises(SystemExit) as stop:
            cli.main([command, "--help"])
        assert stop.value.code == 0


def test_help_text(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--preset", "paper", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Probability that an item is hidden." in text
    assert "Longest sequence, the [MASK] that asks for the next item included." in text
    assert "(default: 200)" in text  # the preset's max_len
    assert "num-items" not in text


def test_python_m_is_the_same():
    result = subprocess.run(
        [sys.executable, "-m", "bert4rec", "recommend", "--model", "nowhere", "Toy Story"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: there is no nowhere/config.json; is 'nowhere' the")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "--data", "smal", "--output", "x"], "'smal' is neither a file nor a MovieLens"),
        (["train", "--data", "no.csv", "--output", "x"], "there is no file no.csv"),
        (["train", "--preset", "papr", "--output", "x"], "Did you mean 'paper'"),
        (["train", "--max-len", "1", "--output", "x"], "max_len must be at least 2"),
        (["train", "--mask-prob", "1", "--output", "x"], "mask_prob must lie between 0 and 1"),
        (["train", "--user", "who", "--output", "x"], "the log has no column 'who'"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(run, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    status, _, err = run(*args)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_title_suggests_the_nearest(trained, run):
    status, out, err = run("recommend", "--model", trained / "model", "Flim 101 (1999)", "102")
    assert status == 0
    assert "left out of the history: 'Flim 101 (1999)' (did you mean 'Film 101 (1999)'?)." in err
    assert "did you mean 'Film 101 (1999)'" in err
    assert len(out.splitlines()) == 11


def test_download_without_network(run, monkeypatch, tmp_path):
    from bert4rec.data import movielens

    monkeypatch.setattr(movielens.Release, "url", "http://127.0.0.1:9/ml-1m.zip")
    status, _, err = run("download", "1m", "--folder", tmp_path)
    assert status == 2
    assert "put it at" in err


# ------------------------------------------------------------------ as people use it


def test_a_shops_file_as_the_readme_reads_it(tmp_path, run, monkeypatch):
    """Dates as text, columns of other names, a file of Excel; evaluated from another folder."""
    log = make_log().set_axis(["customer", "product", "day"], axis="columns")
    log["day"] = pd.to_datetime(log["day"], unit="D").dt.strftime("%d.%m.%Y")
    log["customer"] += "é"
    (tmp_path / "shop").mkdir()
    log.to_csv(tmp_path / "shop" / "orders.csv", index=False, sep=";", encoding="cp1252")
    titles = pd.DataFrame({"item": log["product"].unique(), "title": "t"})
    titles.to_csv(tmp_path / "shop" / "titles.csv", index=False)
    monkeypatch.chdir(tmp_path / "shop")
    args = [
        "train", "--data", "orders.csv", "--user", "customer", "--item", "product", "--time", "day",
        "--titles", "titles.csv", "--output", "model", "--log-dir", "logs", "--epochs", "1", *SMALL,
        "--min-user-count", "1", "--min-item-count", "1",
    ]  # fmt: skip
    for hint, more in (
        ("--encoding cp1252", []),
        ("--separator ';'", ["--encoding", "cp1252"]),
        ("--time-format", ["--encoding", "cp1252", "--separator", ";"]),
    ):
        status, _, err = run(*args, *more)
        assert status == 2
        assert hint in err
    more += ["--time-format", "%d.%m.%Y"]
    assert run(*args, *more)[0] == 0
    (tmp_path / "shop" / "titles.csv").unlink()  # it is not needed to evaluate
    monkeypatch.chdir(tmp_path)
    status, out, err = run("evaluate", "--model", "shop/model", "--json")
    assert status == 0, err
    record = json.loads((tmp_path / "shop" / "model" / "metrics.json").read_text())
    found, expected = json.loads(out)["models"], record["report"]["models"]
    assert list(found) == list(expected)
    for name in found:
        assert found[name] == pytest.approx(expected[name])


@pytest.mark.parametrize("command", ["", "download", "train", "evaluate", "recommend"])
def test_help_is_for_people(capsys, command):
    with pytest.raises(SystemExit) as end:
        cli.main([*([command] if command else []), "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "usage: bert4rec" in text
    for wrong in ("type:", "ignore[", "noqa", "fmt:", "\x1b["):
        assert wrong not in text, wrong


def test_no_colour_in_a_terminal_where_none_is_wanted():
    pty = pytest.importorskip("pty")
    seen = {}
    for wanted in ({}, {"NO_COLOR": "1"}):
        chunks = []
        code = f"import os; os.environ.update({wanted!r}, TERM='xterm')\n"
        code += "import sys; sys.argv[1:] = ['--help']\nfrom bert4rec import cli; cli.main()"

        def read(fd, chunks=chunks):
            data = os.read(fd, 4096)
            chunks.append(data)
            return data

        with open(os.devnull, "w") as quiet, contextlib.redirect_stdout(quiet):
            saved = os.dup(1)
            os.dup2(quiet.fileno(), 1)
            try:
                pty.spawn([sys.executable, "-c", code], read)
            finally:
                os.dup2(saved, 1)
                os.close(saved)
        seen[bool(wanted)] = b"".join(chunks)
    assert b"\x1b[" in seen[False]
    assert b"\x1b[" not in seen[True]
    assert b"recommend" in seen[True]


def test_version(run):
    assert run("--version")[:2] == (0, f"bert4rec {__version__}\n")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_terminal_that_lacks_some_letters(encoding, monkeypatch):
    def printed(*args):
        streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            assert cli.main(["recommend", "--model", "ml-1m", *args]) == 0
            streams[0].flush()
        return streams[0].buffer.getvalue().decode(encoding)

    assert len(printed("Amélie", "Toy Story", "日本").splitlines()) == 11
    assert len(json.loads(printed("Alien", "--json"))) == 10


def test_the_same_in_a_process_of_its_own():
    clean = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    done = subprocess.run(
        [sys.executable, "-m", "bert4rec", "recommend", "--model", "ml-1m", "Amélie", "日本"],
        capture_output=True, env=clean | {"PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 11
