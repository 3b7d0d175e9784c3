"""Nothing is lost: killed at any moment, no space, no permission, two at once."""

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import make_log, tiny_model

from bert4rec import BERT4Rec, InputError, Recommender, TrainingConfig, Vocabulary, train
from bert4rec.files import TOGETHER, locked, read_tensors, stored, write_together
from bert4rec.training.checkpoint import CHECKPOINT
from bert4rec.training.optimizers import Optimizers

LOG = make_log()
SETTINGS = {
    "epochs": 40, "hidden_size": 16, "num_heads": 2, "max_len": 8, "batch_size": 16,
    "min_user_count": 1, "min_item_count": 1, "device": "cpu", "progress": False,
}  # fmt: skip

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes by fork")


def fit(folder, **options):
    return Recommender.fit(LOG, output=folder, **SETTINGS | options)


def start(function, *args):
    """Run a function in a process of its own, that shares nothing with this one."""
    process = multiprocessing.get_context("fork").Process(target=function, args=args)
    process.start()
    return process


def kill_at(function, calls):
    """Run a function in a process and kill it before the n-th of what it trains or writes.

    The process waits there until it is dead, however fast or slow the machine is.
    """
    ours, theirs = multiprocessing.Pipe(duplex=False)

    def until_then():
        done = 0

        def counted(method):
            def step(*args, **kwargs):
                nonlocal done
                done += 1
                if done > calls:
                    theirs.send("there")
                    time.sleep(3600)
                return method(*args, **kwargs)

            return step

        Optimizers.step = counted(Optimizers.step)
        Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
        function()

    process = start(until_then)
    theirs.close()
    assert ours.recv() == "there"  # EOFError if it finished before
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def answers(folder):
    with contextlib.suppress(InputError):
        return Recommender.load(folder).recommend([101, 102], k=40)


