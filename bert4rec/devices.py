"""Where the work runs: the device, its precision, and its memory."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from .errors import InputError


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Return a device by name; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        InputError: the device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"the device {str(name)!r} cannot be used: {str(error).splitlines()[0]} Use 'auto' or "
            "'cpu'."
        ) from error


PRECISIONS = ("auto", "float32", "tf32", "bf16")


@contextlib.contextmanager
def precision(name: str, device: torch.device) -> Iterator[contextlib.AbstractContextManager]:
    """Compute in a precision of PRECISIONS; yields the context for the forward passes.

    "auto" is the fastest that a device has: on a GPU bf16, if it has that in hardware, and TF32 for
    what stays in float32; elsewhere float32, as a CPU is never asked whether it has bf16. "bf16"
    is the same without a question. "tf32" rounds the factors of a GPU's products to 10 bits,
    "float32" rounds nothing.

    On a GPU attention is not left to cuDNN meanwhile: it makes a plan for every new shape, and
    batches seldom have the shape of the one before.
    """
    gpu = device.type == "cuda"
    bf16 = name == "bf16" or (
        # not where the card emulates it, slower than float32
        name == "auto" and gpu and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    before = torch.get_float32_matmul_precision(), torch.backends.cuda.cudnn_sdp_enabled()
    if gpu:
        torch.set_float32_matmul_precision("highest" if name == "float32" else "high")
        torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cuda.enable_cudnn_sdp(before[1])


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device; nobody waits for a copy from the CPU to a GPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        # what is not contiguous would be copied to memory that is not pinned
        return tensor.contiguous().pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, for the next ones to use.

    By default the C library of Linux returns large blocks to the system at once, and every step of
    a training, or batch of an evaluation, fetches them back, page by page: a quarter of the time on
    a CPU. The process then stays as large as it was at its peak.

    Returns:
        Whether the C library could be asked to (glibc can).
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # their numbers in malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    wanted = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    return all([mallopt(option, value) == 1 for option, value in wanted])
