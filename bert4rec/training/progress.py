"""Progress of a training run: a bar in a terminal, a line per epoch elsewhere, TensorBoard."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from ..data import PAD, Catalogue
from ..data.interactions import as_frame, known_column
from ..errors import note
from ..evaluation import Ranks, Report
from ..evaluation.metrics import DECIDING
from ..files import make_folder
from ..model import BERT4Rec
from .settings import TrainingConfig

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter
    from tqdm import tqdm

    from .checkpoint import Run

EVERY = 20  # steps between readings of the loss: each one waits for the GPU
VALIDATED = (DECIDING, "HR@10")  # of a validation
POINTS = 10_000  # items in the projector, which runs in a browser


def new_run_folder(parent: str | Path) -> Path:
    """Make and return the first of run-1, run-2, … that is not there yet.

    TensorBoard takes a folder for one run: events of two in one folder would be mixed up.
    """
    make_folder(Path(parent))
    number = 1
    while True:
        try:
            (Path(parent) / f"run-{number}").mkdir(parents=True)
            return Path(parent) / f"run-{number}"
        except FileExistsError:
            number += 1


class Reporter:
    """Shows steps and epochs while it is open.

    In TensorBoard: loss, rate, norm of the gradient and tokens per second by step, each epoch's
    loss and validation by step and by epoch, the settings as a table, and, for the comparison of
    runs, the settings with the best validation. What stands beside the model is a level line in
    the charts of its validation: a run of its own, in a folder of the model's run.

    Args:
        run: what is trained; its history names the folder for event files, if any, and may have
            epochs that were trained before.
        batches: steps in an epoch.
    """

    def __init__(self, run: Run, batches: int):
        self.history, self.config, self.batches = run.history, run.config, batches
        self.show, self.log_dir = run.target.progress, run.history.log_dir
        self.done = len(run.history.epochs)
        self.settings = {**asdict(run.model.config), **asdict(run.config)}
        self.writer: SummaryWriter | None = None
        self.lines: list[tuple[SummaryWriter, dict[str, float]]] = []
        self.bar: tqdm | None = None
        self.tokens: int | torch.Tensor = 0
        self.since = 0.0

    def __enter__(self) -> Reporter:
        first_step = self.done * self.batches
        if self.log_dir is not None:
            from torch.utils.tensorboard import SummaryWriter

            # What a stopped run logged after its checkpoint is not shown twice. A new run must not
            # purge: it has nothing of the kind, and files of one second are read in any order.
            purge = first_step + 1 if self.done else None
            try:
                self.writer = SummaryWriter(str(self.log_dir), purge_step=purge)
            except OSError as error:
                self._without_log(error)
        if not self.done:
            rows = "".join(f"| {name} | {value} |\n" for name, value in self.settings.items())
            table = f"| setting | value |\n| --- | --- |\n{rows}"
            self._log(lambda writer: writer.add_text("settings", table))
        if self.show and sys.stderr.isatty():
            from tqdm import tqdm

            total = self.config.epochs * self.batches
            self.bar = tqdm(total=total, initial=first_step, unit="step", dynamic_ncols=True)
        self._restart_clock()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        self._log(self._write_best)

        def close(writer: SummaryWriter) -> None:
            for each in (writer, *(line for line, _ in self.lines)):
                each.close()

        self._log(close)

    def beside(self, name: str, ranks: Ranks) -> None:
        """Draw what another model reaches on the validation beside each epoch's."""

        def write(_: SummaryWriter) -> None:
            writer = _writer(self.log_dir, name)
            self.lines.append((writer, {metric: ranks.metric(metric) for metric in VALIDATED}))

        self._log(write)

    def step(
        self, step: int, rate: float, loss: torch.Tensor, norm: torch.Tensor, inputs: torch.Tensor
    ) -> None:
        """Report one step of training: its number, rate, loss, gradient's norm and inputs."""
        if self.bar is None and self.writer is None:
            return
        self.tokens = self.tokens + (inputs != PAD).sum()
        if step % EVERY == 0:
            speed = int(self.tokens) / max(time.perf_counter() - self.since, 1e-9)
            self._restart_clock()
            if self.bar is not None:
                text = f"loss {float(loss):.3f}, rate {rate:.1e}, {speed:,.0f} tokens/s"
                self.bar.set_postfix_str(text, refresh=False)
            values = {"loss": float(loss), "learning_rate": rate, "gradient_norm": float(norm)}
            values["tokens_per_second"] = speed
            self._scalars({f"train/{name}": value for name, value in values.items()}, step)
        if self.bar is not None:
            self.bar.update(1)

    def epoch(self, row: dict) -> None:
        """Report one epoch: a row of `History.epochs`."""
        metrics = {name: row[name] for name in VALIDATED if name in row}
        self._scalars({"train/epoch_loss": row["loss"]}, row["step"])
        self._scalars({"epoch/loss": row["loss"]}, row["epoch"])

        def write(writer: SummaryWriter) -> None:
            for each, values in ((writer, metrics), *self.lines):
                for name in metrics:
                    each.add_scalar(f"validation/{name}", values[name], row["step"])
                    each.add_scalar(f"epoch/{name}", values[name], row["epoch"])
                each.flush()

        self._log(write)
        line = f"epoch {row['epoch']:3d}/{self.config.epochs}  loss {row['loss']:.3f}"
        if metrics:
            line += "  validation " + "  ".join(f"{k} {v:.4f}" for k, v in metrics.items())
        line += f"  {row['seconds']:.0f} s"
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        elif self.show:
            print(line, flush=True)
        self._restart_clock()  # validation is not part of the training speed

    def _write_best(self, writer: SummaryWriter) -> None:
        """The settings and the best validation, for TensorBoard's page HPARAMS."""
        from torch.utils.tensorboard.summary import hparams

        if not self.history.best_epoch:
            return
        best = f"best/{self.config.metric}"
        # the columns are those of the first run that is found: the test's, which may follow, too
        columns = dict.fromkeys((best, *(f"test/{name}" for name in VALIDATED)))
        plain = {k: v if v is not None else "none" for k, v in self.settings.items()}
        events: Any = writer.file_writer
        for summary in hparams(plain, columns):
            events.add_summary(summary)
        writer.add_scalar(best, self.history.best_score, self.history.best_epoch)

    def _scalars(self, values: dict[str, float], step: int) -> None:
        def write(writer: SummaryWriter) -> None:
            for name, value in values.items():
                writer.add_scalar(name, value, step)

        self._log(write)

    def _log(self, write: Callable[[SummaryWriter], object]) -> None:
        """Write to TensorBoard's files, if there are any; a full disk must not end a training."""
        if self.writer is None:
            return
        try:
            write(self.writer)
        except OSError as error:
            self._without_log(error)

    def _without_log(self, error: OSError) -> None:
        self.writer = None
        note(f"{self.log_dir} cannot be written ({error}); training goes on without it.")

    def _restart_clock(self) -> None:
        self.tokens = 0
        self.since = time.perf_counter()


