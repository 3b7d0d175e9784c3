"""Two processes on one machine do what one does, and say so when one of them dies."""

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from helpers import make_log

from bert4rec import cli

TINY = [
    "--hidden-size", "16", "--num-heads", "2", "--max-len", "8", "--batch-size", "15",
    "--epochs", "3", "--dropout", "0", "--num-segments", "3", "--device", "cpu",
    "--min-user-count", "1", "--min-item-count", "1",
]  # fmt: skip

# a process that dies in its second epoch
DIES = """
import os, sys
from bert4rec import cli
from bert4rec.training.checkpoint import Checkpoint
if os.environ["RANK"] == "1":
    original = Checkpoint.keep
    def die(self, row):
        if row["step"] > 3:
            print("this process dies", file=sys.stderr)
            os._exit(17)
        return original(self, row)
    Checkpoint.keep = die
sys.exit(cli.main(sys.argv[1:]))
"""


def two_processes(*command):
    """Run a script, or a module after "-m", under torchrun."""
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    start += ["--standalone"]  # a port of its own, so that two jobs can run at once
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for _ in range(2):
        done = subprocess.run(
            [*start, *map(str, command)], capture_output=True, text=True, env=environment,
            timeout=300,
        )  # fmt: skip
        # gloo's threads can abort a process that has done all its work (seen on a crowded machine)
        if "terminate called without an active exception" not in done.stderr:
            break
    return done


def one_process(*command):
    """Run the command line, or a script, here: it costs no start. Returns what was printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if command[0] == "-m":
            assert cli.main([str(word) for word in command[2:]]) in (0, None)
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [str(word) for word in command])
                runpy.run_path(str(command[0]))
    return printed.getvalue()


def command(folder, output):
    args = ["train", "--data", folder / "log.csv", "--output", folder / output, *TINY]
    return [*args, "--log-dir", folder / "logs"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    make_log(num_users=31).to_csv(folder / "log.csv", index=False)
    one_process("-m", "bert4rec", *command(folder, "one"))
    return folder


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_two_at_half_a_batch_are_one_at_a_whole(folder):
    two = two_processes("-m", "bert4rec", *command(folder, "two"))
    assert two.returncode == 0, two.stderr
    one, two_metrics = metrics(folder / "one"), metrics(folder / "two")
    for row, other in zip(one["curve"], two_metrics["curve"], strict=True):
        assert other["loss"] == pytest.approx(row["loss"], abs=1e-5)
        assert other["step"] == row["step"]
        assert other["NDCG@10"] == pytest.approx(row["NDCG@10"], abs=1e-4)
    for name, values in one["report"]["models"].items():
        assert two_metrics["report"]["models"][name] == pytest.approx(values, abs=1e-4), name
    assert two_metrics["report"]["num_users"] == one["report"]["num_users"]
    # only the first process writes and speaks
    assert two.stdout.count("best validation NDCG@10") == 1
    files = [{p.name for p in (folder / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert len(list((folder / "logs" / "two").iterdir())) == 1


GRADIENTS_AND_RANKS = """
import sys, pandas as pd, torch
from bert4rec import BERT4Rec, IGNORE, ModelConfig, Recommender, Sequences, distributed
from bert4rec import rank_targets
distributed.start()
torch.manual_seed(0)
model = BERT4Rec(ModelConfig(num_items=20, hidden_size=16, num_heads=2, max_len=8, dropout=0.0))
tokens = torch.randint(1, 21, (5, 8))
labels = torch.where(torch.rand(5, 8) < 0.4, tokens, IGNORE)
labels[:, 0] = tokens[:, 0]
shared = distributed.shared_loss(model, model.loss, IGNORE)
for rows in (5, 1):  # the second with fewer rows than processes
    model.zero_grad()
    loss = shared(tokens[:rows], labels[:rows])
    loss.backward()
    whole = distributed.total(loss.detach())
    if distributed.rank() == 0:
        print(f"{whole:.5f}", *(
            "-" if p.grad is None else f"{p.grad.norm():.4f}" for p in model.parameters()
        ))
del loss, shared  # they hold on to the group, which must end before the interpreter

recommender = Recommender.load(sys.argv[1])
split = Sequences.from_file(sys.argv[2]).leave_one_out()
found = rank_targets(recommender.model, split.test, batch_size=4)
table = pd.DataFrame({'above': found.above, 'tied': found.tied})
table['coverage'] = found.coverage
if distributed.rank() == 0: table.to_csv(sys.argv[3])
"""


def test_gradients_are_those_of_the_whole_batch_and_ranks_those_of_one_process(folder):
    script = folder / "gradients_and_ranks.py"
    script.write_text(GRADIENTS_AND_RANKS)
    tables = [folder / f"ranks-{processes}.csv" for processes in (1, 2)]
    command = script, folder / "one", folder / "log.csv"
    one = one_process(*command, tables[0]).splitlines()
    two = two_processes(*command, tables[1])
    assert two.returncode == 0, two.stderr
    assert len(one) == 2
    for row, other in zip(one, two.stdout.splitlines(), strict=True):
        for a, b in zip(row.split(), other.split(), strict=True):
            if a != "-":  # no gradient, or one of zeros
                assert float(b) == pytest.approx(float(a), abs=2e-4)
    assert np.array_equal(*map(pd.read_csv, tables))


def test_a_process_that_dies_ends_the_job_and_one_alone_goes_on(folder):
    script = folder / "dies.py"
    script.write_text(DIES)
    died = two_processes(script, *command(folder, "died"))
    assert died.returncode != 0
    assert "this process dies" in died.stderr
    assert "exitcode" in died.stderr  # torchrun tells which one, and how
    one_process("-m", "bert4rec", *command(folder, "died"), "--resume")
    one, other = metrics(folder / "one"), metrics(folder / "died")
    assert len(other["curve"]) == 3
    for row, again in zip(one["curve"], other["curve"], strict=True):
        assert again["loss"] == pytest.approx(row["loss"], abs=1e-5)


# one of the processes is interrupted in its second epoch
INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
from bert4rec import cli
from bert4rec.training.optimizers import Optimizers
if os.environ["RANK"] == "1":
    original, steps = Optimizers.step, iter(range(1000))
    def step(self):
        if next(steps) == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self)
    Optimizers.step = step
sys.exit(cli.main(sys.argv[1:]))
"""


def test_an_interrupt_of_one_process_ends_all_at_the_same_step(folder):
    script = folder / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = two_processes(script, *command(folder, "interrupted"))
    assert done.returncode == 0, done.stderr
    found = metrics(folder / "interrupted")
    assert found["stopped"] == "interrupted"
    assert 1 <= len(found["curve"]) < 3


def test_sampled_losses_with_an_output_table_of_its_own(folder):
    options = ["--loss", "gbce", "--num-negatives", 8, "--no-tie-weights"]
    one_process("-m", "bert4rec", *command(folder, "untied-1"), *options)
    two = two_processes("-m", "bert4rec", *command(folder, "untied-2"), *options)
    assert two.returncode == 0, two.stderr
    curves = [metrics(folder / f"untied-{processes}")["curve"] for processes in (1, 2)]
    one, other = ([row["loss"] for row in curve] for curve in curves)
    assert other == pytest.approx(one, rel=0.05)  # other optimisers, so alike and not equal
