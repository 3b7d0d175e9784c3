"""Where the work runs: the device, its precision, and its memory."""

from __future__ import annotations

import contextlib
import ctypes

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


def pick_precision(name: str, device: torch.device) -> contextlib.AbstractContextManager:
    """Return the context to compute in: "bf16", "float32", or "auto" for the faster of them."""
    # A CPU is never asked whether it has bf16: there float32 is the faster choice anyway.
    wanted = name == "bf16" or (
        # not where the card emulates it, slower than float32
        name == "auto"
        and device.type == "cuda"
        and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()


def keep_freed_memory() -> bool:
    """Let this process keep the memory that tensors free, for the next ones to use.

    By default the C library of Linux returns large blocks to the system at once, and every step of
    a training fetches them back, page by page: a quarter of the time on a CPU. The process then
    stays as large as it was at its peak.

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
