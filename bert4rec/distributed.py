"""Several processes as one: what `torchrun` starts, each with a share of every batch.

    torchrun --standalone --nproc-per-node=2 -m bert4rec train …

All processes draw the same batches and each takes every n-th row, so users are seen once per epoch
and the batches are those of a single process. Without torchrun nothing here does anything.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from .errors import InputError


def start(device: str | torch.device = "auto") -> None:
    """Join the group of processes that torchrun's environment names, if it does.

    Args:
        device: the device that is asked for: with "auto" or "cuda" each process of a machine takes
            a card of its own.

    Raises:
        InputError: several processes would share the one card that is named.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        return
    name = str(device)
    if name.startswith("cuda:") and _several_here():
        raise InputError(
            f"device {name!r} would put all processes on one card; use 'cuda' (--device cuda), "
            "which gives each its own."
        )
    if name in ("auto", "cuda") and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group(backend())
    # left to the interpreter's end, gloo's threads at times abort the process
    atexit.register(_leave)


def backend() -> str:
    """What carries tensors between processes: ranks and flags are on the CPU, losses on cards.

    torch by itself would choose for one of the two alone.
    """
    cards = torch.cuda.is_available() and dist.is_nccl_available()
    return "cpu:gloo,cuda:nccl" if cards else "gloo"


def place_of(device: torch.device) -> str:
    """A device, by a name that gives each of several processes a card of its own."""
    return device.type if _several_here() else str(device)


def _several_here() -> bool:
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1


def _leave() -> None:
    if dist.is_initialized():
        gc.collect()  # a wrapped model holds on to the group
        dist.destroy_process_group()


def count() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


class _Loss(nn.Module):
    def __init__(self, model: nn.Module, loss: Callable[..., torch.Tensor]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self.loss(inputs, labels)


def shared_loss(
    model: nn.Module, loss: Callable[..., torch.Tensor], ignore: int
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Wrap a loss so that its gradient is that of the whole batch, in every process.

    Args:
        model: whose parameters it depends on.
        loss: mean loss of inputs and labels, (batch, length) each.
        ignore: the label that counts for nothing.

    Returns:
        A function of the whole batch. Its value is this process's part: the parts add up to the
        mean loss of the batch (`total`). In a single process it is the loss itself. Gradients are
        shared for as long as the function is kept.
    """
    if count() == 1:
        return loss
    # the table of segments, if there is one, may get no gradient anywhere
    config: Any = model.config
    parallel = nn.parallel.DistributedDataParallel(
        _Loss(model, loss), find_unused_parameters=config.num_segments > 0
    )

    def part(inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        mine = slice(rank(), None, count())
        rows, answers = inputs[mine], labels[mine]
        share = (answers != ignore).sum() / (labels != ignore).sum()
        if len(rows) == 0:  # fewer rows than processes: join in, without weight
            rows, answers = inputs[:1], labels[:1]
        value = parallel(rows, answers) * share
        # gradients are averaged over the processes, and should be added up
        return value + (count() - 1) * (value - value.detach())

    return part


def total(value: torch.Tensor) -> torch.Tensor:
    """The sum of a tensor over all processes, where it was."""
    if count() == 1:
        return value
    together = value.clone()
    dist.all_reduce(together)
    return together


class Interrupts:
    """Ctrl-C during a training, raised only where nothing is left half done.

    Several processes must stop at the same step: one that stopped alone would leave the others
    waiting for it. So there a Ctrl-C is noted, and `check` raises it in all of them.
    """

    def __init__(self) -> None:
        self.noted = False
        self.holding = count() > 1
        self.before: Any = None

    def __enter__(self) -> Interrupts:
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # in a shell's background
        if threading.current_thread() is threading.main_thread() and not ignored:
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def _note(self, *signal_and_frame: object) -> None:
        self.noted = True
        if not self.holding:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt in every process if one of them was interrupted."""
        if count() > 1 and int(total(torch.tensor(int(self.noted)))):
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let a Ctrl-C wait until the end of a block."""
        before, self.holding = self.holding, True
        try:
            yield
        finally:
            self.holding = before
        if self.noted and not self.holding:
            raise KeyboardInterrupt
