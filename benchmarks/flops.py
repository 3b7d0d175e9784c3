"""How many floating-point operations a training step needs, and how many the machine can do."""

from __future__ import annotations

import time
from collections import Counter

import torch


def needed_by_step(config, inputs: torch.Tensor, labels: torch.Tensor) -> int:
    """Operations in the matrix multiplications of one step, forward and backward.

    Only what the loss depends on counts: real tokens, not padding, and in the last layer and the
    output the masked positions alone. A product of (a, b) by (b, c) is 2abc operations; backward
    takes two such products for each.

    Args:
        config: a ModelConfig with as many layers as you like.
        inputs, labels: (batch, length), as ClozeBatches gives them.
    """
    size, inner = config.hidden_size, config.feed_forward_size or 4 * config.hidden_size
    lengths = (inputs != 0).sum(1)
    masked = (labels != -100).sum(1)
    tokens, answers = int(lengths.sum()), int(masked.sum())
    pairs, last_pairs = int((lengths**2).sum()), int((lengths * masked).sum())
    layer = tokens * (4 * size**2 + 2 * size * inner) + 2 * size * pairs
    last = tokens * 2 * size**2 + answers * (2 * size**2 + 2 * size * inner)
    last += 2 * size * last_pairs
    output = answers * size * config.num_tokens
    return 3 * 2 * ((config.num_layers - 1) * layer + last + output)


def peak(device: str = "cpu", size: int = 2048, seconds: float = 2.0) -> float:
    """Operations per second of a square float32 matrix product (bf16 on a GPU), the best seen."""
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    if device != "cpu":
        size *= 4
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        started = time.perf_counter()
        a @ b
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best


def seconds_of_products(config, tokens: int, answers: int, sequences: int) -> float:
    """How long the matrix products of a step take by themselves, in their own shapes.

    A product with a short side is slower than a square one, so this is nearer to what a step could
    reach than `peak` is. Forward and backward, on the CPU, the best of some repetitions of each.

    Args:
        config: a ModelConfig.
        tokens, answers, sequences: real tokens, masked positions and sequences in the step.
    """
    size, inner = config.hidden_size, config.feed_forward_size or 4 * config.hidden_size
    length, head = tokens // sequences, size // config.num_heads
    wide = [(tokens, size, size)] * 4 + [(tokens, size, inner), (tokens, inner, size)]
    last = [(tokens, size, size)] * 2 + [(answers, size, size)] * 2
    last += [(answers, size, inner), (answers, inner, size), (answers, size, config.num_tokens)]
    linears = wide * (config.num_layers - 1) + last
    total = 0.0
    for (rows, inputs, outputs), count in Counter(linears).items():
        for shape in (
            (rows, inputs, outputs),
            (rows, outputs, inputs),  # the gradient of the inputs
            (inputs, rows, outputs),  # the gradient of the weights
        ):
            total += count * _seconds((1, *shape))
    # attention: queries by keys, weights by values; twice as much backward
    heads = sequences * config.num_heads
    queries = [length] * (config.num_layers - 1) + [max(1, answers // sequences)]
    for many in queries:
        total += 3 * _seconds((heads, many, head, length))
        total += 3 * _seconds((heads, many, length, head))
    return total


def _seconds(shape: tuple[int, int, int, int], repetitions: int = 5) -> float:
    """A product of (batch, rows, middle) by (batch, middle, columns)."""
    batch, rows, middle, columns = shape
    a, b = torch.randn(batch, rows, middle), torch.randn(batch, middle, columns)
    out = torch.empty(batch, rows, columns)
    if batch == 1:
        a, b, out = a[0], b[0], out[0]
    best = float("inf")
    for _ in range(repetitions):
        started = time.perf_counter()
        torch.matmul(a, b, out=out)
        best = min(best, time.perf_counter() - started)
    return best
