"""The training losses: cross-entropy over the whole catalogue, and two that look at a sample of it.

With logits z = hidden @ weight.T + bias of n items and the label y, in nats per answer:

    cross-entropy      log(sum of exp(z)) - z[y]                        (Sun et al. 2019, eq. 8)
    sampled softmax    the sum is estimated from k items drawn with probability q: exp(z[y]) and
                       exp(z[j] - log(k q[j])) for each drawn j           (Bengio and Senécal 2008)
    gBCE               -(b log s(z[y]) + sum of log(1 - s(z[j]))) / (k + 1), s the logistic
                       function, b = a (t (1 - 1/a) + 1/a), a = k / (n - 1)
                                                               (Petrov and Macdonald 2023, eq. 12)

The samples are shared by all answers of a step, so a step costs answers × (k + 1) products instead
of answers × n.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from ..data import Sequences
from ..devices import send
from ..registry import Registry

ROWS = 512  # answers at a time: a few MB of logits, which stay in the processor's cache
LOGITS = 2**24  # but no more logits than these, 64 MB, of a large catalogue
LOGITS_ON_GPU = 2**28  # at a time: 4 GB with their copies and gradients


def cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy of the logits `hidden @ weight.T + bias`.

    It equals `F.cross_entropy(F.linear(hidden, weight, bias), labels)`. On a CPU that would write
    and read the logits, (answers, tokens), seven times through memory. Here a block of rows goes
    all the way to its gradients before the next one begins, in seven to nine tenths of the time.
    On a GPU it is torch's own, a block at a time where the logits would take more than 4 GB with
    their copies and gradients (unless it is compiled).

    Args:
        hidden: (answers, hidden), the vectors at the masked positions.
        weight, bias: (tokens, hidden) and (tokens,), the output layer.
        labels: (answers,) int64, the token that is right at each.

    Returns:
        A scalar, in nats per answer.
    """
    elsewhere = hidden.device.type != "cpu" or torch.compiler.is_compiling()
    if elsewhere or torch.is_autocast_enabled("cpu"):
        return _by_torch(hidden, weight, bias, labels)
    return _InBlocks.apply(hidden, weight, bias, labels)


