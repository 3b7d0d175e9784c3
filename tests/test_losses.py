"""The loss in blocks is torch's cross-entropy, in value and in every gradient."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bert4rec.model import losses
from bert4rec.model.losses import ROWS, cross_entropy, gbce, sampled_softmax


def losses_and_gradients(function, tensors, labels, scale=1.0):
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    loss = function(*leaves, labels)
    (scale * loss).backward()
    return [loss.detach(), *(leaf.grad for leaf in leaves)]


def plain(hidden, weight, bias, labels):
    return F.cross_entropy(F.linear(hidden, weight, bias), labels)


@given(
    answers=st.sampled_from([1, 2, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS + 3]),
    tokens=st.integers(2, 40),
    spread=st.sampled_from([0.01, 1.0, 30.0]),
    seed=st.integers(0, 1000),
)
def test_it_equals_torch(answers, tokens, spread, seed):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(answers, 5, generator=generator)
    weight = spread * torch.randn(tokens, 5, generator=generator)
    bias = torch.randn(tokens, generator=generator)
    labels = torch.randint(tokens, (answers,), generator=generator)
    found, expected = (
        losses_and_gradients(function, (hidden, weight, bias), labels, scale=3.0)
        for function in (cross_entropy, plain)
    )
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_label_of_no_probability_costs_its_distance():
    hidden, weight = torch.ones(1, 1), torch.tensor([[0.0], [1000.0]])
    loss = cross_entropy(hidden, weight, torch.zeros(2), torch.tensor([0]))
    assert loss.item() == pytest.approx(1000.0)  # exp(-1000) is 0 in every precision


def test_without_gradients_it_is_the_same():
    tensors = torch.randn(7, 4), torch.randn(9, 4), torch.randn(9)
    labels = torch.arange(7)
    with torch.no_grad():
        assert cross_entropy(*tensors, labels).item() == pytest.approx(plain(*tensors, labels))


def test_under_autocast_it_is_torchs():
    tensors = torch.randn(7, 4), torch.randn(9, 4), torch.randn(9)
    labels = torch.arange(7)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cross_entropy(*tensors, labels), plain(*tensors, labels))


def test_a_large_catalogue_is_taken_in_small_blocks(monkeypatch):
    tensors, labels = (torch.randn(7, 4), torch.randn(9, 4), torch.randn(9)), torch.arange(7)
    expected = losses_and_gradients(plain, tensors, labels)
    monkeypatch.setattr(losses, "LOGITS", 20)  # two rows of nine
    torch.testing.assert_close(losses_and_gradients(cross_entropy, tensors, labels), expected)


def test_a_large_catalogue_is_taken_in_blocks_elsewhere_too(monkeypatch):
    """On a GPU torch's own computes; autocast takes that way on a CPU."""
    tensors, labels = (torch.randn(7, 4), torch.randn(9, 4), torch.randn(9)), torch.arange(7)
    seen, original = [], F.linear

    def linear(rows, weight, bias):
        seen.append(len(rows))
        return original(rows, weight, bias)

    def under_autocast(function):
        with torch.autocast("cpu", torch.bfloat16):
            return losses_and_gradients(function, tensors, labels)

    expected = under_autocast(plain)
    monkeypatch.setattr(losses, "LOGITS_ON_GPU", 20)  # two rows of nine
    monkeypatch.setattr(F, "linear", linear)
    torch.testing.assert_close(under_autocast(cross_entropy), expected, atol=1e-2, rtol=1e-2)
    assert set(seen) == {2, 1}, "and the logits of a block are computed again, not kept"
    assert len(seen) == 8


def logits(answers=50, items=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(answers, items, generator=generator, dtype=torch.float64)
    return z.requires_grad_(), torch.randint(items, (answers,), generator=generator)


def test_sampled_softmax_of_every_item_once_is_cross_entropy():
    z, labels = logits()
    drawn = torch.arange(12)
    log_q = torch.full((12,), -math.log(12.0))
    found = sampled_softmax(
        z.gather(1, labels[:, None])[:, 0], z[:, drawn], drawn == labels[:, None], log_q
    )
    expected = F.cross_entropy(z, labels)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, z)[0], torch.autograd.grad(expected, z)[0]
    )


@pytest.mark.parametrize("skew", [0.0, 1.0])
def test_sampled_softmax_estimates_cross_entropy_whatever_it_is_drawn_by(skew):
    """The correction is what makes it so: without it a skewed draw is off."""
    z, labels = logits(answers=200)
    q = torch.arange(1, 13, dtype=torch.float64) ** -skew
    q /= q.sum()
    positive = z.gather(1, labels[:, None])[:, 0]
    drawn = torch.multinomial(q, 20_000, replacement=True)
    same = drawn == labels[:, None]
    expected = F.cross_entropy(z, labels)
    found = sampled_softmax(positive, z[:, drawn], same, q[drawn].log())
    torch.testing.assert_close(found, expected, rtol=0.01, atol=0.0)
    wrong = sampled_softmax(positive, z[:, drawn], same, torch.full((20_000,), -math.log(12)))
    assert (abs(wrong - expected) > 0.02 * expected) == bool(skew)


def test_gbce_by_its_formula():
    z, labels = logits()
    drawn = torch.tensor([3, 5, 5, 7])
    positive, same = z.gather(1, labels[:, None])[:, 0], drawn == labels[:, None]
    for t in (0.0, 0.75, 1.0):
        expected = 0.0
        a = 4 / 11
        b = a * (t * (1 - 1 / a) + 1 / a)
        for row in range(50):
            terms = b * math.log(torch.sigmoid(positive[row]))
            for place, item in enumerate(drawn.tolist()):
                if item != labels[row]:
                    terms += math.log(1 - torch.sigmoid(z[row, drawn[place]]))
            expected -= terms / 5 / 50
        assert gbce(positive, z[:, drawn], same, 12, t).item() == pytest.approx(expected)
    plain_bce = gbce(positive, z[:, drawn], same & False, 12, 0.0)
    both = torch.cat([positive[:, None], z[:, drawn]], dim=1)
    target = torch.zeros_like(both)
    target[:, 0] = 1
    torch.testing.assert_close(plain_bce, F.binary_cross_entropy_with_logits(both, target))
    # t = 1 with all negatives would be plain binary cross-entropy too
    assert gbce(positive, z[:, :11], same[:, :1] & False, 12, 1.0) == gbce(
        positive, z[:, :11], same[:, :1] & False, 12, 0.0
    )
