"""What is hidden, what is shown, and that every history is covered."""

import numpy as np
import pytest
import torch
from helpers import make_log
from hypothesis import given, settings
from hypothesis import strategies as st

from bert4rec import IGNORE, PAD, ClozeBatches, InputError, Sequences, choose_masked, hide, windows


def batch_of(lengths, columns, num_items=20, seed=0):
    rng = np.random.default_rng(seed)
    rows = [[PAD] * (columns - n) + rng.integers(1, num_items + 1, n).tolist() for n in lengths]
    return torch.tensor(rows)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


batches = st.lists(st.integers(2, 9), min_size=1, max_size=20).map(lambda n: batch_of(n, 9))


@given(batches, st.floats(1e-6, 1 - 1e-6), st.floats(0, 1), st.integers(0, 2**40))
def test_every_row_hides_one_and_shows_one_and_padding_never(tokens, prob, last, seed):
    masked = choose_masked(tokens, prob, last, generator(seed))
    assert masked.any(dim=1).all()
    assert ((tokens != PAD) & ~masked).any(dim=1).all()
    assert not masked[tokens == PAD].any()


@given(batches, st.integers(0, 2**40), st.sampled_from(["mask", "80-10-10"]))
def test_labels_are_the_hidden_items_and_nothing_else(tokens, seed, strategy):
    masked = choose_masked(tokens, 0.4, 0.2, generator(seed))
    inputs, labels = hide(tokens, masked, 20, strategy, generator(seed))
    assert torch.equal(labels[masked], tokens[masked])
    assert (labels[~masked] == IGNORE).all()
    assert torch.equal(inputs[~masked], tokens[~masked])
    assert torch.equal(inputs == PAD, tokens == PAD)
    if strategy == "mask":
        assert (inputs[masked] == 21).all()
    else:
        assert ((inputs[masked] >= 1) & (inputs[masked] <= 21)).all()


def test_the_share_of_hidden_items_is_mask_prob_at_every_position():
    tokens = batch_of([50] * 4000, 50)
    masked = choose_masked(tokens, 0.2, 0.0, generator()).float()
    assert masked.mean() == pytest.approx(0.2, abs=0.003)
    assert masked.mean(dim=0).sub(0.2).abs().max() < 0.03  # the first and last position too


def test_a_forced_choice_is_uniform_over_the_items_of_a_row():
    tokens = batch_of([5] * 20_000, 9)
    lone = choose_masked(tokens, 1e-6, 0.0, generator()).float().mean(dim=0)
    assert lone[4:].sub(0.2).abs().max() < 0.02
    shown = 1 - choose_masked(tokens, 1 - 1e-6, 0.0, generator()).float().mean(dim=0)
    assert shown[4:].sub(0.2).abs().max() < 0.02


def test_last_item_only():
    tokens = batch_of([9, 2, 5] * 4000, 9)
    masked = choose_masked(tokens, 0.5, 1.0, generator())
    assert masked[:, -1].all()
    assert masked.sum() == len(tokens)
    share = choose_masked(batch_of([9] * 8000, 9), 0.6, 0.25, generator())
    only_last = share[:, -1] & (share.sum(dim=1) == 1)
    assert only_last.float().mean() == pytest.approx(0.25, abs=0.03)


def test_80_10_10_shares():
    tokens = torch.full((400, 50), 7)
    masked = torch.ones_like(tokens, dtype=torch.bool)
    inputs, labels = hide(tokens, masked, 1000, "80-10-10", generator())
    assert (inputs == 1001).float().mean() == pytest.approx(0.8, abs=0.01)
    assert (inputs == 7).float().mean() == pytest.approx(0.1, abs=0.01)
    others = inputs[(inputs != 1001) & (inputs != 7)]
    assert others.float().mean() == pytest.approx(500, abs=30)  # uniform over the catalogue
    assert (labels == 7).all()


