"""Muon, an optimiser for the weight matrices inside the encoders.

Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the scale of
the update is from Liu et al. 2025, "Muon is scalable for LLM training", section 2.2.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch


class Muon(torch.optim.Optimizer):
    """Gradient descent with momentum, whose update is made orthogonal for each matrix.

    Adam scales every weight by itself. Muon sees a matrix as a whole: it gives all directions of
    the update the same length, the weak ones too, and so learns them sooner. The update has the
    size that AdamW's would have at the same learning rate; it bears a higher one.

    The same as `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")`, except that matrices of one
    shape are computed together, and in float32: bf16 takes as long as the rest of a training step
    on a CPU that lacks it.

    Args:
        parameters: two-dimensional.
        lr: the learning rate.
        weight_decay: each step first shrinks the weights by lr × weight_decay.
        momentum: of the running mean of gradients (Nesterov's).
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                gradients = [parameter.grad for parameter in parameters]
                means = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    means.append(state["momentum"])
                torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
                ahead = torch._foreach_lerp(gradients, means, group["momentum"])
                updates = orthogonal(torch.stack(ahead))
                scale = 0.2 * max(shape) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates), alpha=-group["lr"] * scale)


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Bring all singular values of each matrix near 1 (0.7 to 1.2), keeping its directions.

    A polynomial of odd degree, applied to a matrix in this way, is applied to its singular values.
    This one (Jordan et al. 2024) drives them towards 1 in few steps.

    Args:
        matrices: (count, rows, columns).

    Returns:
        The same shape.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.float()
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # largest singular value at most 1
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