def log_result(
    run: Run, report: Report | None, catalogue: Catalogue, items: pd.DataFrame | None = None
) -> None:
    """Add to a run's TensorBoard what it reached on the test, and its items.

    Each model of the report has a folder, as on the validation; the trained one has the run's own,
    so that the page HPARAMS compares runs by it. The projector shows the item vectors, those of
    the 10,000 most frequent items if there are more.

    Whatever fails here is a warning: the model is there.

    Args:
        run: after training, with the best weights.
        report: what was reached, if it was evaluated.
        catalogue: the items of the model.
        items: a table of titles; its other columns, as genres, are shown too.
    """
    if run.history.log_dir is None:
        return
    try:
        for name, ranks in ({} if report is None else report.models).items():
            with _writer(run.history.log_dir, "" if name == run.model.name else name) as writer:
                for metric in VALIDATED:
                    value, epoch = ranks.metric(metric), run.history.best_epoch
                    writer.add_scalar(f"test/{metric}", value, epoch)
        _write_projector(Path(run.history.log_dir), run.model, _points(catalogue, items))
    except Exception as error:  # a table of titles may hold anything
        note(f"{run.history.log_dir} lacks the test or the items for TensorBoard: {error}")


def _writer(log_dir: str | None, name: str) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(Path(log_dir or "") / name))


