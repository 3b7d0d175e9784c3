"""The training loss: cross-entropy over the whole catalogue, without ever holding all its logits.

With logits z of n items and the label y, the loss of one answer is log(sum(exp(z))) - z[y], and
its gradient by the logits is softmax(z) minus 1 at y (Sun et al. 2019, equation 8).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

ROWS = 512  # answers at a time: a few MB of logits, which stay in the processor's cache


def cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the logits `hidden @ weight.T + bias`.

    It equals `F.cross_entropy(F.linear(hidden, weight, bias), labels)`. On a CPU that would write
    and read the logits, (answers, tokens), seven times through memory. Here a block of rows goes
    all the way to its gradients before the next one begins, in two thirds of the time.

    Args:
        hidden: (answers, hidden), the vectors at the masked positions.
        weight, bias: (tokens, hidden) and (tokens,), the output layer.
        labels: (answers,) int64, the token that is right at each.

    Returns:
        A scalar, in nats per answer.
    """
    elsewhere = hidden.device.type != "cpu" or torch.compiler.is_compiling()
    if elsewhere or torch.is_autocast_enabled("cpu"):
        return F.cross_entropy(F.linear(hidden, weight, bias), labels)
    return _InBlocks.apply(hidden, weight, bias, labels)


class _InBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, labels):
        gradients = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        by_hidden, by_weight, by_bias = gradients
        space = hidden.new_empty(min(ROWS, len(hidden)), len(weight))
        total = hidden.new_zeros(())
        for begin in range(0, len(hidden), ROWS):
            rows, right = hidden[begin : begin + ROWS], labels[begin : begin + ROWS, None]
            logits = torch.addmm(bias, rows, weight.t(), out=space[: len(rows)])
            highest, at_label = logits.amax(dim=1, keepdim=True), logits.gather(1, right)
            shares = torch.softmax(logits, dim=1, out=logits)
            # log(sum(exp(z))): the highest logit less the log of the share it got
            total += (highest - shares.amax(dim=1, keepdim=True).log() - at_label).sum()
            shares.scatter_add_(1, right, torch.full_like(at_label, -1.0))
            torch.mm(shares, weight, out=by_hidden[begin : begin + ROWS])
            by_weight.addmm_(shares.t(), rows)
            by_bias += shares.sum(dim=0)
        ctx.save_for_backward(*gradients)
        ctx.answers = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx, scale):
        return *(scale / ctx.answers * gradient for gradient in ctx.saved_tensors), None
