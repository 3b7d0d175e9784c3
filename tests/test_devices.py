"""Memory that a process keeps."""

import subprocess
import sys

import pytest
from helpers import make_log

from bert4rec import Popularity, Sequences, rank_targets
from bert4rec.evaluation import ranks

CODE = """
import ctypes, resource, torch
from bert4rec.devices import keep_freed_memory
print({keep} and keep_freed_memory())
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        [torch.ones(16_000_000) for _ in range(3)]  # 64 MB: glibc maps blocks of that size anew
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc, the C library of Linux")
def test_freed_memory_is_used_again_instead_of_fetched_anew():
    outputs = [
        subprocess.run(
            [sys.executable, "-c", CODE.format(keep=keep)],
            capture_output=True, text=True, check=True,
        ).stdout.split()
        for keep in (False, True)
    ]  # fmt: skip
    (_, without), (kept, with_it) = outputs
    if kept == "False":
        pytest.skip("this C library cannot be asked")
    assert int(with_it) < int(without) / 10


def test_many_histories_keep_it_and_few_do_not(monkeypatch):
    asked = []
    monkeypatch.setattr(ranks, "keep_freed_memory", lambda: asked.append(True))
    split = Sequences.from_interactions(make_log(num_users=30)).leave_one_out()
    for batch_size, wanted in ((30, []), (29, [True])):
        rank_targets(Popularity(split.train), split.test, batch_size=batch_size)
        assert asked == wanted
