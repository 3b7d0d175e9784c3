"""What a reader may add to the module in a line, and what a step of training asks of a GPU."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import make_log, tiny_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bert4rec import (
    BERT4Rec,
    ClozeBatches,
    InputError,
    ModelConfig,
    Sequences,
    TrainingConfig,
    devices,
    rank_targets,
    train,
)
from bert4rec.cloze import MASKS, hide
from bert4rec.evaluation import GAINS
from bert4rec.model import ATTENTIONS, FEED_FORWARDS, LOSSES, cross_entropy, losses
from bert4rec.model.bert4rec import answers
from bert4rec.model.sublayers import gather_positions
from bert4rec.training import progress
from bert4rec.training.optimizers import clip_gradients, loss_and_optimizers

CONFIG = TrainingConfig(epochs=3, batch_size=16, device="cpu")


@pytest.fixture
def split():
    return Sequences.from_interactions(make_log()).leave_one_out()


@pytest.fixture
def entered():
    """Enter something for one test only."""
    made = []

    def enter(registry, name, thing):
        made.append((registry, name))
        registry.register(name)(thing)

    yield enter
    for registry, name in made:
        del registry[name]


def test_a_loss_from_outside(split, entered):
    def smoothed(hidden, weight, bias, labels):
        return nn.functional.cross_entropy(hidden @ weight.T + bias, labels, label_smoothing=0.1)

    entered(LOSSES, "smoothed", smoothed)
    config = dataclasses.replace(CONFIG, loss="smoothed")
    history = train(tiny_model(split.train.num_items), split, config, progress=False)
    other = train(tiny_model(split.train.num_items), split, CONFIG, progress=False)
    assert history.epochs[0]["loss"] != other.epochs[0]["loss"]
    assert history.epochs[-1]["loss"] < history.epochs[0]["loss"]


@pytest.mark.parametrize("tied", [True, False])
def test_a_loss_from_outside_says_itself_whether_it_touches_few_rows(split, entered, tied):
    seen = []

    class FewRows:
        """Against one drawn item."""

        sparse = True

        def __init__(self, counts, settings):
            self.items = len(counts) - 2

        def __call__(self, hidden, weight, bias, labels):
            drawn = torch.randint(1, self.items + 1, labels.shape)
            rows = nn.functional.embedding(torch.cat([labels, drawn]), weight, sparse=self.sparse)
            scores = (rows.view(2, *hidden.shape) * hidden).sum(dim=-1)
            seen.append(self.sparse)
            return nn.functional.softplus(scores[1] - scores[0]).mean()

    entered(LOSSES, "few-rows", FewRows)
    config = dataclasses.replace(CONFIG, loss="few-rows")
    model = tiny_model(split.train.num_items, tie_weights=tied)
    _, optimizers = loss_and_optimizers(model, split.train, config, 10)
    rows = [p for group in optimizers.all[-1].param_groups for p in group["params"]]
    table = model.model.embedding.token_embeddings.weight
    assert isinstance(optimizers.all[-1], torch.optim.SparseAdam)
    assert {id(p) for p in rows} == {id(table), id(model.out.weight)}
    train(model, split, config, progress=False)
    assert all(seen)


def test_a_metric_from_outside(split, entered):
    entered(GAINS, "top-half", lambda rank: (rank <= 20).astype(float))
    config = dataclasses.replace(CONFIG, metric="top-half@30")
    model = tiny_model(split.train.num_items)
    history = train(model, split, config, progress=False)
    ranks = rank_targets(model, split.validation)
    assert history.best_score == ranks.metric("top-half@30") == ranks.metric("HR@20")
    assert "top-half@30" in history.epochs[0]
    with pytest.raises(InputError, match="'middle@3' is not one of HR@k"):
        TrainingConfig(metric="middle@3")


def test_a_mask_from_outside(split, entered):
    def newest(tokens, masked, num_items, generator):
        """Hide the newest item, whatever was chosen."""
        masked = torch.zeros_like(masked)
        masked[:, -1] = True
        return torch.where(masked, num_items + 1, tokens), masked

    entered(MASKS, "newest", newest)
    tokens = torch.tensor([[0, 3, 5], [2, 4, 6]])
    inputs, labels = hide(tokens, tokens == 3, 40, "newest")
    assert inputs.tolist() == [[0, 3, 41], [2, 4, 41]]
    assert labels.tolist() == [[-100, -100, 5], [-100, -100, 6]]
    config = dataclasses.replace(CONFIG, mask_strategy="newest")
    assert train(tiny_model(split.train.num_items), split, config, progress=False).epochs
    with pytest.raises(InputError, match=r"mask_strategy must be one of mask, .*'newestt'.*newest"):
        TrainingConfig(mask_strategy="newestt")


def test_sublayers_from_outside(split, entered, tmp_path):
    class Mean(nn.Module):
        """Every position gets the mean of the visible ones."""

        def __init__(self, config):
            super().__init__()
            self.mix = nn.Linear(config.hidden_size, config.hidden_size)

        def forward(self, x, visible, collect=None, positions=None):
            weight = visible[:, 0].to(x.dtype)
            mean = weight @ x / weight.sum(dim=-1, keepdim=True)
            mean = mean.expand(-1, x.shape[1], -1) if mean.shape[1] == 1 else mean
            return self.mix(gather_positions(mean, positions))

    class Gated(nn.Module):
        def __init__(self, config):
            super().__init__()
            size = config.hidden_size
            self.gate, self.value = nn.Linear(size, size), nn.Linear(size, size)

        def forward(self, x):
            return torch.sigmoid(self.gate(x)) * self.value(x)

    entered(ATTENTIONS, "mean", Mean)
    entered(FEED_FORWARDS, "gated", Gated)
    model = tiny_model(split.train.num_items, attention="mean", feed_forward="gated")
    assert isinstance(model.model.transformer_encoders[0].attention, Mean)
    config = dataclasses.replace(CONFIG, muon_learning_rate=0.01)
    _, optimizers = loss_and_optimizers(model, split.train, config, 10)
    matrices = {id(p) for group in optimizers.all[1].param_groups for p in group["params"]}
    assert id(model.model.transformer_encoders[0].feed_forward.gate.weight) in matrices
    train(model, split, config, tmp_path, progress=False)
    histories = torch.tensor([[0, 1, 2], [3, 4, 5]])
    torch.testing.assert_close(BERT4Rec.load(tmp_path).score(histories), model.score(histories))
    with pytest.raises(InputError, match=r"attention must be one of multi-head, mean, not 'meen'"):
        ModelConfig(num_items=3, attention="meen")


def test_a_hook_after_each_epoch_sees_it_and_may_end_the_training(split):
    model, seen = tiny_model(split.train.num_items), []

    def on_epoch(history):
        score = rank_targets(model, split.validation).metric("NDCG@10")
        seen.append((len(history.epochs), score == history.epochs[-1]["NDCG@10"]))
        return len(history.epochs) == 2

    history = train(model, split, CONFIG, progress=False, on_epoch=on_epoch)
    assert seen == [(1, True), (2, True)]
    assert history.stopped == "on_epoch"
    assert len(history.epochs) == 2


# ------------------------------------------------------------------ no wait for the device

STEPS = [
    {},
    {"muon_learning_rate": 0.01},
    {"loss": "sampled-softmax", "num_negatives": 8},
    {"mask_strategy": "80-10-10"},
]


def step_on(device, split, changes, causal=False):
    """Everything of a step behind the batch; returns what a training would keep of it."""
    config = dataclasses.replace(CONFIG, **changes)
    model = tiny_model(split.train.num_items, causal=causal, num_segments=0).to(device).train()
    loss_of, optimizers = loss_and_optimizers(model, split.train, config, 10)
    finite = progress.FiniteCheck(config, torch.device(device))
    finite.every = progress.EVERY  # as on a GPU
    masks = config.mask_prob, config.last_item_prob, config.mask_strategy
    inputs, labels = next(ClozeBatches(split.train, 8, 16, *masks).epoch(1))

    def step():
        rate = optimizers.set_rate(1)
        loss = loss_of(inputs, labels)
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_gradients(model.parameters(), config.clip_norm)
        finite.check(1, rate, loss.detach(), norm)
        optimizers.step()
        return loss.detach(), norm

    return step


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("changes", [STEPS[0], STEPS[1], STEPS[3]])
def test_a_step_needs_no_value_from_the_device(split, changes, causal):
    """A tensor on "meta" has a shape and no values: to read one, or to count, would raise."""
    loss, norm = step_on("meta", split, changes, causal)()
    assert loss.is_meta
    assert norm.is_meta


class Reads(TorchDispatchMode):
    """Counts what a GPU would be waited for: values that are read, results of unknown size."""

    WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split(".")[0]
        indices = args[1] if name in ("index", "index_put") and len(args) > 1 else ()
        if name in self.WAITS or any(i is not None and i.dtype == torch.bool for i in indices):
            self.found.append(name)
        return function(*args, **(kwargs or {}))


def test_a_step_reads_what_the_batch_says_and_nothing_else(split):
    step, labels = step_on("cpu", split, {}), None
    step()  # the optimiser makes its state
    with Reads() as whole:
        step()
    labels = next(ClozeBatches(split.train, 8, 16).epoch(1))[1]
    with Reads() as alone:
        answers(labels)  # of labels on the CPU: how many there are, and where
    assert whole.found == alone.found


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("changes", [STEPS[0], STEPS[1], STEPS[3]])
def test_a_gpu_is_not_waited_for_in_a_step(split, changes):
    step = step_on("cuda", split, changes)
    step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("causal", [False, True])
def test_what_is_compiled_is_one_graph(split, causal):
    """Nothing in it reads a value, which would cut it in two."""
    model = tiny_model(split.train.num_items, causal=causal, num_segments=0).train()
    inputs, labels = next(ClozeBatches(split.train, 8, 16).epoch(1))
    compiled = torch.compile(model.answer_loss, backend="eager", fullgraph=True, dynamic=True)
    torch.manual_seed(0)
    found = compiled(inputs, *answers(labels))
    model.eval()
    compiled = torch.compile(model.answer_loss, backend="eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(compiled(inputs, *answers(labels)), model.loss(inputs, labels))
    assert found.isfinite()


@pytest.mark.parametrize("name", ["sampled-softmax", "gbce"])
def test_what_is_drawn_is_left_out_of_what_is_compiled(split, monkeypatch, name):
    def send(tensor, device):
        traced.append(torch.compiler.is_compiling())
        return tensor

    traced, original = [], torch.compile
    monkeypatch.setattr(losses, "send", send)
    monkeypatch.setattr(torch, "compile", lambda f, **k: original(f, backend="eager", **k))
    step = step_on("cpu", split, {"loss": name, "compile": True})
    loss, norm = step()
    assert loss.isfinite()
    assert norm.isfinite()
    assert traced
    assert not any(traced), "a copy to a GPU cannot be traced"


@pytest.mark.parametrize("first", [False, True])
def test_a_sampled_loss_goes_on_with_its_optimisers(split, tmp_path, first, monkeypatch):
    """Compiled, its tables are AdamW's; what one optimiser kept is not for another."""
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **k: original(f, backend="eager", **k))
    settings = {"loss": "sampled-softmax", "num_negatives": 8, "epochs": 2}
    one, other = (
        dataclasses.replace(CONFIG, **settings, compile=compiled) for compiled in (first, not first)
    )
    model = tiny_model(split.train.num_items, num_segments=0)
    train(model, split, one, tmp_path, progress=False, on_epoch=lambda history: True)
    with pytest.raises(InputError, match="needs the same `compile`"):
        train(model, split, other, tmp_path, resume=True, progress=False)
    assert len(train(model, split, one, tmp_path, resume=True, progress=False).epochs) == 2


