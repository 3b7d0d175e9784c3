"""What the benchmarks count."""

import sys

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, tiny_model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bert4rec import IGNORE

sys.path.insert(0, str(ROOT / "benchmarks"))
from flops import needed_by_step


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_the_operations_needed_are_those_that_torch_counts(num_layers):
    def plain(hidden, weight, bias, labels):  # torch counts no product written to a given place
        return F.cross_entropy(F.linear(hidden, weight, bias), labels)

    model = tiny_model(30, num_layers=num_layers, attention_dropout=0.0).train()
    tokens = torch.randint(1, 31, (5, 8))
    labels = torch.full_like(tokens, IGNORE)
    labels[:, [2, 5, 7]] = tokens[:, [2, 5, 7]]  # as many in each row: nothing is filled up
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model.loss(tokens, labels, loss=plain).backward()
    assert needed_by_step(model.config, tokens, labels) == counter.get_total_flops()


def test_padding_and_hidden_work_is_not_needed():
    model = tiny_model(30)
    tokens = torch.tensor([[0, 0, 0, 3, 4, 31], [0, 0, 0, 5, 31, 7]])
    labels = torch.where(tokens == 31, 9, IGNORE)
    short = needed_by_step(model.config, tokens[:, 3:], labels[:, 3:])
    assert needed_by_step(model.config, tokens, labels) == short
