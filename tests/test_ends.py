"""However a training ends, memory, disk and what is said agree."""

import contextlib
import json
import pkgutil
import signal

import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model

from bert4rec import (
    BERT4Rec,
    InputError,
    ModelConfig,
    Recommender,
    Sequences,
    TrainingConfig,
    cli,
    devices,
    distributed,
    train,
)
from bert4rec.files import CONFIG
from bert4rec.training.checkpoint import CHECKPOINT, RECORD
from bert4rec.training.progress import FiniteCheck

CONFIG_OF_TEST = TrainingConfig(epochs=4, batch_size=16, device="cpu", start_at_neighbours=2)
FIT = {
    "hidden_size": 16, "num_heads": 2, "max_len": 8, "batch_size": 16, "min_user_count": 1,
    "min_item_count": 1, "device": "cpu", "progress": False,
}  # fmt: skip
# (what is called, the call in which Ctrl-C is pressed): two steps an epoch
MOMENTS = [
    ("bert4rec.training.warm_start.neighbour_vectors", 1),
    ("bert4rec.training.optimizers.Optimizers.step", 1),
    ("bert4rec.training.optimizers.Optimizers.step", 2),
    ("bert4rec.training.loop.rank_targets", 1),
    ("bert4rec.model.bert4rec.BERT4Rec.save", 1),
    ("bert4rec.training.checkpoint._copy", 1),
    ("bert4rec.training.checkpoint.Checkpoint._write", 1),
    ("bert4rec.training.progress.Reporter.epoch", 1),
    ("bert4rec.training.optimizers.Optimizers.step", 3),
    ("bert4rec.training.loop.rank_targets", 2),
    ("bert4rec.model.bert4rec.BERT4Rec.save", 2),
    ("bert4rec.training.checkpoint._copy", 2),
    ("bert4rec.training.checkpoint.Checkpoint._write", 2),
    ("bert4rec.training.progress.Reporter.epoch", 2),
]


