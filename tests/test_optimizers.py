"""Muon against torch's, and the matrices that it makes."""

import pytest
import torch

from bert4rec.training.optimizers import Muon, orthogonal

SHAPES = [(16, 16), (16, 16), (64, 16), (16, 64)]


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]


def test_it_takes_the_steps_of_torch_muon():
    torch_muon = getattr(torch.optim, "Muon", None)
    if torch_muon is None:
        pytest.skip("this torch has no Muon to compare with")
    ours, theirs = parameters(), parameters()
    settings = {"lr": 0.05, "weight_decay": 0.1, "momentum": 0.9}
    mine = Muon(ours, **settings)
    other = torch_muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    for _ in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        mine.step()
        other.step()
    for start, a, b in zip(parameters(), ours, theirs, strict=True):
        # torch rounds to bf16, 8 bits of precision, in each of the five products
        assert (a - b).norm() < 0.02 * (a - start).norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_gives_all_directions_a_like_length(shape):
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape) * torch.tensor([1e-6, 1.0, 1e6])[:, None, None]
    left, values, right = torch.linalg.svd(orthogonal(matrices), full_matrices=False)
    assert values.min() > 0.3
    assert values.max() < 1.3
    # and turns none of them: U V' of the update is U V' of the gradient, as far as it is resolved
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    torch.testing.assert_close(left @ right, u @ v, atol=2e-3, rtol=0)


def test_parameters_without_gradient_stay():
    matrix, still = parameters()[:2]
    before = still.detach().clone()
    matrix.grad = torch.ones_like(matrix)
    Muon([matrix, still], lr=0.1).step()
    assert torch.equal(still, before)