def _by_torch(hidden, weight, bias, labels) -> torch.Tensor:
    def summed(rows: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(F.linear(rows, weight, bias), right, reduction="sum")

    size = max(1, LOGITS_ON_GPU // len(weight))
    if torch.compiler.is_compiling() or len(hidden) <= size:
        return F.cross_entropy(F.linear(hidden, weight, bias), labels)
    # the logits of a block are computed again for its gradients, and never kept
    blocks = zip(hidden.split(size), labels.split(size), strict=True)
    parts = [
        checkpoint(summed, *block, use_reentrant=False, preserve_rng_state=False)
        for block in blocks
    ]
    return torch.stack(parts).sum() / len(hidden)


class _InBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, bias, labels):
        gradients = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        by_hidden, by_weight, by_bias = gradients
        size = max(1, min(ROWS, len(hidden), LOGITS // len(weight)))
        space = hidden.new_empty(size, len(weight))
        total = hidden.new_zeros(())
        for begin in range(0, len(hidden), size):
            rows, right = hidden[begin : begin + size], labels[begin : begin + size, None]
            logits = torch.addmm(bias, rows, weight.t(), out=space[: len(rows)])
            highest, at_label = logits.amax(dim=1, keepdim=True), logits.gather(1, right)
            shares = torch.softmax(logits, dim=1, out=logits)
            # log(sum(exp(z))): the highest logit less the log of the share it got
            total += (highest - shares.amax(dim=1, keepdim=True).log() - at_label).sum()
            shares.scatter_add_(1, right, torch.full_like(at_label, -1.0))
            torch.mm(shares, weight, out=by_hidden[begin : begin + size])
            by_weight.addmm_(shares.t(), rows)
            by_bias += shares.sum(dim=0)
        ctx.save_for_backward(*gradients)
        ctx.answers = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx, scale):
        return *(scale / ctx.answers * gradient for gradient in ctx.saved_tensors), None


def sampled_softmax(
    positive: torch.Tensor, negative: torch.Tensor, same: torch.Tensor, log_q: torch.Tensor
) -> torch.Tensor:
    """Mean cross-entropy with the catalogue's sum estimated from drawn items (log-Q correction).

    A drawn item that is the label is left out: the label is in the sum already, once and exactly.

    Args:
        positive: (answers,) logits of the labels.
        negative: (answers, k) logits of the drawn items.
        same: (answers, k) bool, where a drawn item is the answer's label.
        log_q: (k,) the log of the probability that each was drawn with.

    Returns:
        A scalar, in nats per answer.
    """
    corrected = negative - (log_q + math.log(negative.shape[1]))
    corrected = corrected.masked_fill(same, -torch.inf)
    total = torch.cat([positive[:, None], corrected], dim=1).logsumexp(dim=1)
    return (total - positive).mean()


def gbce(
    positive: torch.Tensor, negative: torch.Tensor, same: torch.Tensor, num_items: int, t: float
) -> torch.Tensor:
    """Generalised binary cross-entropy: less weight on the positive, as few negatives were drawn.

    With few negatives plain binary cross-entropy (t = 0) is overconfident: the positives' scores
    grow beyond what the items that were not drawn would allow. t = 1 calibrates it fully.

    Args:
        positive, negative, same: as in `sampled_softmax`; the items were drawn uniformly.
        num_items: the size of the catalogue.
        t: the calibration, in [0, 1].

    Returns:
        A scalar.
    """
    count = negative.shape[1]
    share = count / max(1, num_items - 1)
    power = share * (t * (1 - 1 / share) + 1 / share)
    missed = F.logsigmoid(-negative).masked_fill(same, 0.0).sum(dim=1)
    return -((power * F.logsigmoid(positive) + missed) / (count + 1)).mean()


class Loss(Protocol):
    """What LOSSES holds: a function of these arguments, or a class whose instances are one.

    A class is called with the counts (num_items + 2,) of each token in training and with the
    `TrainingConfig`. Its attribute `sparse` says that it touches few rows of the output table, and
    asks, when it is set, for a gradient that names them instead of one as large as the table.
    """

    def __call__(
        self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """The loss of `cross_entropy`'s arguments, a scalar."""


LOSSES: Registry[Any] = Registry("loss")
LOSSES["cross-entropy"] = cross_entropy


def make_loss(name: str, train: Sequences, settings: Any) -> Loss:
    """Return a loss of LOSSES, made for a log and a `TrainingConfig`."""
    LOSSES.check(name)
    entry = LOSSES[name]
    # only a class asks for the counts, which are a pass over the log
    return entry(train.item_counts(), settings) if isinstance(entry, type) else entry


class _Sampled:
    """A loss that draws its negatives anew for each step, from torch's generator on the CPU.

    The rows of the output table are taken by a lookup, so nothing as large as it is computed.
    """

    sparse = True

    def __init__(self, counts: np.ndarray, settings: Any):
        self.num_items, self.num_negatives = len(counts) - 2, settings.num_negatives

    def draw(self) -> torch.Tensor:
        """(k,) items counted from 0, with replacement."""
        return torch.randint(self.num_items, (self.num_negatives,))

    def __call__(
        self, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """The loss of `cross_entropy`'s arguments."""
        items = self.draw()
        drawn = send(items + 1, hidden.device)
        rows = F.embedding(torch.cat([labels, drawn]), weight, sparse=self.sparse)
        positive = (hidden * rows[: len(labels)]).sum(dim=1) + bias[labels]  # (answers,)
        negative = hidden @ rows[len(labels) :].t() + bias[drawn]  # (answers, k)
        return self.value(positive, negative, drawn == labels[:, None], items)

    def value(
        self,
        positive: torch.Tensor,
        negative: torch.Tensor,
        same: torch.Tensor,
        items: torch.Tensor,
    ) -> torch.Tensor:
        raise NotImplementedError


@LOSSES.register("sampled-softmax")
class SampledSoftmax(_Sampled):
    """`sampled_softmax` of items drawn in proportion to how often they occur in training, plus one:
    the likely ones are the ones to tell apart.
    """

    def __init__(self, counts: np.ndarray, settings: Any):
        super().__init__(counts, settings)
        weight = torch.from_numpy(counts[1:-1]).double() + 1
        self.cumulative = (weight / weight.sum()).cumsum(0)
        self.log_q = (weight / weight.sum()).log().float()

    def draw(self) -> torch.Tensor:
        drawn = torch.searchsorted(self.cumulative, torch.rand(self.num_negatives).double())
        return drawn.clamp_(max=self.num_items - 1)  # the last sum may be a rounding below 1

    def value(self, positive, negative, same, items):
        return sampled_softmax(positive, negative, same, send(self.log_q[items], same.device))


@LOSSES.register("gbce")
class GBCE(_Sampled):
    """`gbce` of items drawn uniformly, which its calibration is made for."""

    def __init__(self, counts: np.ndarray, settings: Any):
        super().__init__(counts, settings)
        self.t = settings.calibration

    def value(self, positive, negative, same, items):
        return gbce(positive, negative, same, self.num_items, self.t)
