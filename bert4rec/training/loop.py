"""The training loop: what happens in a step, in an epoch, and around them.

Everything that decides the result is in `TrainingConfig`; on a CPU the same config, data and number
of threads give the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from .. import distributed
from ..cloze import ClozeBatches, NextItemBatches
from ..data import Split
from ..devices import keep_freed_memory, pick_device, precision
from ..errors import InputError
from ..evaluation import rank_targets
from ..files import locked
from ..model import BERT4Rec
from .checkpoint import Checkpoint, History, Run, Target
from .optimizers import clip_gradients, loss_and_optimizers
from .progress import VALIDATED, FiniteCheck, Reporter, new_run_folder
from .settings import TrainingConfig
from .warm_start import start_from_counts


def train(
    model: BERT4Rec,
    split: Split,
    config: TrainingConfig | None = None,
    output: str | Path | None = None,
    log_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    on_epoch: Callable[[History], bool | None] | None = None,
) -> History:
    """Train a model on the cloze task and leave the best weights, by validation, in it.

    Seeds torch's global generator, which dropout draws from, with `config.seed`. The weights that
    the model starts from are the caller's: call `torch.manual_seed` before building it.

    Args:
        model: is moved to the device and changed in place.
        split: `split.train` to learn from, `split.validation` to choose by. The test is not
            touched.
        config: default `TrainingConfig()`.
        output: a folder for the best model (model.safetensors, config.json) and a checkpoint
            after every epoch. None writes nothing. A model that is there stays whole until the
            first epoch's takes its place.
        log_dir: a folder for TensorBoard's event files; each run gets a folder of its own in it
            (run-1, run-2, …), and a resumed run goes on in its own. None writes none.
        resume: go on from the checkpoint in `output`, exactly as if training had never stopped
            (on a CPU; a GPU's sums have no fixed order). Starts anew if there is none.
        progress: show a bar in a terminal, elsewhere print a line per epoch.
        on_epoch: is called after each epoch with the history so far, the model as it is then; if
            it returns True, training ends. Under torchrun it is called in every process.

    Returns:
        The history. An interrupt (Ctrl-C) ends training early and keeps what was reached: the best
        weights so far, or the latest ones if nothing was validated yet (best_epoch is 0 then, and
        no model is in `output`).

    Raises:
        InputError: the model does not fit the data, the device is not there, the checkpoint is of
            another configuration, or the folder cannot be written to or is another process's.
        FloatingPointError: the loss is not finite; the message says the step and likely causes.
        Whatever ends training, the best weights so far are in the model.
    """
    target = Target(
        None if output is None else Path(output),
        None if log_dir is None else Path(log_dir),
        resume,
        progress=progress,
        on_epoch=on_epoch,
    )
    return train_run(Run(model, split, config or TrainingConfig(), target))


def train_run(run: Run) -> History:
    """Do what `train` says with a run."""
    distributed.start(run.config.device)
    if distributed.rank() > 0:  # the others only compute
        return _train(replace(run, target=replace(run.target, log_dir=None, progress=False)))
    folder = run.target.output
    with contextlib.nullcontext() if folder is None else locked(folder):
        return _train(run)


def _train(run: Run) -> History:
    model, split, config, history = run.model, run.split, run.config, run.history
    log_dir, on_epoch = run.target.log_dir, run.target.on_epoch
    _check(model, split)
    device = pick_device(config.device)
    if device.type == "cpu":
        keep_freed_memory()
    model.to(device)
    batches = _batches(model, split, config)
    steps = config.epochs * len(batches)
    loss_of, optimizers = loss_and_optimizers(model, split.train, config, steps)
    checkpoint = Checkpoint(run, optimizers)
    torch.manual_seed(config.seed)
    if run.target.resume:
        checkpoint.restore()
    begun, step = time.perf_counter() - history.seconds, len(history.epochs) * len(batches)
    if log_dir is None:
        history.log_dir = None
    elif history.log_dir is None or Path(history.log_dir).parent != log_dir:
        history.log_dir = str(new_run_folder(log_dir))
    finite = FiniteCheck(config, device)
    with (
        precision(config.precision, device) as autocast,
        Reporter(run, len(batches)) as reporter,
        distributed.Interrupts() as interrupts,
    ):
        try:
            for name, scorer in run.beside().items():
                reporter.beside(name, rank_targets(scorer, split.validation))
            if not history.epochs:
                start_from_counts(model, split.train, config)
            if distributed.rank() > 0:  # dropout of its own, also when resumed
                torch.manual_seed(config.seed + step + 7919 * distributed.rank())
            for epoch in range(len(history.epochs) + 1, config.epochs + 1):
                if config.patience and history.since_best >= config.patience:
                    history.stopped = "patience"
                    break
                model.train()
                total = torch.zeros((), device=device)
                for inputs, labels in batches.epoch(epoch):  # on the CPU, (batch, length) each
                    interrupts.check()
                    step += 1
                    rate = optimizers.set_rate(step)
                    with autocast:
                        loss = loss_of(inputs, labels)
                    model.zero_grad(set_to_none=True)
                    loss.backward()
                    norm = clip_gradients(model.parameters(), config.clip_norm)
                    loss = distributed.total(loss.detach())
                    finite.check(step, rate, loss, norm)
                    optimizers.step()
                    total += loss
                    reporter.step(step, rate, loss, norm, inputs)
                finite.read()  # before anything of this epoch is kept
                mean = float(total) / len(batches)
                row: dict = {"epoch": epoch, "step": step, "loss": mean, "learning_rate": rate}
                if epoch % config.validate_every == 0 or epoch == config.epochs:
                    with autocast:
                        ranks = rank_targets(model, split.validation)
                    row |= {name: ranks.metric(name) for name in (*VALIDATED, config.metric)}
                row["seconds"] = time.perf_counter() - begun
                with interrupts.held():  # an interrupt waits until all of it is kept
                    checkpoint.keep(row)
                reporter.epoch(row)
                if on_epoch is not None and on_epoch(history):
                    history.stopped = "on_epoch"
                    break
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            checkpoint.load_best()
            model.model.embedding.token_embeddings.sparse = False
            vars(model).pop("answer_loss", None)  # the compiled one
            model.eval()
    return history


def _check(model: BERT4Rec, split: Split) -> None:
    """Raise InputError if a model cannot be trained on a split."""
    if split.train.num_items < 2:
        raise InputError(
            "there is one item only: nothing can be learnt or ranked. Is the right column named as "
            "the item, and min_item_count low enough?"
        )
    if model.config.num_items != split.train.num_items:
        raise InputError(
            f"the model has num_items={model.config.num_items}, the data {split.train.num_items}."
        )


def _batches(model: BERT4Rec, split: Split, config: TrainingConfig) -> ClozeBatches:
    max_len, size, rest = model.config.max_len, config.batch_size, (config.overlap, config.seed)
    if model.config.causal:
        return NextItemBatches(split.train, max_len, size, *rest)
    masks = config.mask_prob, config.last_item_prob, config.mask_strategy
    return ClozeBatches(split.train, max_len, size, *masks, *rest)
