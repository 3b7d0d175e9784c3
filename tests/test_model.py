"""The reference structure, equality with known implementations, and what changes no score."""

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import tiny_model
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import IGNORE, PAD, BERT4Rec, InputError, ModelConfig
from bert4rec.model.sublayers import Dropout, MultiHeadedAttention

# The tree at the end of the design. Lines that stand for three alike are written once there.
REFERENCE = """
BERT4Rec(
  (model): BERT(
    (embedding): BERTEmbeddings(
      (token_embeddings): Embedding(3708, 256, padding_idx=0)
      (position_embeddings): Embedding(100, 256)
      (segment_embeddings): Embedding(3, 256, padding_idx=0)
      (layer_norm): LayerNorm((256,), eps=1e-06)
      (dropout): Dropout(p=0.1)
    )
    (transformer_encoders): ModuleList(
      (0-1): 2 x TransformerEncoder(
        (attention): MultiHeadedAttention(
          (query_linear), (key_linear), (value_linear): Linear(256, 256)
          (dropout): Dropout(p=0.1)
          (output_linear): Linear(256, 256)
        )
        (input_sublayer): SublayerConnection(
          (layer_norm): LayerNorm((256,), eps=1e-06)
          (dropout): Dropout(p=0.1)
        )
        (feed_forward): PositionwiseFeedForward(
          (feed_forward_1): Linear(256, 1024)
          (feed_forward_2): Linear(1024, 256)
          (dropout): Dropout(p=0.1)
          (activation): GELU()
        )
        (output_sublayer): SublayerConnection(
          (layer_norm): LayerNorm((256,), eps=1e-06)
          (dropout): Dropout(p=0.1)
        )
      )
    )
  )
  (out): Linear(256, 3708)
)
"""


def shorthand(tree: str) -> str:
    """Write torch's description of a module as the design does: without what is always so."""
    tree = re.sub(
        r"Linear\(in_features=(\d+), out_features=(\d+), bias=True\)", r"Linear(\1, \2)", tree
    )
    tree = tree.replace(", elementwise_affine=True", "").replace(", bias=True", "")
    tree = tree.replace(", inplace=False", "").replace("approximate='none'", "")
    alike = r"\(query_linear\): (.+)\n +\(key_linear\): \1\n +\(value_linear\): \1\n"
    return re.sub(alike, r"(query_linear), (key_linear), (value_linear): \1\n", tree)


def test_print_gives_the_reference_structure():
    assert shorthand(str(BERT4Rec(ModelConfig(num_items=3706)))) == REFERENCE.strip()


