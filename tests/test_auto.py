"""Settings that are chosen by the log."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import make_log

from bert4rec import PRESETS, InputError, Recommender, Sequences, cli, get_preset
from bert4rec.training import auto_preset


def log_of(interactions: int, items: int, length: int = 150) -> SimpleNamespace:
    lengths = np.full(100, length)
    return SimpleNamespace(num_interactions=interactions, num_items=items, lengths=lengths)


SPARSE = {"dropout": 0.3}
LARGE = {"batch_size": 64, "epochs": 24}
SAMPLED = {"loss": "sampled-softmax", "num_negatives": 1024}


@pytest.mark.parametrize(
    ("log", "name", "changes"),
    [
        (log_of(89_000, 3_500), "tutorial", {}),
        (log_of(990_000, 3_416), "ml-1m", {}),
        (log_of(400_000, 2_000, length=33), "ml-1m", {"max_len": 40}),
        (log_of(400_000, 2_000, length=3), "ml-1m", {"max_len": 20}),
        (log_of(9_000, 3_000), "tutorial", SPARSE),
        (log_of(199_000, 20_000), "tutorial", SPARSE),
        (log_of(210_000, 22_000), "tutorial", SPARSE | LARGE | SAMPLED),
        (log_of(1_900_000, 200_000), "tutorial", SPARSE | LARGE | SAMPLED | {"epochs": 10}),
        (log_of(900_000, 60_000), "ml-1m", {}),
        (log_of(4_000_000, 60_000), "ml-1m", {"epochs": 5}),
        (log_of(33_000_000, 200_000), "ml-1m", SAMPLED | {"epochs": 2, "batch_size": 256}),
    ],
)
def test_the_rule(log, name, changes):
    changes = {"max_len": 100} | changes if name == "ml-1m" else changes
    preset, reason = auto_preset(log)
    assert preset == get_preset(name, **changes)
    assert reason.startswith(f"settings: preset {name}")
    assert all(f"{key}={value}" in reason for key, value in changes.items())
    assert f"{log.num_interactions:,} interactions" in reason


def test_fit_says_what_it_chose_and_keeps_what_was_named(capsys, monkeypatch):
    made = Recommender.fit(make_log(), epochs=1, hidden_size=16, max_len=8, device="cpu")
    assert "settings: preset tutorial, dropout=0.3 (" in capsys.readouterr().out
    assert (made.model.config.dropout, made.model.config.max_len) == (0.3, 8)
    assert made.training.epochs == 1
    assert made.training.learning_rate == PRESETS["tutorial"].training.learning_rate
    named = Recommender.fit(make_log(), preset="tutorial", epochs=1, hidden_size=16, device="cpu")
    assert named.model.config.dropout == 0.2
    assert "settings:" not in capsys.readouterr().out


def test_no_preset_is_called_auto():
    with pytest.raises(InputError, match="auto_preset chooses by a log"):
        get_preset("auto")


@pytest.mark.parametrize(
    ("options", "preset", "given"),
    [
        ([], "auto", {}),
        # as a small log has it anyway, but named: it stays where the log asks for another
        (["--epochs", "12", "--dropout=0.2"], "auto", {"epochs": 12, "dropout": 0.2}),
        (["--no-tie-weights", "--loss", "gbce"], "auto", {"tie_weights": False, "loss": "gbce"}),
        (["--tie-weights", "--feed-forward-size", "9"], "auto",
         {"tie_weights": True, "feed_forward_size": 9}),
    ],
)  # fmt: skip
def test_the_command_line_names_only_what_was_given(tmp_path, monkeypatch, options, preset, given):
    called = {}

    def fit(interactions, items, preset, **options):
        called.update(options, preset=preset)
        raise InputError("far enough")

    monkeypatch.setattr(cli.Recommender, "fit", fit)
    make_log().to_csv(tmp_path / "log.csv", index=False)
    args = ["train", "--data", tmp_path / "log.csv", "--output", tmp_path / "model", *options]
    assert cli.main([str(arg) for arg in args]) == 2
    shape, training = (
        vars(get_preset("tutorial").model_config(1)),
        vars(PRESETS["tutorial"].training),
    )
    assert called["preset"] == preset
    assert {key: called[key] for key in called if key in shape | training} == given


def test_a_named_preset_gives_all_of_its_settings(tmp_path, monkeypatch):
    called = {}
    monkeypatch.setattr(
        cli.Recommender, "fit", lambda *_, **options: called.update(options) or 1 / 0
    )
    make_log().to_csv(tmp_path / "log.csv", index=False)
    args = ["train", "--data", tmp_path / "log.csv", "--output", tmp_path / "model"]
    with pytest.raises(ZeroDivisionError):
        cli.main([str(arg) for arg in [*args, "--preset", "paper", "--epochs", "3"]])
    assert (called["epochs"], called["max_len"], called["clip_norm"]) == (3, 200, 5.0)


def test_the_rule_reads_a_real_log():
    preset, _ = auto_preset(Sequences.from_interactions(make_log()).leave_one_out().train)
    assert preset == get_preset("tutorial", dropout=0.3)
