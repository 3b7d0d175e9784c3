"""The training loop: device, precision, schedule, validation, checkpoints, TensorBoard.

One readable loop in plain PyTorch. Everything that decides the result is in `TrainingConfig`;
the same config, data and number of CPU threads give the same weights, bit for bit.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from . import distributed
from .cloze import IGNORE, ClozeBatches, NextItemBatches, check_cloze
from .devices import keep_freed_memory, pick_device, pick_precision
from .errors import InputError, check_types
from .evaluation import rank_targets
from .files import locked, read_tensors, write_tensors
from .losses import LOSSES, SampledLoss
from .model import BERT4Rec
from .neighbours import neighbour_vectors
from .optimizers import Muon
from .progress import Reporter, new_run_folder
from .sequences import Sequences, Split

CHECKPOINT, METRICS = "checkpoint.safetensors", "metrics.json"


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; a value out of range raises InputError."""

    epochs: int = 20
    """Passes over all training windows."""
    batch_size: int = 128
    """Windows of histories in a step."""
    loss: str = "cross-entropy"
    """"cross-entropy" over all items; "sampled-softmax" or "gbce" over some, for catalogues of
    hundreds of thousands: a step then costs no more for more items."""
    num_negatives: int = 256
    """Items that the sampled losses draw for each step."""
    calibration: float = 0.75
    """gBCE's t: 0 is plain binary cross-entropy, 1 fully calibrated."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate."""
    muon_learning_rate: float = 0.0
    """Peak of Muon's learning rate, for the matrices in the encoders; 0 leaves them to AdamW."""
    weight_decay: float = 0.01
    """Weight decay of both; biases, norms and embeddings of positions have none."""
    warmup_share: float = 0.05
    """Share of all steps in which the rate rises from 0 to its peak."""
    schedule: str = "cosine"
    """How the rate goes on from there: "cosine" or "linear" down to 0, or "constant"."""
    mask_prob: float = 0.2
    """Probability that an item is hidden. (This and the next two do not concern a causal model.)"""
    last_item_prob: float = 0.1
    """Share of samples in which only the last item is hidden."""
    mask_strategy: str = "mask"
    """What stands in the place of a hidden item: "mask" (the paper) or "80-10-10" (BERT)."""
    overlap: float = 0.5
    """Share of a window that the next window of the same long history repeats."""
    clip_norm: float = 1.0
    """Largest norm of the gradient; it is scaled down to it."""
    start_at_popularity: bool = True
    """Start the output bias at the log popularity of the items."""
    start_at_neighbours: int = 0
    """Start the item embeddings from counts of the items that stand up to so many steps apart in
    the histories (see neighbours.py); 0 starts them at random."""
    validate_every: int = 1
    """Epochs between validations (full ranking, NDCG@10)."""
    patience: int = 0
    """Stop after this many validations without a new best; 0 never stops early."""
    seed: int = 0
    """Seed of the masks, the order of batches, and dropout."""
    device: str = "auto"
    """"auto" (CUDA, then MPS, then CPU), or a device's name."""
    precision: str = "auto"
    """"auto" (bf16 on a GPU that has it, else float32), "float32" or "bf16"."""
    compile: bool = False
    """Compile the encoder with torch.compile: faster on a GPU, minutes of start-up on a CPU."""

    def __post_init__(self):
        check_types(self)
        for name in ("epochs", "batch_size", "validate_every", "num_negatives"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0, not {getattr(self, name)}.")
        for name in (
            "muon_learning_rate", "weight_decay", "patience", "start_at_neighbours",
        ):  # fmt: skip
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must not be negative, it is {getattr(self, name)}.")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed must be a whole number from 0 to 2^63 - 1, not {self.seed}.")
        for name in ("warmup_share", "overlap"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), not {getattr(self, name)}.")
        if not 0 <= self.calibration <= 1:
            raise InputError(f"calibration must lie in [0, 1], not {self.calibration}.")
        for name, choices in (
            ("loss", LOSSES),
            ("schedule", ("cosine", "linear", "constant")),
            ("precision", ("auto", "float32", "bf16")),
        ):
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}."
                )
        check_cloze(self.mask_prob, self.last_item_prob, self.mask_strategy)


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        epochs: a dict per epoch: epoch, step, loss, learning_rate, seconds (of training so far,
            validation included) and, where it was validated, NDCG@10 and HR@10.
        best_epoch, best_ndcg: the epoch whose weights the model has now, by validation NDCG@10;
            0 and -1 before the first validation, when it has the weights that were reached.
        stopped: why training ended: "finished", "patience" or "interrupted".
        log_dir: the folder of this run's TensorBoard events, or None.
    """

    epochs: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    best_ndcg: float = -1.0
    stopped: str = "finished"
    log_dir: str | None = None

    @property
    def seconds(self) -> float:
        return self.epochs[-1]["seconds"] if self.epochs else 0.0

    def table(self) -> pd.DataFrame:
        """A row per epoch."""
        return pd.DataFrame(self.epochs or {"epoch": []}).set_index("epoch")


def train(
    model: BERT4Rec,
    split: Split,
    config: TrainingConfig | None = None,
    output: str | Path | None = None,
    log_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    files: Mapping[str, bytes] | None = None,
    extra: Mapping[str, object] | None = None,
    history: History | None = None,
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
        resume: go on from the checkpoint in `output`, exactly as if training had never stopped.
            Starts from the beginning if there is none.
        progress: show a bar in a terminal, elsewhere print a line per epoch.
        files: further files of the model, written together with it, as vocabulary.csv.
        extra: further entries of its config.json.
        history: an empty one, to be filled: for who wants to know what happened before an error.

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
    config = config or TrainingConfig()
    distributed.start(config.device)
    output = None if output is None else Path(output)
    first = distributed.rank() == 0  # the others only compute
    log_dir, progress = log_dir if first else None, progress and first
    with contextlib.nullcontext() if output is None or not first else locked(output):
        return _train(
            model, split, config, output, log_dir, resume, progress, files or {},
            {"training": asdict(config), **(extra or {})},
            History() if history is None else history,
        )  # fmt: skip


def _train(
    model: BERT4Rec,
    split: Split,
    config: TrainingConfig,
    output: Path | None,
    log_dir: str | Path | None,
    resume: bool,
    progress: bool,
    files: Mapping[str, bytes],
    extra: dict,
    history: History,
) -> History:
    if split.train.num_items < 2:
        raise InputError(
            "there is one item only: nothing can be learnt or ranked. Is the right column named as "
            "the item, and min_item_count low enough?"
        )
    if model.config.num_items != split.train.num_items:
        raise InputError(
            f"the model has num_items={model.config.num_items}, the data {split.train.num_items}."
        )
    device = pick_device(config.device)
    autocast = pick_precision(config.precision, device)
    if device.type == "cpu":
        keep_freed_memory()
    batches: ClozeBatches | NextItemBatches
    if model.config.causal:
        batches = NextItemBatches(
            split.train, model.config.max_len, config.batch_size, config.overlap, config.seed,
            device,
        )  # fmt: skip
    else:
        batches = ClozeBatches(
            split.train, model.config.max_len, config.batch_size, config.mask_prob,
            config.last_item_prob, config.mask_strategy, config.overlap, config.seed, device,
        )  # fmt: skip
    data = split.train.digest() if output is not None else ""  # only a checkpoint needs it
    run = _Run(model.to(device), config, config.epochs * len(batches), data)
    torch.manual_seed(config.seed)
    started = time.perf_counter()
    resumed = False  # whether the checkpoint in the folder is this run's
    if resume and output is not None and (output / CHECKPOINT).exists():
        resumed = True
        vars(history).update(vars(run.restore(output / CHECKPOINT)))
        started -= history.seconds
    loss_of = distributed.shared_loss(model, loss_function(model, split.train, config), IGNORE)
    if log_dir is None:
        history.log_dir = None
    elif history.log_dir is None or Path(history.log_dir).parent != Path(log_dir):
        history.log_dir = str(new_run_folder(log_dir))
    with (
        Reporter(
            config.epochs, len(batches), len(history.epochs), history.log_dir, progress
        ) as reporter,
        distributed.Interrupts() as interrupts,
    ):
        try:
            if not resumed:
                if config.start_at_popularity:
                    model.start_at_popularity(split.train.item_counts())
                if config.start_at_neighbours:
                    size = min(model.config.hidden_size, split.train.num_items)
                    vectors = neighbour_vectors(split.train, size, config.start_at_neighbours)
                    model.start_at_neighbours(vectors)
            if distributed.rank() > 0:  # dropout of its own, also when resumed
                torch.manual_seed(config.seed + run.step + 7919 * distributed.rank())
            for epoch in range(len(history.epochs) + 1, config.epochs + 1):
                if config.patience and _validations_since_best(history) >= config.patience:
                    history.stopped = "patience"
                    break
                model.train()
                total = torch.zeros((), device=device)
                for inputs, labels in batches.epoch(epoch):
                    interrupts.check()
                    with autocast:
                        loss = loss_of(inputs, labels)
                    loss = distributed.total(run.update(loss))
                    total += loss
                    reporter.step(run.step, run.rate(run.step), loss, inputs)
                row = {
                    "epoch": epoch,
                    "step": run.step,
                    "loss": float(total) / len(batches),
                    "learning_rate": run.rate(run.step),
                }
                if epoch % config.validate_every == 0 or epoch == config.epochs:
                    ranks = rank_targets(model, split.validation)
                    row |= {name: ranks.metric(name) for name in ("NDCG@10", "HR@10")}
                row["seconds"] = time.perf_counter() - started
                improved = row.get("NDCG@10", -1.0) > history.best_ndcg
                folder = output if distributed.rank() == 0 else None
                with interrupts.held():  # the folder, the history and the best weights agree
                    best = run.copy() if improved else run.best
                    # The model first: a crash after it repeats the epoch and finds it again.
                    if improved and folder is not None:
                        for name in (METRICS,) if resumed else (METRICS, CHECKPOINT):
                            (folder / name).unlink(missing_ok=True)  # of the model that goes
                        model.save(folder, files, **extra)
                    run.best = best
                    if improved:
                        history.best_epoch, history.best_ndcg = epoch, row["NDCG@10"]
                    history.epochs.append(row)
                    if folder is not None:
                        run.save(folder / CHECKPOINT, history)
                        resumed = True
                reporter.epoch(row)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
        finally:
            run.load_best()
            run.sparse(False)
            model.eval()
    return history


def loss_function(
    model: BERT4Rec, sequences: Sequences, config: TrainingConfig
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the loss that a config names, as a function of inputs and labels."""
    loss_of = torch.compile(model.loss, dynamic=True) if config.compile else model.loss
    if config.loss == "cross-entropy":
        return loss_of
    sampled = SampledLoss(
        config.loss, sequences.item_counts(), config.num_negatives, config.calibration,
        sparse=any(table is model.out.weight for table in _sparse_tables(model, config)),
    )  # fmt: skip
    return functools.partial(loss_of, loss=sampled)