def test_every_argument_reaches_its_layer():
    config = ModelConfig(
        num_items=50, hidden_size=24, num_layers=3, num_heads=3, max_len=7,
        feed_forward_size=40, dropout=0.35, norm_first=True, tie_weights=True, num_segments=0,
    )  # fmt: skip
    model = BERT4Rec(config)
    dropouts = [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts == [0.35] * (1 + 3 * 4)
    encoder = model.model.transformer_encoders[2]
    assert encoder.feed_forward.feed_forward_1.weight.shape == (40, 24)
    assert encoder.attention.num_heads == 3
    assert encoder.input_sublayer.norm_first
    assert model.model.embedding.position_embeddings.weight.shape == (7, 24)
    assert not hasattr(model.model.embedding, "segment_embeddings")
    assert model.out.weight is model.model.embedding.token_embeddings.weight
    assert len(model.model.transformer_encoders) == 3


def test_the_initialiser_reaches_every_layer():
    torch.manual_seed(0)
    model = BERT4Rec(ModelConfig(num_items=200, hidden_size=64))
    for name, parameter in model.named_parameters():
        parameter = parameter.detach()
        if parameter.ndim > 1:
            assert parameter.abs().max() <= 0.04, name
            if "segment" not in name:
                assert parameter.std() == pytest.approx(0.0176, rel=0.05), name
        else:
            value = 1.0 if name.endswith("layer_norm.weight") else 0.0
            assert (parameter == value).all(), name
    assert (model.model.embedding.token_embeddings.weight[PAD] == 0).all()


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_attention_equals_torch(num_heads):
    config = ModelConfig(num_items=5, hidden_size=16, num_heads=num_heads, dropout=0.3)
    torch.manual_seed(0)
    mine = MultiHeadedAttention(config).eval()
    theirs = torch.nn.MultiheadAttention(16, num_heads, batch_first=True).eval()
    parts = (mine.query_linear, mine.key_linear, mine.value_linear)
    with torch.no_grad():
        for part in (*parts, mine.output_linear):
            part.bias.normal_()
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(mine.output_linear.state_dict())
    x = torch.randn(3, 7, 16)
    visible = torch.ones(3, 7, dtype=torch.bool)
    visible[0, :4] = False
    visible[2, :1] = False
    weights = []
    out = mine(x, visible[:, None, None, :], weights)
    expected, expected_weights = theirs(
        x, x, x, key_padding_mask=~visible, average_attn_weights=False
    )
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(weights[0], expected_weights, atol=1e-6, rtol=1e-5)


def test_encoder_equals_hugging_face_bert():
    transformers = pytest.importorskip("transformers")
    model = tiny_model(num_items=30, hidden_size=24, num_heads=4, num_layers=3, max_len=10)
    bert = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=32, hidden_size=24, num_hidden_layers=3, num_attention_heads=4,
            intermediate_size=96, max_position_embeddings=10, type_vocab_size=3,
            layer_norm_eps=1e-6, hidden_act="gelu", pad_token_id=0,
        ),
        add_pooling_layer=False,
    ).eval()  # fmt: skip
    ours = model.model
    names = {
        "attention.self.query": "attention.query_linear",
        "attention.self.key": "attention.key_linear",
        "attention.self.value": "attention.value_linear",
        "attention.output.dense": "attention.output_linear",
        "attention.output.LayerNorm": "input_sublayer.layer_norm",
        "intermediate.dense": "feed_forward.feed_forward_1",
        "output.dense": "feed_forward.feed_forward_2",
        "output.LayerNorm": "output_sublayer.layer_norm",
    }
    with torch.no_grad():
        bert.embeddings.word_embeddings.weight.copy_(ours.embedding.token_embeddings.weight)
        bert.embeddings.LayerNorm.load_state_dict(ours.embedding.layer_norm.state_dict())
        # theirs counts positions from the left, ours back from the newest: sequences of length 9
        positions = ours.embedding.position_embeddings.weight[:9].flip(0)
        bert.embeddings.position_embeddings.weight[:9].copy_(positions)
        bert.embeddings.token_type_embeddings.weight.copy_(ours.embedding.segment_embeddings.weight)
    for theirs, mine in zip(bert.encoder.layer, ours.transformer_encoders, strict=True):
        for their_name, my_name in names.items():
            theirs.get_submodule(their_name).load_state_dict(
                mine.get_submodule(my_name).state_dict()
            )

    tokens = torch.randint(1, 32, (4, 9))
    tokens[1, :5] = PAD
    segments = torch.randint(1, 3, (4, 9)).masked_fill(tokens == PAD, 0)
    real = tokens != PAD
    with torch.no_grad():
        expected = bert(tokens, attention_mask=real, token_type_ids=segments).last_hidden_state
        torch.testing.assert_close(
            ours(tokens, segments)[real], expected[real], atol=2e-6, rtol=1e-5
        )
        # no segments at all is theirs with segment 0, which is a row of zeros here
        expected = bert(tokens, attention_mask=real).last_hidden_state
        torch.testing.assert_close(ours(tokens)[real], expected[real], atol=2e-6, rtol=1e-5)


shapes = st.fixed_dictionaries(
    {
        "norm_first": st.booleans(),
        "tie_weights": st.booleans(),
        "num_segments": st.sampled_from([0, 3]),
    }
)