def test_killed_at_twenty_moments_it_goes_on_as_if_it_never_was(tmp_path):
    whole = fit(tmp_path / "whole")
    folder = tmp_path / "killed"
    kill_at(lambda: fit(folder, resume=True), 12)
    found, states = set(), []
    for calls in np.random.default_rng(0).integers(1, 40, size=20):
        kill_at(lambda: fit(folder, resume=True), calls)
        if (folder / CHECKPOINT).exists():
            read_tensors(folder / CHECKPOINT)  # raises if it were not whole
            found.add((folder / CHECKPOINT).stat().st_mtime_ns)
        if stored(folder, "model.safetensors").exists():
            states.append(Recommender.load(folder).recommend([101], k=3))
    assert len(found) >= 5, "too early kills: nothing was resumed"
    assert states
    resumed = fit(folder, resume=True)
    for (name, one), two in zip(
        whole.model.named_parameters(), resumed.model.parameters(), strict=True
    ):
        assert torch.equal(one, two), name
    rows = [[{**row, "seconds": 0} for row in made.history.epochs] for made in (whole, resumed)]
    assert rows[0] == rows[1]
    left = {path.name for path in folder.iterdir()}
    assert left == {*TOGETHER, CHECKPOINT, "metrics.json", ".lock"}
    for name in ("model.safetensors", "vocabulary.csv"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_killed_while_saving_there_is_the_old_model_or_the_new_one(tmp_path):
    one = Recommender(tiny_model(150, hidden_size=64), Vocabulary(list(range(150))))
    two = Recommender(tiny_model(50, seed=1), Vocabulary([f"i{n}" for n in range(50)]))
    sizes = {150: 0, 50: 0}
    one.save(tmp_path / "model")

    def save_for_ever():
        while True:
            two.save(tmp_path / "model")
            one.save(tmp_path / "model")

    for calls in np.random.default_rng(1).integers(0, 60, size=20):
        kill_at(save_for_ever, calls)
        loaded = Recommender.load(tmp_path / "model")  # raises if the files were mixed
        sizes[loaded.vocabulary.num_items] += 1
    assert min(sizes.values()) > 0


@pytest.mark.parametrize("stop_at", range(20))
def test_stopped_before_any_single_step_of_a_save_the_files_fit(tmp_path, monkeypatch, stop_at):
    """The same, exhaustively: whatever the last thing was that reached the disk."""
    old, new = ({name: text + name.encode() for name in TOGETHER} for text in (b"old ", b"new "))
    write_together(tmp_path, old)
    steps = 0

    class Killed(BaseException):
        pass

    def counted(method):
        def step(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps > stop_at:
                raise Killed
            return method(*args, **kwargs)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counted(Path.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        with contextlib.suppress(Killed):
            write_together(tmp_path, new)
    found = {name: stored(tmp_path, name).read_bytes() for name in TOGETHER}
    assert found in (old, new)
    write_together(tmp_path, new)
    assert {path.name for path in tmp_path.iterdir() if path.name[0] != "."} == set(TOGETHER)
    assert all(stored(tmp_path, name).read_bytes() == new[name] for name in TOGETHER)


def test_no_space_left_keeps_the_last_good_model(tmp_path):
    """A limit on the size of files stands for a full disk: writing fails half-way."""
    fit(tmp_path / "model", epochs=1)
    expected = answers(tmp_path / "model")
    ours, theirs = multiprocessing.Pipe()

    def without_space():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
        try:
            fit(tmp_path / "model", epochs=3, hidden_size=64, overwrite=True)
        except InputError as error:
            theirs.send(str(error))
        theirs.send("no error")

    start(without_space).join()
    message = ours.recv()
    assert "cannot be written: File too large. What was there is untouched. Free space" in message
    pd.testing.assert_frame_equal(answers(tmp_path / "model"), expected, atol=1e-5)
    assert not list((tmp_path / "model").glob(".*.*")), "a temporary file was left"


def test_no_space_for_tensorboard_does_not_end_a_training(sequences, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.utils.tensorboard.SummaryWriter.add_scalar", full)
    config = TrainingConfig(epochs=2, batch_size=16, device="cpu")
    model = tiny_model(sequences.num_items)
    with pytest.warns(UserWarning, match=r"run-1 cannot be written .* training goes on"):
        history = train(model, sequences.leave_one_out(), config, log_dir=tmp_path, progress=False)
    assert len(history.epochs) == 2


def test_a_folder_that_cannot_be_written_is_said_before_training(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setattr("bert4rec.training.loop._train", None)  # it must not come to that
    for folder in (tmp_path / "file" / "model", Path("/proc/model")):
        with pytest.raises(InputError, match=r"cannot be written.*choose another folder"):
            fit(folder)
    assert (tmp_path / "file").read_text() == "not a folder"
    made = Recommender(tiny_model(3), Vocabulary([1, 2, 3]))
    with pytest.raises(InputError, match="cannot be written"):
        made.save(tmp_path / "file" / "model")
    with pytest.raises(InputError, match="cannot be written"):
        made.to_onnx(tmp_path / "file" / "model.onnx")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    made = Recommender(tiny_model(3), Vocabulary([1, 2, 3]))
    made.save(tmp_path / "model")
    (tmp_path / "model").chmod(0o555)
    expected = answers(tmp_path / "model")
    with pytest.raises(InputError, match="Permission denied"):
        made.save(tmp_path / "model")
    with pytest.raises(InputError, match="Permission denied"):
        fit(tmp_path / "model", overwrite=True)
    pd.testing.assert_frame_equal(answers(tmp_path / "model"), expected, atol=1e-5)


def test_two_processes_cannot_train_into_one_folder(tmp_path):
    ours, theirs = multiprocessing.Pipe()

    def hold():
        with locked(tmp_path / "model"):
            theirs.send("held")
            time.sleep(600)

    process = start(hold)
    assert ours.recv() == "held"
    with pytest.raises(InputError, match=r"another process is training into .*model"):
        fit(tmp_path / "model", epochs=1)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {".lock"}
    os.kill(process.pid, signal.SIGKILL)  # however it ends, the folder is free again
    process.join()
    fit(tmp_path / "model", epochs=1)


def test_an_error_in_training_leaves_the_best_weights_in_the_model(
    sequences, monkeypatch, tmp_path
):
    model = tiny_model(sequences.num_items)
    original, steps = Optimizers.step, 0

    def fail_in_the_third_epoch(self):
        nonlocal steps
        steps += 1
        if steps > 5:
            raise FloatingPointError("the loss is not finite")
        return original(self)

    monkeypatch.setattr(Optimizers, "step", fail_in_the_third_epoch)
    config = TrainingConfig(epochs=4, batch_size=16, device="cpu")
    with pytest.raises(FloatingPointError):
        train(model, sequences.leave_one_out(), config, tmp_path, progress=False)
    assert not model.training
    best = BERT4Rec.load(tmp_path)
    for one, two in zip(model.parameters(), best.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_folder_of_the_first_version_loads_and_its_training_goes_on(tmp_path):
    """Written before the module had rooms, by a training that was killed after two epochs."""
    folder = tmp_path / "model"
    shutil.copytree(Path(__file__).parent / "first_version", folder)
    old = Recommender.load(folder)
    assert old.model.config.num_segments == 3
    assert old.recommend([101, 102], k=3)["item"].is_unique
    settings = {
        "hidden_size": 8, "num_heads": 2, "max_len": 8, "batch_size": 16, "epochs": 3,
        "min_user_count": 1, "min_item_count": 1, "device": "cpu", "progress": False,
        "preset": "tutorial", "num_segments": 3, "muon_learning_rate": 0.01,
        "start_at_neighbours": 2,
    }  # fmt: skip
    whole = Recommender.fit(make_log(), **settings)
    gone_on = Recommender.fit(make_log(), output=folder, resume=True, **settings)
    assert [row["epoch"] for row in gone_on.history.epochs] == [1, 2, 3]
    for row, other in zip(gone_on.history.epochs, whole.history.epochs, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-4)
    assert gone_on.history.best_score == pytest.approx(whole.history.best_score, abs=1e-3)
