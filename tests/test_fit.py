"""From a log to a recommender, and on with a newer log: what is kept, what is recorded."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from google.protobuf import text_format
from helpers import make_log, tiny_model
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
from tensorboard.summary.writer import event_file_writer
from tensorboard.summary.writer.event_file_writer import AtomicCounter

from bert4rec import InputError, Recommender, Sequences, Vocabulary
from bert4rec.evaluation import Popularity, rank_targets
from bert4rec.training.warm_start import grown

TINY = {"hidden_size": 16, "num_heads": 2, "max_len": 8, "epochs": 2, "batch_size": 16}
TINY |= {"device": "cpu", "progress": False}
ALL = {"min_user_count": 1, "min_item_count": 1}


@pytest.fixture(scope="module")
def log():
    return make_log().rename(columns={"user": "who", "item": "what", "timestamp": "when"})


@pytest.fixture(scope="module")
def names():
    return pd.DataFrame({"item": range(100, 140), "title": [f"Film {n}" for n in range(100, 140)]})


def fit(log, names=None, **options):
    columns = {"user": "who", "item": "what", "time": "when"}
    return Recommender.fit(log, names, **{**columns, **ALL, **TINY, **options})


@pytest.fixture(scope="module")
def fitted(log, names):
    return fit(log, names)


def test_fit_from_columns_of_any_name(fitted, log):
    assert fitted.vocabulary.items.tolist() == sorted(log["what"].unique())
    assert len(fitted.history.epochs) == 2
    assert fitted.model.config.hidden_size == 16
    table = fitted.recommend(["Film 101", 102], k=3)
    assert table["title"].str.startswith("Film ").all()
    report = fitted.evaluate(fitted.split)
    assert report.num_users == log["who"].nunique()


def test_fit_says_on_how_many_users_it_validates(log, capsys):
    made = fit(log, epochs=1, validation_users=9, progress=True)
    assert len(made.split.validation) == 9
    assert "validation: 9 of 30 users; of the others only the last" in capsys.readouterr().out
    fit(log, epochs=1, progress=True)
    assert "validation:" not in capsys.readouterr().out


def test_an_update_keeps_the_number_of_its_own_split(log, tmp_path):
    made = fit(log, output=tmp_path / "one", epochs=1, validation_users=np.int64(9))
    assert json.loads((tmp_path / "one/config.json").read_text())["validation_users"] == 9
    columns = {"user": "who", "item": "what", "time": "when", "progress": False}
    made.update(log, output=tmp_path / "two", epochs=1, validation_users=5, **columns)
    assert len(made.split.validation) == made.validation_users == 5
    assert Recommender.load(tmp_path / "two").validation_users == 5
    made.update(log, epochs=1, **columns)
    assert made.validation_users is None  # all of so few


def test_fit_writes_a_folder_that_can_be_traced(log, names, tmp_path, fitted):
    made = fit(log, names, output=tmp_path, log_dir=tmp_path / "logs", seed=0)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record["seed"] == 0
    assert record["model"]["max_len"] == 8
    assert record["training"]["epochs"] == 2
    assert record["data"]["user"] == "who"
    digest = Sequences.from_interactions(log, "who", "what", "when").digest()
    assert record["data"]["sha256"] == digest
    assert {"torch", "numpy", "pandas", "python", "bert4rec", "threads"} <= set(record["versions"])
    assert record["report"] == made.report.to_dict()
    loaded = Recommender.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.recommend([101]), made.recommend([101]), atol=1e-5)
    pd.testing.assert_frame_equal(loaded.recommend([101]), fitted.recommend([101]), atol=1e-5)
    assert loaded.training == made.training
    assert np.array_equal(loaded.catalogue.counts, made.split.train.item_counts())


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return found


@pytest.fixture(params=[0, 8])
def one_second(request, monkeypatch):
    """All event files are of the same second; from the tenth on their names sort before others."""
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: 1e9))
    monkeypatch.setattr(event_file_writer, "_global_uid", AtomicCounter(request.param))


@pytest.mark.usefixtures("one_second")
def test_tensorboard_shows_what_a_model_must_beat_in_the_same_charts(log, names, tmp_path):
    made = fit(log, names, output=tmp_path, log_dir=tmp_path / "logs")
    run = Path(made.history.log_dir)
    own, beside = events(run), {n: events(run / n) for n in ("popularity", "item transitions")}
    assert {path.name for path in run.iterdir() if path.is_dir()} == {*beside, made.blend.name}
    popularity = rank_targets(Popularity(made.split.train), made.split.validation)
    alone = json.loads((tmp_path / "metrics.json").read_text())["weights of transitions"]["1"]
    for name, reached in ("popularity", popularity.metric("NDCG@10")), ("item transitions", alone):
        for tag in ("validation/NDCG@10", "epoch/NDCG@10"):
            line = beside[name].Scalars(tag)
            assert [event.step for event in line] == [event.step for event in own.Scalars(tag)]
            assert [event.value for event in line] == pytest.approx([reached, reached])
    for folder, name in ("", "BERT4Rec"), ("popularity", "popularity"), (made.blend.name,) * 2:
        (event,) = events(run / folder).Scalars("test/NDCG@10")
        assert event.value == pytest.approx(made.report.models[name].metric("NDCG@10"))
    columns = own.summary_metadata["_hparams_/experiment"].plugin_data.content
    assert all(name in columns for name in (b"best/NDCG@10", b"test/NDCG@10", b"test/HR@10"))


def test_the_projector_shows_the_most_frequent_items(log, names, tmp_path, monkeypatch):
    monkeypatch.setattr("bert4rec.training.progress.POINTS", 5)
    table = names.assign(genres=["Drama|War", "Co\tmedy"] * 20)[:-1]  # one item is not in it
    made = fit(log, table, log_dir=tmp_path)
    run = Path(made.history.log_dir)
    config = ProjectorConfig()
    text_format.Parse((run / "projector_config.pbtxt").read_text(), config)
    said = pd.read_csv(run / config.embeddings[0].metadata_path, sep="\t")
    vectors = np.loadtxt(run / config.embeddings[0].tensor_path, delimiter="\t")
    counts = made.split.train.item_counts()[1:-1]
    best = np.argsort(-counts, kind="stable")[:5]
    assert said["interactions"].tolist() == counts[best].tolist()
    assert said["title"].tolist() == [made.titles[place] for place in best]
    even = said["title"].str[-1].astype(int) % 2 == 0
    assert said["genres"].tolist() == np.where(even, "Drama|War", "Co medy").tolist()
    assert said["first of genres"].tolist() == np.where(even, "Drama", "Co medy").tolist()
    embedding = made.model.model.embedding.token_embeddings.weight.detach().numpy()
    np.testing.assert_allclose(vectors, embedding[best + 1], rtol=1e-4)


def test_what_fails_in_the_projector_loses_no_model(log, names, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savetxt", full)
    with pytest.warns(UserWarning, match=r"run-1 lacks .*No space left"):
        made = fit(log, names, log_dir=tmp_path)
    assert len(made.recommend([101], k=3)) == 3
    assert not list(tmp_path.rglob("projector_config.pbtxt"))


def test_the_same_seed_gives_the_same_files_to_the_byte(log, names, tmp_path):
    for name in ("one", "two"):
        fit(log, names, output=tmp_path / name)
    fit(log, names, output=tmp_path / "other", seed=1)
    for name in ("model.safetensors", "vocabulary.csv", "checkpoint.safetensors", "config.json"):
        one, two, other = ((tmp_path / f / name).read_bytes() for f in ("one", "two", "other"))
        if name != "checkpoint.safetensors":  # it also tells the seconds that were needed
            assert one == two, name
        assert (one == other) == (name == "vocabulary.csv"), name


def test_a_folder_with_a_model_is_not_replaced_unasked(log, tmp_path):
    fit(log, output=tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="already holds a model"):
        fit(log, output=tmp_path, seed=1)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    fit(log, output=tmp_path, seed=1, overwrite=True)
    assert (tmp_path / "model.safetensors").read_bytes() != before


def test_an_old_model_stays_whole_until_the_new_one_is(log, names, tmp_path, monkeypatch):
    """Overwriting with other data fails in the first epoch: the old model is still there."""
    fit(log, names, output=tmp_path)
    expected = Recommender.load(tmp_path).recommend([101])

    def explode(self):
        raise FloatingPointError("the loss is not finite")

    monkeypatch.setattr("bert4rec.training.optimizers.Optimizers.step", explode)
    with pytest.raises(FloatingPointError):
        fit(log[log["what"] < 130], names, output=tmp_path, overwrite=True)
    pd.testing.assert_frame_equal(Recommender.load(tmp_path).recommend([101]), expected, atol=1e-5)
    assert (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochz": 3}, r"no option 'epochz'.* Did you mean 'epochs'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"hidden_size": 15}, "cannot be shared by num_heads"),
        ({"preset": "tutoral"}, "Did you mean 'tutorial'"),
        ({"user": "whom"}, "the log has no column 'whom'"),
        ({"min_user_count": 99}, "nothing is left"),
    ],
)
def test_mistakes_are_said_before_anything_is_trained_or_written(log, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        fit(log, output=tmp_path / "model", **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_catalogue_smaller_than_the_hidden_size(log):
    made = fit(log[log["what"] < 110], hidden_size=64, start_at_neighbours=3)
    assert len(made.recommend([101], k=50)) == 9


# ---------------------------------------------------------------- growing and updating


def test_growing_keeps_every_score_of_the_old_items():
    old = tiny_model(num_items=20)
    log = pd.DataFrame({"user": [1, 1, 1, 2, 2], "item": [3, 21, 4, 5, 23]})
    sequences = Sequences.from_interactions(log, vocabulary=Vocabulary(list(range(1, 24))))
    for tied in (False, True):
        old = tiny_model(num_items=20, tie_weights=tied)
        new = grown(old, sequences)
        assert new.config.num_items == 23
        histories = torch.tensor([[0, 1, 2, 3], [7, 8, 9, 20]])
        torch.testing.assert_close(new.score(histories)[:, 1:21], old.score(histories)[:, 1:21])
        assert torch.isfinite(new.score(histories)[:, 21:24]).all()
        rows = new.model.embedding.token_embeddings.weight
        # 21 stands beside 3 and 4, 23 beside 5, 22 beside nobody
        before = old.model.embedding.token_embeddings.weight
        torch.testing.assert_close(rows[23], before[5])
        torch.testing.assert_close(rows[22], before[1:21].mean(dim=0))
        mean = before[[3, 4]].mean(dim=0)
        mean *= before[[3, 4]].norm(dim=1).mean() / mean.norm()
        torch.testing.assert_close(rows[21], mean)
        torch.testing.assert_close(rows[24], before[21])  # [MASK]
        assert (new.out.weight is rows) == tied


@pytest.fixture
def newer(log):
    """The same users go on, and twenty new items come in."""
    later = log.assign(when=log["when"] + 100, what=log["what"] + 20)
    return pd.concat([log, later], ignore_index=True)


def test_update_learns_new_items_and_keeps_what_was_learnt(log, names, newer, tmp_path):
    recommender = fit(log, names, epochs=40, dropout=0.0)
    before = recommender.evaluate(recommender.split).models["BERT4Rec"].metric("NDCG@10")
    assert before > 0.3
    counts = recommender.catalogue.counts
    old_split, items = recommender.split, recommender.vocabulary.items
    new_names = pd.DataFrame(
        {"item": range(140, 160), "title": [f"New {n}" for n in range(140, 160)]}
    )
    history = recommender.update(
        newer, new_names, user="who", item="what", time="when", progress=False, epochs=10,
        output=tmp_path / "model",
    )  # fmt: skip
    assert len(history.epochs) == 10
    assert recommender.vocabulary.items[: len(items)].equals(items)
    assert recommender.titles[39:41] == ["Film 139", "New 140"]
    # what it knew of the old log
    tokens = old_split.test.histories
    known = recommender.recommend(
        [items.to_numpy()[tokens[user] - 1].tolist() for user in range(len(tokens))], only=items
    )
    targets = items.to_numpy()[old_split.test.targets - 1]
    hits = [target in set(known.loc[user, "item"]) for user, target in enumerate(targets)]
    assert np.mean(hits) > 0.5
    # and what is new
    reached = recommender.report.models["BERT4Rec"].metric("NDCG@10")
    assert reached > 0.3
    loaded = Recommender.load(tmp_path / "model")
    assert loaded.vocabulary == recommender.vocabulary
    assert loaded.training == recommender.training  # of the first training, not of the update
    pd.testing.assert_frame_equal(loaded.recommend([101]), recommender.recommend([101]), atol=1e-5)
    # whole histories were passed again: nothing counts twice
    now = recommender.split.train.item_counts()
    assert np.array_equal(loaded.catalogue.counts[:41], np.maximum(now[:41], counts[:41]))
    assert np.array_equal(loaded.catalogue.counts[41:], now[41:])


def test_an_update_that_fails_leaves_everything_as_it_was(fitted, newer):
    expected = fitted.recommend([101])
    with pytest.raises(InputError, match="no column 'whom'"):
        fitted.update(newer, user="whom")
    texts = newer.assign(what="b" + newer["what"].astype(str))
    with pytest.raises(InputError, match="the new items are called like 'b100', the known ones"):
        fitted.update(texts, user="who", item="what", time="when")
    with pytest.raises(InputError, match="epochs must be at least 1"):
        fitted.update(newer, user="who", item="what", time="when", epochs=0)
    pd.testing.assert_frame_equal(fitted.recommend([101]), expected, atol=1e-5)


def test_update_without_new_items(fitted, log, tmp_path):
    fitted.save(tmp_path)
    loaded = Recommender.load(tmp_path)
    history = loaded.update(log, user="who", item="what", time="when", progress=False)
    assert len(history.epochs) == 3
    assert loaded.vocabulary == fitted.vocabulary
    rare = pd.DataFrame({"who": ["u0", "u1"], "what": [999, 998], "when": [5000, 5000]})
    # item 999 five times, 998 once
    rare = pd.concat([log, rare, rare.iloc[[0] * 4]], ignore_index=True)
    loaded.update(rare, user="who", item="what", time="when", progress=False, epochs=1)
    assert loaded.vocabulary.items[-1] == 999
    assert len(loaded.vocabulary) == len(fitted.vocabulary) + 1
    # a quarter of the first training's rates, however often it is updated
    assert max(row["learning_rate"] for row in history.epochs) < fitted.training.learning_rate / 4
    assert loaded.training == fitted.training