def test_the_same_seed_gives_the_same_masks():
    tokens = batch_of([9] * 50, 9)
    one, two, other = (choose_masked(tokens, 0.3, 0.1, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("prob", [0, 1, -0.1, 1.5, float("nan")])
def test_a_probability_outside_0_1(prob):
    with pytest.raises(InputError, match=rf"mask_prob must lie between 0 and 1.*{prob}"):
        choose_masked(batch_of([3], 3), prob)


def test_other_bad_settings():
    tokens = batch_of([3, 1], 3)
    with pytest.raises(InputError, match=r"last_item_prob must lie in \[0, 1\], not 2"):
        choose_masked(tokens, 0.2, 2)
    with pytest.raises(InputError, match="row 1 has 1 items"):
        choose_masked(tokens, 0.2)
    with pytest.raises(InputError, match=r"mask_strategy must be one of.*'bert'"):
        hide(tokens, tokens > 0, 20, "bert")


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=10), st.integers(2, 20), st.integers(1, 20)
)
def test_windows_cover_every_history(lengths, max_len, stride):
    rows = [(user, step, step) for user, n in enumerate(lengths) for step in range(n)]
    import pandas as pd

    log = pd.DataFrame(rows, columns=["user", "item", "time"])
    sequences = Sequences.from_interactions(log)
    stride = min(stride, max_len)
    starts, stops = windows(sequences, max_len, stride)
    covered = np.zeros(sequences.num_interactions, dtype=bool)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for start, stop in zip(starts, stops, strict=True):
        assert 2 <= stop - start <= max_len
        assert owner[start] == owner[stop - 1]
        covered[start:stop] = True
    assert (covered == (sequences.lengths[owner] >= 2)).all()
    # each history's newest window ends at its newest item
    assert set(sequences.offsets[1:][sequences.lengths >= 2]) <= set(stops.tolist())


@pytest.fixture
def cloze_batches(sequences):
    return ClozeBatches(sequences, max_len=6, batch_size=8, overlap=0.5)


def test_an_epoch_sees_every_window_once(cloze_batches, sequences):
    starts, stops = windows(sequences, 6, 3)
    seen = []
    batches = list(cloze_batches.epoch(1))
    assert len(batches) == len(cloze_batches)
    for inputs, labels in batches:
        tokens = torch.where(labels == IGNORE, inputs, labels)
        seen += [tuple(row[row != PAD].tolist()) for row in tokens]
        assert (inputs[:, -1] != PAD).all()
        assert (inputs != PAD).any(dim=0).all()  # no column of padding alone
    expected = [tuple(sequences.tokens[a:b].tolist()) for a, b in zip(starts, stops, strict=True)]
    assert sorted(seen) == sorted(expected)


def test_epochs_differ_and_repeat(cloze_batches):
    def flat(epoch):
        return [row.tolist() for inputs, _ in cloze_batches.epoch(epoch) for row in inputs]

    first = flat(1)
    assert flat(2) != first
    assert flat(1) == first  # whatever ran in between


@settings(max_examples=20)
@given(st.integers(0, 100))
def test_little_of_a_batch_is_padding(seed):
    sequences = Sequences.from_interactions(make_log(num_users=200, low=2, high=40, seed=seed))
    inputs = [i for i, _ in ClozeBatches(sequences, 40, 16, seed=seed).epoch(1)]
    padding = sum(int((i == PAD).sum()) for i in inputs) / sum(i.numel() for i in inputs)
    assert padding < 0.12


def test_batches_reject_bad_settings(sequences, log):
    with pytest.raises(InputError, match=r"overlap must lie in \[0, 1\), not 1"):
        ClozeBatches(sequences, 6, 8, overlap=1)
    lonely = log.drop_duplicates("user")
    with pytest.raises(InputError, match="no training history has the 2 items"):
        ClozeBatches(Sequences.from_interactions(lonely), 6, 8)