def test_a_loss_that_is_no_number_is_found_some_steps_later_and_named_by_its_own():
    check = progress.FiniteCheck(CONFIG, torch.device("cpu"))
    check.every = 20
    fine, nan = torch.tensor(2.0), torch.tensor(torch.nan)
    for step in range(1, 20):
        check.check(step, 0.5, nan if step >= 7 else fine, fine)
    with pytest.raises(FloatingPointError, match=r"loss is nan .* norm 2 at step 7\. .* is 0\.5;"):
        check.check(20, 0.5, fine, fine)
    with pytest.raises(FloatingPointError, match="at step 7"):
        check.read()  # and at the end of an epoch


def test_a_mapped_log_is_not_copied(split, tmp_path):
    split.train.save(tmp_path)
    mapped = Sequences.open(tmp_path)
    batches = ClozeBatches(mapped, 8, 16)
    assert isinstance(mapped.tokens, np.memmap)
    assert np.shares_memory(batches.tokens.numpy(), mapped.tokens)


def test_the_precision_of_products_is_put_back(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    card, before = torch.device("cuda"), torch.get_float32_matmul_precision()
    for name, wanted in (("auto", "high"), ("tf32", "high"), ("float32", "highest")):
        with devices.precision(name, card):
            assert torch.get_float32_matmul_precision() == wanted
        assert torch.get_float32_matmul_precision() == before
    with devices.precision("tf32", torch.device("cpu")):  # a CPU has none
        assert torch.get_float32_matmul_precision() == before


def test_scores_are_float32_whatever_the_rest_is(split):
    """Under bf16, which has 8 bits, many items would tie."""
    model = tiny_model(split.train.num_items).eval()
    with torch.autocast("cpu", torch.bfloat16):
        scores = model.score(torch.tensor([[1, 2, 3]]))
    assert scores.dtype == torch.float32
    assert len(scores[0, 1:-1].unique()) == split.train.num_items


def test_the_default_loss_is_entered_by_name():
    assert LOSSES["cross-entropy"] is cross_entropy
