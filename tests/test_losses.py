"""The loss in blocks is torch's cross-entropy, in value and in every gradient."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from bert4rec.losses import ROWS, cross_entropy


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