@settings(max_examples=40)
@given(shapes, st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 6))
def test_padding_batch_and_neighbours_change_no_score(shape, lengths, extra):
    model = tiny_model(num_items=20, **shape)
    rng = np.random.default_rng(sum(lengths))
    histories = [rng.integers(1, 21, n).tolist() for n in lengths]
    longest = max(lengths) + extra
    rows = [[PAD] * (longest - len(h)) + h for h in histories]
    batch = torch.tensor(rows, dtype=torch.long).reshape(len(rows), longest)
    together = model.score(batch)
    for row, history in zip(together, histories, strict=True):
        alone = model.score(torch.tensor([history], dtype=torch.long).reshape(1, -1))[0]
        torch.testing.assert_close(row, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("length", [0, 1, 6, 7, 8, 9, 30])
def test_the_newest_item_counts_at_every_length(length):
    """max_len is 8: the boundary is where [MASK] and the history just fit."""
    model = tiny_model(num_items=20)
    history = torch.randint(1, 20, (1, length))
    scores = model.score(history)
    assert scores.shape == (1, 22)
    if length:
        changed = history.clone()
        changed[0, -1] = 20
        assert not torch.allclose(model.score(changed)[:, 1:21], scores[:, 1:21], atol=1e-3)
        # the oldest that fits counts as well, what lies before it does not
        for place, counts in ((-7, True), (-8, False)):
            if length >= -place:
                changed = history.clone()
                changed[0, place] = 20
                same = torch.allclose(model.score(changed)[:, 1:21], scores[:, 1:21], atol=1e-5)
                assert same != counts


def test_padding_and_mask_are_never_recommended_and_scores_are_finite():
    model = tiny_model(num_items=20)
    scores = model.score(torch.tensor([[PAD, PAD, PAD], [1, 2, 3]]))
    assert torch.isneginf(scores[:, [0, 21]]).all()
    assert scores[:, 1:21].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_has_no_nan(dtype):
    model = tiny_model(num_items=20).to(dtype)
    out = model(torch.tensor([[PAD, PAD, PAD, PAD], [PAD, 1, 2, 21]]))
    assert out.isfinite().all()


def test_score_is_without_dropout_and_keeps_the_mode():
    model = tiny_model(num_items=20, dropout=0.5)
    history = torch.tensor([[1, 2, 3]])
    expected = model.score(history)
    model.train()
    torch.testing.assert_close(model.score(history), expected)
    assert model.training
    assert not torch.allclose(model(history), model(history))


def test_score_is_the_logits_at_an_appended_mask():
    model = tiny_model(num_items=20)
    tokens = torch.tensor([[3, 1, 4, 21]])
    torch.testing.assert_close(
        model.score(tokens[:, :3])[:, 1:21], model(tokens)[:, -1, 1:21].detach()
    )


def test_loss_equals_cross_entropy_over_all_positions():
    model = tiny_model(num_items=20)
    tokens = torch.tensor([[PAD, 21, 4, 21], [1, 2, 3, 21]])
    labels = torch.tensor([[IGNORE, 7, IGNORE, 2], [IGNORE, IGNORE, IGNORE, 5]])
    logits = model(tokens)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE)
    torch.testing.assert_close(model.loss(tokens, labels), expected)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_computing_only_the_masked_positions_changes_neither_loss_nor_gradients(
    norm_first, num_layers
):
    model = tiny_model(30, norm_first=norm_first, num_layers=num_layers)
    tokens = torch.tensor([[0, 0, 0, 4, 31, 6], [1, 31, 3, 31, 31, 6], [0, 9, 8, 7, 5, 31]])
    labels = torch.full_like(tokens, IGNORE)
    labels[tokens == 31] = torch.tensor([5, 2, 4, 9, 3])
    gradients = []
    for loss in (
        model.loss(tokens, labels),
        F.cross_entropy(model(tokens).flatten(0, 1), labels.flatten(), ignore_index=IGNORE),
    ):
        model.zero_grad()
        loss.backward()
        gradients.append([loss, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(gradients[0]) > 10 * num_layers
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(share):
    torch.manual_seed(0)
    dropout = Dropout(share).train()
    x = torch.ones(1000, 1001, requires_grad=True)
    y = dropout(x)
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(share, abs=1 / 256)
    assert y.mean().item() == pytest.approx(1, abs=5e-3)
    assert y.unique().tolist() == [0, pytest.approx(1 / (1 - round(256 * share) / 256))]
    # each row and column is dropped as often, and two draws differ
    for axis in (0, 1):
        assert (y == 0).float().mean(axis).std() < 0.02
    assert not torch.equal(y, dropout(x))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout_is_off_when_scoring_and_repeats_by_seed():
    x = torch.randn(50, 3)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)
    draws = []
    for _ in range(2):
        torch.manual_seed(7)
        draws.append(Dropout(0.5).train()(x))
    assert torch.equal(*draws)


def test_attention_weights_sum_to_one_and_skip_padding():
    model = tiny_model(num_items=20, num_layers=3)
    weights = model.attention(torch.tensor([[PAD, PAD, 4, 21]]))
    assert len(weights) == 3
    for layer in weights:
        assert layer.shape == (1, 2, 4, 4)
        torch.testing.assert_close(layer.sum(dim=-1), torch.ones(1, 2, 4))
        assert (layer[..., :2] == 0).all()


def test_unknown_tokens_and_long_sequences_are_errors():
    model = tiny_model(num_items=20)
    with pytest.raises(InputError, match=r"token 22 is not in the vocabulary.*1 … 20 are items"):
        model(torch.tensor([[22]]))
    with pytest.raises(InputError, match="token -1 is not"):
        model.score(torch.tensor([[-1]]))
    with pytest.raises(InputError, match=r"token 21 .*may not stand in a history"):
        model.score(torch.tensor([[21]]))
    with pytest.raises(InputError, match=r"is 9 long, max_len is 8"):
        model(torch.ones(1, 9, dtype=torch.long))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_len": 1}, "max_len must be at least 2.*not 1"),
        ({"num_items": 0}, "num_items must be at least 1, not 0"),
        ({"hidden_size": 10, "num_heads": 4}, "hidden_size 10 cannot be shared by num_heads 4"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), not 1.0"),
        ({"num_segments": 1}, "num_segments must be 0 or at least 2"),
        ({"feed_forward_size": 0}, "feed_forward_size must be at least 1"),
    ],
)
def test_bad_shapes(changes, message):
    with pytest.raises(InputError, match=message):
        ModelConfig(**{"num_items": 5} | changes)


