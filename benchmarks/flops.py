"""How many floating-point operations a training step needs, and how many the machine can do."""

from __future__ import annotations

import time

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
