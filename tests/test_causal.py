"""The causal sibling: no look ahead, next items as labels, the same doors to it."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from helpers import make_log, tiny_model
from hypothesis import given
from hypothesis import strategies as st

from bert4rec import (
    IGNORE,
    PAD,
    BERT4Rec,
    NextItemBatches,
    Recommender,
    Sequences,
    TrainingConfig,
    Vocabulary,
    rank_targets,
    train,
)


@pytest.mark.parametrize("norm_first", [True, False])
def test_no_position_sees_a_later_one(norm_first):
    model = tiny_model(20, causal=True, norm_first=norm_first)
    tokens = torch.tensor([[0, 0, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])
    before = model(tokens)
    for place in range(1, 6):
        changed = tokens.clone()
        changed[:, place] = 19
        after = model(changed)
        torch.testing.assert_close(after[:, :place], before[:, :place])
        assert not torch.allclose(after[:, place:], before[:, place:])
    assert torch.isfinite(before).all()


def test_attention_is_zero_ahead_and_equals_torchs_own():
    model = tiny_model(20, causal=True)
    tokens = torch.tensor([[0, 3, 4, 5], [6, 7, 8, 9]])
    for weights in model.attention(tokens):
        assert torch.equal(weights, weights.tril())
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 4))
        assert (weights[0, :, 1:, 0] == 0).all()  # padding
    attention = model.model.transformer_encoders[0].attention
    x = torch.randn(2, 5, 16)
    visible = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]
    split = [
        linear(x).unflatten(-1, (2, -1)).transpose(1, 2)
        for linear in (attention.query_linear, attention.key_linear, attention.value_linear)
    ]
    expected = F.scaled_dot_product_attention(*split, is_causal=True).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attention(x, visible), attention.output_linear(expected))


def test_padding_and_the_shortcut_of_the_last_layer_change_nothing():
    model = tiny_model(20, causal=True)
    histories = torch.tensor([[3, 4, 5, 6]])
    padded = F.pad(histories, (4, 0))
    torch.testing.assert_close(model.score(padded), model.score(histories))
    torch.testing.assert_close(model.score(histories)[0, 1:-1], model(histories)[0, -1, 1:-1])
    tokens, labels = torch.tensor([[0, 3, 4, 5]]), torch.tensor([[IGNORE, 4, IGNORE, 6]])
    expected = F.cross_entropy(model(tokens).flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(model.loss(tokens, labels), expected)


def test_all_of_max_len_is_history_and_an_empty_one_is_answered():
    model = tiny_model(20, causal=True, max_len=4)
    assert model.history_length == 4
    long = torch.tensor([[9, 1, 2, 3, 4]])
    torch.testing.assert_close(model.score(long), model.score(long[:, 1:]))
    for empty in (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.int64)):
        scores = model.score(empty)
        assert torch.isfinite(scores[:, 1:-1]).all()
        assert torch.isneginf(scores[:, [0, -1]]).all()


@given(
    lengths=st.lists(st.integers(0, 15), min_size=1, max_size=6).filter(
        lambda found: max(found) > 1
    ),
    max_len=st.integers(2, 6),
    overlap=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_every_item_is_the_next_one_at_least_once(lengths, max_len, overlap):
    count = sum(lengths)
    tokens = np.arange(1, count + 1, dtype=np.int32)  # each item once
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    sequences = Sequences(tokens, offsets, np.arange(len(lengths)), Vocabulary(list(range(count))))
    seen = set()
    for inputs, labels in NextItemBatches(sequences, max_len, 3, overlap).epoch(1):
        assert inputs.shape == labels.shape
        assert inputs.shape[1] <= max_len
        assert torch.equal(labels == IGNORE, inputs == PAD)
        real = inputs != PAD
        assert torch.equal(labels[real], inputs[real] + 1)
        seen |= set(labels[real].tolist())
    firsts = {int(offsets[i]) + 1 for i in range(len(lengths))}
    alone = {int(offsets[i]) + 1 for i, length in enumerate(lengths) if length == 1}
    assert seen == set(tokens.tolist()) - firsts - alone


def test_it_learns_and_repeats_and_resumes(sequences, tmp_path):
    split = sequences.leave_one_out()
    config = TrainingConfig(epochs=30, batch_size=16, learning_rate=3e-3, device="cpu")

    def new():
        return tiny_model(sequences.num_items, causal=True, dropout=0.0)

    models = [new(), new(), new()]
    for model in models[:2]:
        train(model, split, config, progress=False)
    assert rank_targets(models[0], split.test).metric("NDCG@10") > 0.5
    for one, two in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, two)


def test_it_has_the_same_doors(tmp_path):
    recommender = Recommender.fit(
        make_log(), hidden_size=16, num_heads=2, max_len=8, epochs=2, batch_size=16, causal=True,
        min_user_count=1, min_item_count=1, device="cpu", progress=False, output=tmp_path,
    )  # fmt: skip
    loaded = Recommender.load(tmp_path)
    assert loaded.model.config.causal
    assert set(recommender.report.models) == {
        "SASRec + transitions", "SASRec", "item transitions", "popularity",
    }  # fmt: skip
    pd.testing.assert_frame_equal(
        loaded.recommend([101, 102]), recommender.recommend([101, 102]), atol=1e-5
    )
    table = loaded.explain([101, 102])
    assert table.index.tolist() == ["101", "102"]
    np.testing.assert_allclose(
        table.drop(columns=["gain", "of which"], level=0).sum(), 1, rtol=1e-5
    )
    assert len(loaded.explain([101])) == 1
    same = dataclasses.replace(loaded.model.config, causal=False)
    assert not torch.allclose(BERT4Rec(same).score(torch.tensor([[1, 2]])), torch.tensor(0.0))