def _sparse_tables(model: BERT4Rec, config: TrainingConfig) -> list[torch.Tensor]:
    """The tables of items whose gradients name the rows they touch: those of a sampled loss.

    Several processes can share such a gradient of an embedding, but not of a Linear, and NCCL none.
    """
    several = distributed.count() > 1
    if config.loss == "cross-entropy" or (several and model.device.type == "cuda"):
        return []
    embedding = model.model.embedding.token_embeddings.weight
    return [embedding] if model.config.tie_weights or several else [embedding, model.out.weight]


def _validations_since_best(history: History) -> int:
    return sum("NDCG@10" in row and row["epoch"] > history.best_epoch for row in history.epochs)


class _Run:
    """The parts that change from step to step: weights, optimiser, step, best weights."""

    def __init__(self, model: BERT4Rec, config: TrainingConfig, steps: int, data: str):
        self.model, self.config, self.steps, self.data, self.step = model, config, steps, data, 0
        encoders: list[nn.Parameter] = []
        tables: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or "position_embeddings" in name:
                rest.append(parameter)
            else:
                (encoders if "transformer_encoders" in name else tables).append(parameter)
        muon = config.muon_learning_rate > 0
        # Sampled losses touch a few rows of the tables of items in a step: only those are updated.
        rows = _sparse_tables(model, config)
        sparse = bool(rows)
        self.sparse(sparse)
        dense = [p for p in tables if not any(p is row for row in rows)]
        groups: list[dict] = [
            {"params": dense if muon else [*dense, *encoders]},
            {"params": rest, "weight_decay": 0.0},
        ]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                groups,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                fused=rest[0].device.type in ("cpu", "cuda"),
            )
        ]
        if muon:
            self.optimizers.append(Muon(encoders, config.muon_learning_rate, config.weight_decay))
        if sparse:
            self.optimizers.append(torch.optim.SparseAdam(rows, lr=config.learning_rate))
        self.peaks = [optimizer.defaults["lr"] for optimizer in self.optimizers]
        self.best: dict[str, torch.Tensor] | None = None  # until the first validation

    def rate(self, step: int) -> float:
        """AdamW's learning rate in a step, counted from 1."""
        return self.config.learning_rate * self.share(step)

    def share(self, step: int) -> float:
        """The share of their peaks that the learning rates have in a step."""
        warmup = round(self.config.warmup_share * self.steps)
        if step <= warmup:
            return step / warmup
        # the step after the warm-up has the peak, and the last one still learns
        progress = (step - 1 - warmup) / max(1, self.steps - warmup)
        shape = {
            "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
            "linear": 1 - progress,
            "constant": 1.0,
        }
        return shape[self.config.schedule]

    def update(self, loss: torch.Tensor) -> torch.Tensor:
        """One step of the optimiser; returns the loss, detached."""
        self.step += 1
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * self.share(self.step)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        loss = loss.detach()
        norm = clip_gradients(self.model.parameters(), self.config.clip_norm)
        if not torch.isfinite(norm) or not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {float(loss):g} and the gradient's norm {float(norm):g} at step "
                f"{self.step}. Likely causes: a learning rate too high (it is "
                f"{self.rate(self.step):g}; try a tenth), no warm-up "
                f"(warmup_share={self.config.warmup_share}), or too low a precision "
                "(try precision='float32'). The last checkpoint is untouched."
            )
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def sparse(self, wanted: bool) -> None:
        """Let the gradient of the item embeddings name the rows it touches, or be a whole table."""
        self.model.model.embedding.token_embeddings.sparse = wanted

    def copy(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def load_best(self) -> None:
        if self.best is not None:
            self.model.load_state_dict(self.best)

    def save(self, path: Path, history: History) -> None:
        """Write everything that is needed to go on exactly, as tensors and JSON, no pickle."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        for which, optimizer in enumerate(self.optimizers):
            for number, state in optimizer.state_dict()["state"].items():
                prefix = f"optimizer.{which}.{number}."
                tensors |= {prefix + name: torch.as_tensor(v) for name, v in state.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.model.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.model.device)
        # cloned: tied weights are one tensor under two names, which the format does not allow
        tensors = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        meta = {
            "step": self.step,
            "config": self._identity(),
            "history": asdict(history),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, tensors, {"run": json.dumps(meta)})

    def restore(self, path: Path) -> History:
        tensors, texts = read_tensors(path)
        try:
            meta = json.loads(texts["run"])
            history, self.step = History(**meta["history"]), int(meta["step"])
            written = dict(meta["config"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise InputError(f"{path} is no checkpoint of a training run: {error!r}") from error
        if written != self._identity():
            different = {
                key
                for part, values in self._identity().items()
                for key, value in values.items()
                if written.get(part, {}).get(key) != value
            }
            raise InputError(
                f"{path} was written with another {', '.join(sorted(different))}. Train with the "
                "same configuration to resume, or choose another folder."
            )

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {
                name.removeprefix(prefix): value
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        try:
            self.model.load_state_dict(part("model."))
            best = {name: value.to(self.model.device) for name, value in part("best.").items()}
            self.best = best or None
            for which, optimizer in enumerate(self.optimizers):
                state: dict[int, dict[str, torch.Tensor | int]] = {}
                for name, value in part(f"optimizer.{which}.").items():
                    number, key = name.split(".")
                    # SparseAdam counts its steps in a plain number
                    plain = key == "step" and isinstance(optimizer, torch.optim.SparseAdam)
                    state.setdefault(int(number), {})[key] = int(value) if plain else value
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": state, "param_groups": groups})
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors and self.model.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random.cuda"], self.model.device)
        except (RuntimeError, KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path} does not fit the model: {error}") from error
        return history

    def _identity(self) -> dict:
        # what must agree for a run to continue; the device may change
        training = {
            key: value
            for key, value in asdict(self.config).items()
            if key not in ("device", "precision", "compile")
        }
        return {
            "model": asdict(self.model.config),
            "training": training,
            "data": {"data": self.data},
        }


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float) -> torch.Tensor:
    """Scale all gradients down to a norm, as torch's `clip_grad_norm_`, sparse ones included.

    Returns:
        The norm that they had.
    """
    parameters = list(parameters)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not any(gradient.is_sparse for gradient in gradients):
        return nn.utils.clip_grad_norm_(parameters, norm)
    values = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.is_sparse:
            parameter.grad = gradient.coalesce()  # a row touched twice counts once, summed
            gradient = parameter.grad.values()
        values.append(gradient)
    total = nn.utils.get_total_norm(values)
    scale = (norm / (total + 1e-6)).clamp(max=1.0)
    for value in values:
        value.mul_(scale)
    return total
