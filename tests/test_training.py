"""The training loop: it learns, repeats, resumes exactly, and stops with a reason."""

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers import make_log, tiny_model

from bert4rec import (
    IGNORE,
    PRESETS,
    BERT4Rec,
    ClozeBatches,
    InputError,
    ModelConfig,
    Popularity,
    Sequences,
    TrainingConfig,
    get_preset,
    pick_device,
    rank_targets,
    train,
)
from bert4rec.model.losses import GBCE, SampledSoftmax
from bert4rec.training.checkpoint import Checkpoint
from bert4rec.training.optimizers import Optimizers, clip_gradients, loss_and_optimizers

FAST = TrainingConfig(epochs=4, batch_size=16, learning_rate=3e-3, device="cpu")
SAMPLED = dataclasses.replace(FAST, loss="sampled-softmax", num_negatives=16)
MUON = dataclasses.replace(FAST, muon_learning_rate=1e-2, start_at_neighbours=3)


@pytest.fixture
def split(sequences):
    return sequences.leave_one_out()


def new_model(split, seed=0, **changes) -> BERT4Rec:
    torch.manual_seed(seed)
    shape = {"hidden_size": 16, "num_heads": 2, "max_len": 8, "dropout": 0.2} | changes
    return BERT4Rec(ModelConfig(num_items=split.train.num_items, **shape))


def equal(one: BERT4Rec, two: BERT4Rec) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_model_of_the_tutorials_size_overfits_32_sequences():
    sequences = Sequences.from_interactions(make_log(num_users=32, num_items=200, low=6))
    split = sequences.leave_one_out()
    preset = PRESETS["tutorial"]
    torch.manual_seed(0)
    model = BERT4Rec(preset.model_config(sequences.num_items, dropout=0.0))
    config = TrainingConfig(
        epochs=500, batch_size=32, learning_rate=5e-3, mask_prob=0.15, last_item_prob=0.0,
        validate_every=500, weight_decay=0.0, device="cpu",
    )  # fmt: skip
    history = train(model, split, config, progress=False)
    assert history.epochs[0]["loss"] > 4
    assert history.epochs[-1]["loss"] < 0.1


@pytest.mark.parametrize(("config", "least"), [(FAST, 0.5), (MUON, 0.4)], ids=["adamw", "muon"])
def test_it_learns_what_popularity_cannot(split, config, least):
    model = new_model(split, dropout=0.0)
    history = train(model, split, dataclasses.replace(config, epochs=60), progress=False)
    ranks = rank_targets(model, split.test)  # each history walks upwards by one item
    assert ranks.metric("NDCG@10") > least
    assert history.best_score == max(row["NDCG@10"] for row in history.epochs)
    assert rank_targets(model, split.validation).metric("NDCG@10") == history.best_score


def test_the_same_seed_gives_the_same_weights_and_history(split):
    runs = []
    for _ in range(2):
        model = new_model(split)
        history = train(model, split, FAST, progress=False)
        runs.append((model, [{**row, "seconds": 0} for row in history.epochs]))
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    other = new_model(split)
    train(other, split, dataclasses.replace(FAST, seed=1), progress=False)
    assert not equal(runs[0][0], other)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("stop_after", [1, 3])