def _points(catalogue: Catalogue, items: pd.DataFrame | None) -> pd.DataFrame:
    """What the projector says of each item, the most frequent first, by token - 1."""
    table = pd.DataFrame({"title": catalogue.titles})
    order = np.arange(len(table))
    if catalogue.counts is not None:
        counts = catalogue.counts[1:-1].astype(np.int64)
        table["interactions"], order = counts, np.argsort(-counts, kind="stable")
    if items is not None:
        items = as_frame(items)
        item, title = known_column(items, "item"), known_column(items, "title")
        known = items.drop_duplicates(item).set_index(item).drop(columns=[title])
        known = known.reindex(catalogue.vocabulary.items).astype("string").fillna("")
        for name, column in known.items():
            table[name] = column.to_numpy()
            if column.str.contains("|", regex=False).any():  # few enough to be colours
                table[f"first of {name}"] = column.str.split("|").str[0].to_numpy()
    return table.iloc[order[:POINTS]]


def _write_projector(folder: Path, model: BERT4Rec, points: pd.DataFrame) -> None:
    """Write the vectors of some items, and what is said of them."""
    table = model.model.embedding.token_embeddings.weight.detach().float().cpu()
    vectors = table[points.index.to_numpy() + 1]  # (points, hidden)
    texts = points.astype(str).replace(r"\s+", " ", regex=True)  # a tab would be a column
    lines = ["\t".join(row) for row in ([*map(str, texts)], *texts.to_numpy().tolist())]
    (folder / "items.tsv").write_bytes("\n".join([*lines, ""]).encode(errors="replace"))
    np.savetxt(folder / "vectors.tsv", vectors, fmt="%.5g", delimiter="\t")
    config = 'tensor_name: "items" tensor_path: "vectors.tsv" metadata_path: "items.tsv"'
    (folder / "projector_config.pbtxt").write_text(f"embeddings {{ {config} }}\n")


class FiniteCheck:
    """Ends a training whose loss or gradient is no number any more.

    On a CPU that is seen in the step itself. A GPU is asked every EVERY steps and at the end of an
    epoch only, as it would stand still for each answer; it notes the first such step by itself.

    Args:
        config: its settings are named in the message.
        device: where the losses are.
    """

    def __init__(self, config: TrainingConfig, device: torch.device):
        self.config, self.every = config, 1 if device.type == "cpu" else EVERY
        self.first = torch.zeros(4, device=device)  # step, rate, loss, norm; step 0 stands for none

    def check(self, step: int, rate: float, loss: torch.Tensor, norm: torch.Tensor) -> None:
        """Look at a step, before it is taken.

        Raises:
            FloatingPointError: the loss or the norm of the gradient is not finite.
        """
        number, share = (torch.full_like(loss, value) for value in (step, rate))
        here = torch.stack([number, share, loss, norm.to(loss)])
        wrong = ~here.isfinite().all() & (self.first[0] == 0)
        self.first = torch.where(wrong, here, self.first)
        if step % self.every == 0:
            self.read()

    def read(self) -> None:
        """Raise what `check` does, for all steps so far."""
        step, rate, loss, norm = self.first.tolist()
        if step:
            raise FloatingPointError(
                f"the loss is {loss:g} and the gradient's norm {norm:g} at step {step:.0f}. "
                f"Likely causes: a learning rate too high (it is {rate:g}; try a tenth), no "
                f"warm-up (warmup_share={self.config.warmup_share}), or too low a precision "
                "(try precision='float32'). The last checkpoint is untouched."
            )