def test_start_at_popularity():
    model = BERT4Rec(ModelConfig(num_items=3, hidden_size=8))
    model.start_at_popularity(np.array([0, 7, 1, 2, 0]))
    share = model.out.bias.detach().softmax(dim=0)
    expected = torch.tensor([0.5, 7.5, 1.5, 2.5, 0.5]) / 12.5
    torch.testing.assert_close(share, expected, atol=1e-6, rtol=1e-5)


def test_start_at_neighbours_leaves_padding_and_mask():
    model = tiny_model(20)
    table = model.model.embedding.token_embeddings.weight
    mask = table[-1].clone()
    vectors = torch.randn(22, 16)
    model.start_at_neighbours(vectors)
    torch.testing.assert_close(table[1:-1].std(), torch.tensor(0.1), atol=0.01, rtol=0)
    torch.testing.assert_close(F.normalize(table[1:-1], dim=1), F.normalize(vectors[1:-1], dim=1))
    assert torch.equal(table[-1], mask)
    assert not table[PAD].any()


@pytest.mark.parametrize("tied", [True, False])
def test_save_and_load(tmp_path, tied):
    model = tiny_model(num_items=20, tie_weights=tied)
    model.save(tmp_path / "m")
    loaded = BERT4Rec.load(tmp_path / "m")
    assert loaded.config == model.config
    assert (loaded.out.weight is loaded.model.embedding.token_embeddings.weight) == tied
    history = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(loaded.score(history), model.score(history))
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_damaged_model_folders(tmp_path):
    tiny_model(num_items=20).save(tmp_path / "model")
    weights, config = tmp_path / "model" / "model.safetensors", tmp_path / "model" / "config.json"
    with pytest.raises(InputError, match=r"no .*modle/config\.json.*Did you mean 'model'"):
        BERT4Rec.load(tmp_path / "modle")
    content, settings_ = weights.read_bytes(), config.read_text()
    weights.write_bytes(content[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        BERT4Rec.load(tmp_path / "model")
    weights.write_bytes(b"\x80\x04cos\nsystem\n")  # the start of a pickle is no safetensors file
    with pytest.raises(InputError, match="damaged"):
        BERT4Rec.load(tmp_path / "model")
    weights.write_bytes(content)
    changed = json.loads(settings_)
    changed["model"]["num_items"] = 21
    config.write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"does not fit its config\.json"):
        BERT4Rec.load(tmp_path / "model")
    config.write_text("{")
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        BERT4Rec.load(tmp_path / "model")
    weights.unlink()
    config.write_text(settings_)
    with pytest.raises(InputError, match=r"there is no .*model\.safetensors"):
        BERT4Rec.load(tmp_path / "model")