@pytest.mark.parametrize("config", [FAST, MUON, SAMPLED], ids=["adamw", "muon", "sampled"])
def test_resume_gives_the_weights_of_a_run_never_stopped(
    split, tmp_path, monkeypatch, tied, stop_after, config
):
    whole = new_model(split, tie_weights=tied)
    expected = train(whole, split, config, tmp_path / "whole", progress=False)

    class Killed(BaseException):
        pass

    original = Checkpoint.keep

    def save_then_die(self, row):
        original(self, row)
        if row["epoch"] == stop_after:
            raise Killed

    broken = new_model(split, tie_weights=tied)
    monkeypatch.setattr(Checkpoint, "keep", save_then_die)
    with pytest.raises(Killed):
        train(broken, split, config, tmp_path / "broken", progress=False)
    monkeypatch.undo()
    resumed = new_model(split, seed=99, tie_weights=tied)  # its own weights must not matter
    torch.manual_seed(12345)
    history = train(resumed, split, config, tmp_path / "broken", resume=True, progress=False)
    assert equal(resumed, whole)
    assert equal(BERT4Rec.load(tmp_path / "broken"), BERT4Rec.load(tmp_path / "whole"))
    for row, expected_row in zip(history.epochs, expected.epochs, strict=True):
        assert {**row, "seconds": 0} == {**expected_row, "seconds": 0}


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
from helpers import make_log
from bert4rec import BERT4Rec, ModelConfig, Sequences, TrainingConfig, train
torch.set_num_threads(1)
torch.manual_seed(0)
split = Sequences.from_interactions(make_log(num_users=300, num_items=60)).leave_one_out()
model = BERT4Rec(ModelConfig(60, hidden_size=16, num_heads=2, max_len=8, dropout=0.2))
config = TrainingConfig(epochs=12, batch_size=8, device="cpu")
train(model, split, config, sys.argv[1], resume=True, progress=True)
torch.save(model.state_dict(), sys.argv[1] + "/final.pt")
"""


def test_resume_after_kill_9_is_exact(tmp_path):
    script = SCRIPT.format(tests=str(os.path.dirname(__file__)))

    def run(folder):
        command = [sys.executable, "-c", script, str(tmp_path / folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    killed = run("killed")
    for _ in range(3):
        assert killed.stdout.readline().startswith("epoch")
    time.sleep(0.05)  # somewhere inside the fourth epoch
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    done = BERT4Rec.load(tmp_path / "killed")  # the best so far is a model already
    assert done.config.num_items == 60
    resumed, whole = run("killed"), run("whole")
    output = resumed.communicate()[0]
    whole.communicate()
    assert resumed.returncode == whole.returncode == 0
    assert not output.startswith("epoch   1/")
    one, two = (
        torch.load(tmp_path / f / "final.pt", weights_only=True) for f in ("killed", "whole")
    )
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_resume_refuses_another_configuration(split, tmp_path):
    train(new_model(split), split, FAST, tmp_path, progress=False)
    changed = dataclasses.replace(FAST, learning_rate=0.01)
    with pytest.raises(
        InputError, match=r"written with another learning_rate\. Train with the same"
    ):
        train(new_model(split), split, changed, tmp_path, resume=True, progress=False)
    other = Sequences.from_interactions(make_log(seed=7)).leave_one_out()
    with pytest.raises(
        InputError, match=r"another data \(the log, how it is read, or validation_users\)\."
    ):
        train(new_model(other), other, FAST, tmp_path, resume=True, progress=False)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is damaged"):
        train(new_model(split), split, FAST, tmp_path, resume=True, progress=False)


def test_muon_takes_the_matrices_of_the_encoders_and_nothing_else(split):
    model = new_model(split)
    optimizers = Optimizers(model, MUON, 100, [])
    adamw, muon = optimizers.all
    names = {id(p): name for name, p in model.named_parameters()}
    matrices = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert matrices == {
        name for name, p in model.named_parameters() if "encoders" in name and p.ndim == 2
    }
    others = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert sorted([*others, *matrices]) == sorted(names.values())
    share = optimizers.share(50)  # both follow the schedule, each from its own peak
    assert optimizers.set_rate(50) == pytest.approx(MUON.learning_rate * share)
    assert adamw.param_groups[0]["lr"] == pytest.approx(MUON.learning_rate * share)
    assert muon.param_groups[0]["lr"] == pytest.approx(MUON.muon_learning_rate * share)


def test_early_stopping_keeps_the_best(split):
    config = dataclasses.replace(FAST, epochs=200, patience=3, learning_rate=1e-5)
    model = new_model(split)
    history = train(model, split, config, progress=False)
    assert history.stopped == "patience"
    assert len(history.epochs) == history.best_epoch + 3
    assert rank_targets(model, split.validation).metric("NDCG@10") == history.best_score


def test_resume_after_early_stopping_adds_nothing(split, tmp_path):
    config = dataclasses.replace(FAST, epochs=200, patience=2, learning_rate=1e-5)
    stopped = train(new_model(split), split, config, tmp_path, progress=False)
    again = train(new_model(split), split, config, tmp_path, resume=True, progress=False)
    assert stopped.stopped == again.stopped == "patience"
    assert stopped.epochs == again.epochs


def test_an_interrupt_keeps_what_was_reached(split, monkeypatch, tmp_path):
    original, calls = Optimizers.step, []

    def interrupted(self):
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return original(self)

    monkeypatch.setattr(Optimizers, "step", interrupted)
    model = new_model(split)
    history = train(model, split, dataclasses.replace(FAST, epochs=50), tmp_path, progress=False)
    assert history.stopped == "interrupted"
    assert 1 <= len(history.epochs) < 50
    assert rank_targets(model, split.validation).metric("NDCG@10") == history.best_score
    assert equal(model, BERT4Rec.load(tmp_path))


def test_a_loss_that_is_not_finite_stops_with_step_and_cause(split):
    config = dataclasses.replace(FAST, learning_rate=1e30, warmup_share=0.0, epochs=20)
    with pytest.raises(FloatingPointError, match=r"at step \d+\. Likely causes: a learning rate"):
        train(new_model(split), split, config, progress=False)


def test_bf16_learns_like_float32(split):
    losses = []
    for precision in ("float32", "bf16"):
        config = dataclasses.replace(FAST, precision=precision, epochs=50)
        history = train(new_model(split, dropout=0.0), split, config, progress=False)
        losses.append(history.epochs[-1]["loss"])
        assert losses[-1] < 0.9 * history.epochs[0]["loss"]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_the_learning_rate_rises_and_falls(split):
    ends = {"cosine": 1.5e-3 * (1 - math.cos(math.pi / 90)), "linear": 3e-3 / 90, "constant": 3e-3}
    for schedule, end in ends.items():  # the last step has not come down to 0
        config = dataclasses.replace(FAST, warmup_share=0.1, schedule=schedule)
        optimizers = Optimizers(new_model(split), config, 100, [])
        rates = [optimizers.set_rate(step) for step in range(1, 101)]
        assert rates[:3] == pytest.approx([3e-4, 6e-4, 9e-4])
        assert max(rates) == pytest.approx(3e-3)
        assert rates[9] == pytest.approx(3e-3)
        assert rates[10] == pytest.approx(3e-3)
        assert rates[-1] == pytest.approx(end)
        assert Optimizers(new_model(split), config, 1, []).set_rate(1) == 3e-3


def test_no_weight_decay_on_biases_norms_and_positions(split):
    model = new_model(split)
    (adamw,) = Optimizers(model, FAST, 10, []).all
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, rest = ({names[id(p)] for p in group["params"]} for group in adamw.param_groups)
    assert adamw.param_groups[1]["weight_decay"] == 0
    assert all("bias" in n or "layer_norm" in n or "position" in n for n in rest)
    assert all(n.endswith("weight") and "norm" not in n for n in decayed)
    assert len(decayed | rest) == len(names)


def test_tensorboard_logs(split, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = train(
        new_model(split), split, dataclasses.replace(FAST, epochs=10), log_dir=tmp_path / "logs",
        progress=False,
    )  # fmt: skip
    assert history.log_dir == str(tmp_path / "logs" / "run-1")
    events = EventAccumulator(history.log_dir)
    events.Reload()
    logged = [event.value for event in events.Scalars("validation/NDCG@10")]
    assert logged == pytest.approx([row["NDCG@10"] for row in history.epochs])
    names = "train/loss", "train/epoch_loss", "train/learning_rate", "train/gradient_norm"
    assert set(names) <= set(events.Tags()["scalars"])
    by_epoch = events.Scalars("epoch/NDCG@10")
    assert [event.step for event in by_epoch] == list(range(1, 11))
    assert events.Scalars("best/NDCG@10")[0].value == pytest.approx(history.best_score)
    settings = events.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| epochs | 10 |" in settings
    assert "| hidden_size | 16 |" in settings
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_each_run_logs_into_its_own_folder_and_a_resumed_one_goes_on(split, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = tmp_path / "logs"
    for folder in ("a", "b"):
        config = dataclasses.replace(FAST, epochs=2)
        train(new_model(split), split, config, tmp_path / folder, logs, progress=False)
    assert sorted(path.name for path in logs.iterdir()) == ["run-1", "run-2"]

    history = train(
        new_model(split), split, config, tmp_path / "a", logs, resume=True, progress=False
    )
    assert history.log_dir == str(logs / "run-1")
    events = EventAccumulator(history.log_dir)
    events.Reload()
    steps = [event.step for event in events.Scalars("validation/NDCG@10")]
    assert steps == [row["step"] for row in history.epochs]


def test_progress_is_a_line_per_epoch_outside_a_terminal(split, capsys):
    train(new_model(split), split, FAST)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("epoch   1/4  loss ")
    assert "validation NDCG@10 " in lines[3]


def test_training_sees_no_held_out_item():
    """The last two items of every user occur nowhere else, so training cannot raise them."""
    log = make_log(num_users=40, num_items=30)
    position = log.groupby("user").cumcount(ascending=False)
    log.loc[position == 0, "item"] = 901  # the test target of everybody
    log.loc[position == 1, "item"] = 902  # the validation target
    split = Sequences.from_interactions(log).leave_one_out()
    held_out = split.train.vocabulary.tokens([901, 902])
    for inputs, labels in ClozeBatches(split.train, 8, 16).epoch(1):
        for token in held_out:
            assert not (inputs == token).any()
            assert not (labels == token).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"learning_rate": -1}, "learning_rate must be above 0, not -1"),
        ({"mask_prob": 1.0}, r"mask_prob must lie between 0 and 1 .* not 1\.0"),
        ({"mask_prob": 0}, r"mask_prob must lie between 0 and 1 .* not 0"),
        ({"last_item_prob": -0.1}, "last_item_prob"),
        ({"schedule": "step"}, "schedule must be one of cosine, linear, constant, not 'step'"),
        ({"precision": "fp8"}, "precision must be one of"),
        ({"warmup_share": 1.0}, "warmup_share must lie in"),
        ({"weight_decay": -1}, "weight_decay must not be negative"),
        ({"mask_strategy": "bert"}, "mask_strategy must be one of"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**changes)


def test_a_device_that_is_not_there():
    with pytest.raises(InputError, match=r"device 'gpu' cannot be used.*Use 'auto' or 'cpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device 'cuda' cannot be used"):
            pick_device("cuda")
    assert pick_device().type in ("cuda", "mps", "cpu")


def test_model_and_data_must_fit(split):
    with pytest.raises(InputError, match="the model has num_items=7, the data 40"):
        train(tiny_model(num_items=7), split, FAST)


def test_presets():
    for preset in PRESETS.values():
        assert preset.model_config(num_items=10).num_items == 10
    paper = get_preset("paper")
    config = paper.model_config(3416)
    assert (config.hidden_size, config.num_layers, config.num_heads) == (64, 2, 2)
    assert (config.max_len, config.tie_weights, config.norm_first) == (200, True, False)
    assert get_preset("reference").model_config(3706) == ModelConfig(num_items=3706)
    with pytest.raises(
        InputError, match=r"no preset is called 'tutorail'.*Did you mean 'tutorial'"
    ):
        get_preset("tutorail")
    json.dumps(dataclasses.asdict(paper.training))


@pytest.mark.parametrize("loss", ["sampled-softmax", "gbce"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_sampled_losses_learn_and_leave_no_sparse_table(split, loss, tied, causal):
    config = dataclasses.replace(FAST, epochs=60, loss=loss, num_negatives=16)
    model = new_model(split, dropout=0.0, tie_weights=tied, causal=causal)
    train(model, split, config, progress=False)
    popular = rank_targets(Popularity(split.train), split.test).metric("NDCG@10")
    assert rank_targets(model, split.test).metric("NDCG@10") > max(2 * popular, 0.25)
    assert not model.model.embedding.token_embeddings.sparse
    model.loss(*next(ClozeBatches(split.train, 8, 4).epoch(1))).backward()
    assert not model.model.embedding.token_embeddings.weight.grad.is_sparse


def test_a_step_of_a_sampled_loss_changes_only_the_rows_it_touched(split):
    config = dataclasses.replace(
        FAST, loss="gbce", num_negatives=3, start_at_popularity=False, weight_decay=0.1
    )
    model = new_model(split, tie_weights=True, dropout=0.0)
    loss_of, optimizers = loss_and_optimizers(model, split.train, config, 10)
    before = model.out.weight.detach().clone()
    inputs, labels = torch.tensor([[1, 41, 3]]), torch.tensor([[IGNORE, 2, IGNORE]])
    torch.manual_seed(1)
    loss_of(inputs, labels).backward()
    torch.manual_seed(1)
    drawn = GBCE(split.train.item_counts(), config).draw() + 1
    optimizers.set_rate(1)
    optimizers.step()
    changed = (model.out.weight != before).any(dim=1).nonzero()[:, 0].tolist()
    assert set(changed) == {1, 41, 3, 2, *drawn.tolist()}


def test_clipping_is_torchs_with_sparse_gradients_too():
    table = torch.nn.Embedding(6, 3, sparse=True)
    dense = torch.nn.Parameter(torch.randn(4))
    expected = [torch.zeros(6, 3), torch.randn(4)]
    rows, values = torch.tensor([[1, 4, 1]]), torch.randn(3, 3)
    expected[0].index_add_(0, rows[0], values)
    table.weight.grad = torch.sparse_coo_tensor(rows, values, (6, 3), check_invariants=True)
    dense.grad = expected[1].clone()
    norm = clip_gradients([table.weight, dense], 0.5)
    total = torch.cat([gradient.flatten() for gradient in expected]).norm()
    torch.testing.assert_close(norm, total)
    torch.testing.assert_close(table.weight.grad.to_dense(), expected[0] * 0.5 / total)
    torch.testing.assert_close(dense.grad, expected[1] * 0.5 / total)


def test_draws_follow_their_probabilities(split):
    counts = split.train.item_counts()
    config = TrainingConfig(num_negatives=200_000)
    sampled = SampledSoftmax(counts, config)
    drawn = sampled.draw() + 1
    log_q = sampled.log_q[drawn - 1]
    expected = (counts[1:-1] + 1) / (counts[1:-1] + 1).sum()
    found = drawn.bincount(minlength=len(counts))[1:-1] / 200_000
    assert drawn.min() >= 1
    assert drawn.max() <= split.train.num_items
    torch.testing.assert_close(found.double(), torch.from_numpy(expected), atol=3e-3, rtol=0.0)
    torch.testing.assert_close(log_q.exp().double(), torch.from_numpy(expected)[drawn - 1])
    uniform = GBCE(counts, config).draw() + 1
    share = uniform.bincount(minlength=len(counts))[1:-1] / 200_000
    assert (share - 1 / split.train.num_items).abs().max() < 3e-3