@pytest.fixture(autouse=True)
def ctrl_c_counts():
    """Where the tests run in a shell's background, it does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c(monkeypatch, name, call):
    """Send this process the signal of Ctrl-C in the n-th call of a function, and go on with it."""
    done = 0
    holder, _, called = name.rpartition(".")
    original = pkgutil.resolve_name(name)

    def watched(*args, **kwargs):
        nonlocal done
        done += 1
        if done == call:
            signal.raise_signal(signal.SIGINT)  # to this thread, at once
        return original(*args, **kwargs)

    monkeypatch.setattr(pkgutil.resolve_name(holder), called, watched)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("name", "call"), MOMENTS)
def test_an_interrupt_at_any_moment(monkeypatch, tmp_path, sequences, name, call):
    split = sequences.leave_one_out()
    model = tiny_model(sequences.num_items)
    before, handler = weights(model), signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, name, call)
        history = train(model, split, CONFIG_OF_TEST, tmp_path, progress=False)
    assert signal.getsignal(signal.SIGINT) is handler
    assert history.stopped == "interrupted"
    assert not model.training
    saved = (tmp_path / CONFIG).exists()
    assert saved == (history.best_epoch > 0)
    if saved:  # memory has what the disk has, and that is the best epoch's
        assert same(weights(model), weights(BERT4Rec.load(tmp_path)))
        assert history.best_epoch in [row["epoch"] for row in history.epochs]
    elif name.endswith("step") and call == 2:  # what was reached
        assert not same(before, weights(model))
    # and it goes on as if nothing had been
    train(model, split, CONFIG_OF_TEST, tmp_path, resume=True, progress=False)
    whole = tiny_model(sequences.num_items)
    train(whole, split, CONFIG_OF_TEST, tmp_path / "whole", progress=False)
    if (tmp_path / CHECKPOINT).exists() and saved:
        assert same(weights(model), weights(whole))


def test_an_interrupt_that_the_shell_ignores_is_ignored(monkeypatch, tmp_path, sequences):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    press_ctrl_c(monkeypatch, "bert4rec.training.optimizers.Optimizers.step", 1)
    model = tiny_model(sequences.num_items)
    history = train(model, sequences.leave_one_out(), CONFIG_OF_TEST, progress=False)
    assert history.stopped == "finished"


def fit(folder, log, **options):
    return Recommender.fit(log, output=folder, **FIT | options)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ends") / "model"
    fit(folder, make_log(), epochs=1)
    return folder


def copy_of(folder, to):
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.startswith(".")}


@pytest.mark.parametrize(("name", "call"), MOMENTS[1:4])
def test_an_interrupted_overwrite_leaves_the_old_model_and_its_record(
    monkeypatch, tmp_path, trained, name, call
):
    folder = copy_of(trained, tmp_path / "model")
    old = content(folder)
    press_ctrl_c(monkeypatch, name, call)
    with pytest.raises(KeyboardInterrupt, match=r"no model was trained.* is still there"):
        fit(folder, make_log(seed=1), epochs=3, overwrite=True)
    assert content(folder) == old


def test_the_command_says_so_and_its_status_is_not_0(monkeypatch, tmp_path, trained, capsys):
    folder = copy_of(trained, tmp_path / "model")
    old = content(folder)
    make_log(seed=1).to_csv(tmp_path / "log.csv", index=False)
    args = [
        "train", "--data", tmp_path / "log.csv", "--output", folder, "--overwrite",
        "--log-dir", tmp_path / "logs", "--hidden-size", 16, "--max-len", 8, "--device", "cpu",
        "--min-user-count", 1, "--min-item-count", 1, "--epochs", 3,
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, "bert4rec.training.optimizers.Optimizers.step", 1)
        assert cli.main(list(map(str, args))) == 130
    out, err = capsys.readouterr()
    assert "saved" not in out + err
    assert "interrupted: it ended before the first validation" in err
    assert content(folder) == old
    # during the last evaluation: the model is there, a record is not
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, "bert4rec.recommend.fitting.compare", 1)
        assert cli.main(list(map(str, args))) == 130
    assert "is saved in" in capsys.readouterr().err
    assert not (folder / RECORD).exists()
    assert json.loads((folder / CONFIG).read_text())["data"]["data"].endswith("log.csv")
    # and after a validation it is a model, with a record that says how it ended
    with monkeypatch.context() as patch:
        press_ctrl_c(patch, "bert4rec.training.progress.Reporter.epoch", 2)
        assert cli.main(list(map(str, args))) == 0
    assert "interrupted after 2 epochs" in capsys.readouterr().out
    record = json.loads((folder / RECORD).read_text())
    assert record["stopped"] == "interrupted"
    assert len(record["curve"]) == 2


@pytest.mark.parametrize("kind", ["interrupt", "error"])
@pytest.mark.parametrize("call", [1, 4])
def test_an_update_that_ends_early_leaves_one_model(monkeypatch, tmp_path, trained, kind, call):
    folder = copy_of(trained, tmp_path / "model")
    recommender = Recommender.load(folder)
    before = weights(recommender.model)
    newer = make_log(seed=2, num_items=45)
    if kind == "interrupt":
        press_ctrl_c(monkeypatch, "bert4rec.training.optimizers.Optimizers.step", call)
    else:
        original, steps = FiniteCheck.check, iter(range(1, 100))

        def check(self, step, rate, loss, norm):
            return original(
                self, step, rate, loss * (torch.nan if next(steps) == call else 1), norm
            )

        monkeypatch.setattr(FiniteCheck, "check", check)
    fails = pytest.raises((KeyboardInterrupt, FloatingPointError))
    with fails if kind == "error" or call == 1 else contextlib.nullcontext():
        recommender.update(newer, output=folder, epochs=3, progress=False, min_item_count=1)
    on_disk = Recommender.load(folder)
    assert same(weights(recommender.model), weights(on_disk.model))
    assert recommender.vocabulary == on_disk.vocabulary
    assert same(before, weights(recommender.model)) == (call == 1)


def test_an_update_keeps_the_shape_and_the_place(trained):
    recommender = Recommender.load(trained)
    recommender.training = TrainingConfig(device="cuda:7")  # where it was trained
    with pytest.raises(InputError, match="an update cannot change hidden_size"):
        recommender.update(make_log(), hidden_size=999)
    assert recommender.update(make_log(), epochs=1, progress=False, batch_size=16).best_epoch == 1


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": "5"}, {"epochs": 5.0}, {"epochs": True}, {"seed": -1}, {"seed": 2**63},
        {"learning_rate": "0.1"}, {"learning_rate": float("nan")}, {"clip_norm": float("inf")},
        {"compile": 1}, {"loss": None}, {"mask_prob": None},
    ],
)  # fmt: skip
def test_settings_of_another_type_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
        TrainingConfig(**wrong)


def test_settings_of_a_model_too():
    for wrong in ({"hidden_size": "64"}, {"causal": "no"}, {"dropout": "0"}, {"num_items": 3.0}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
            ModelConfig(**{"num_items": 5} | wrong)
    import numpy as np

    config = ModelConfig(num_items=np.int64(5), dropout=0, feed_forward_size=None)
    assert json.dumps(config.__dict__)


def test_a_run_of_one_step_learns(sequences):
    split = sequences.leave_one_out()
    model = tiny_model(sequences.num_items)
    before = weights(model)
    config = TrainingConfig(epochs=1, batch_size=1000, device="cpu", start_at_popularity=False)
    history = train(model, split, config, progress=False)
    assert history.epochs[0]["step"] == 1
    assert not same(before, weights(model))


def test_a_log_of_one_item():
    log = pd.DataFrame({"user": list("aaabbb"), "item": [1] * 6})
    with pytest.raises(InputError, match="there is one item only"):
        Recommender.fit(log, **FIT)
    split = Sequences.from_interactions(log).leave_one_out()
    with pytest.raises(InputError, match="there is one item only"):
        train(tiny_model(1), split, CONFIG_OF_TEST, progress=False)


def test_bf16_is_for_cards_that_have_it(monkeypatch):
    def supported(including_emulation=True):
        return including_emulation  # a card that only emulates it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    with devices.precision("auto", torch.device("cuda")) as autocast:
        assert not isinstance(autocast, torch.autocast)
        assert not torch.backends.cuda.cudnn_sdp_enabled(), "a plan for every shape of a batch"
    assert torch.backends.cuda.cudnn_sdp_enabled() == before


def test_each_process_takes_a_card_of_its_own(monkeypatch):
    taken, groups = [], []
    for name, value in {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(distributed.dist, "is_nccl_available", lambda: True)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *a, **k: groups.append(a))
    monkeypatch.setattr(distributed.atexit, "register", lambda f: None)
    distributed.start("cpu")
    assert taken == []
    distributed.start("auto")
    distributed.start("cuda")
    assert taken == [1, 1]
    # ranks and flags are on the CPU, losses on cards
    assert groups == 3 * [("cpu:gloo,cuda:nccl",)]
    card = torch.device("cuda:0")
    assert distributed.place_of(card) == "cuda", "what each process can ask for"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert distributed.place_of(card) == "cuda:0", "the only one of its machine keeps its card"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(InputError, match="'cuda:0' would put all processes on one card"):
        distributed.start("cuda:0")
