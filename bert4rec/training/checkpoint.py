"""A training run, what happened in it, and its files: the best model and the checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from .. import distributed
from ..data import Split
from ..errors import InputError
from ..evaluation import Scorer
from ..evaluation.metrics import DECIDING
from ..files import read_tensors, write_tensors
from ..model import BERT4Rec, ModelConfig
from .optimizers import Optimizers
from .settings import TrainingConfig

CHECKPOINT, RECORD = "checkpoint.safetensors", "metrics.json"


@dataclass
class History:
    """What happened in a training run.

    Attributes:
        epochs: a dict per epoch: epoch, step, loss, learning_rate, seconds (of training so far,
            validation included) and, where it was validated, NDCG@10, HR@10 and the metric that
            the config names.
        best_epoch, best_score: the epoch whose weights the model has now, and its metric in the
            validation; 0 and -1 before the first one, when it has the weights that were reached.
        stopped: why training ended: "finished", "patience", "on_epoch" or "interrupted".
        log_dir: the folder of this run's TensorBoard events, or None.
    """

    epochs: list[dict] = field(default_factory=list)
    best_epoch: int = 0
    best_score: float = -1.0
    stopped: str = "finished"
    log_dir: str | None = None

    @property
    def seconds(self) -> float:
        return self.epochs[-1]["seconds"] if self.epochs else 0.0

    @property
    def since_best(self) -> int:
        """How many validations there were after the best one."""
        return sum(DECIDING in row and row["epoch"] > self.best_epoch for row in self.epochs)

    def table(self) -> pd.DataFrame:
        """A row per epoch."""
        return pd.DataFrame(self.epochs or {"epoch": []}).set_index("epoch")


@dataclass(frozen=True)
class Target:
    """Where a training goes, and what is shown of it."""

    output: Path | None = None
    """A folder for the model, its checkpoint and metrics.json. A log can be trained on without one
    and saved later."""
    log_dir: Path | None = None
    """A folder for TensorBoard's event files; each run gets one of its own in it."""
    resume: bool = False
    """Go on from the checkpoint in the output folder."""
    overwrite: bool = False
    """Replace the model in the output folder."""
    progress: bool = True
    """Show a bar in a terminal, elsewhere print a line per epoch."""
    blend: bool = True
    """Mix item transitions into the scores, by weights that are chosen on the validation."""
    on_epoch: Callable[[History], bool | None] | None = None
    """Is called after each epoch with what happened so far; True ends the training."""
    data: Mapping[str, object] = field(default_factory=dict)
    """What config.json and metrics.json shall say about where the log came from."""

    def __post_init__(self):
        for name in ("output", "log_dir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))


@dataclass
class Run:
    """A training: what is trained, on what, how, and where to.

    Attributes:
        model: is moved to the device and changed in place.
        split: `split.train` to learn from, `split.validation` to choose by. The test is not
            touched.
        config: everything that decides the result.
        target: where to.
        files: further files of the model, written together with it, as vocabulary.csv.
        extra: further entries of its config.json.
        beside: gives what is ranked on the validation once, by name, for TensorBoard's charts.
        history: what happened.
        earlier: the seconds of training before it was resumed.
    """

    model: BERT4Rec
    split: Split
    config: TrainingConfig
    target: Target = field(default_factory=Target)
    files: Mapping[str, bytes] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)
    beside: Callable[[], Mapping[str, Scorer]] = dict
    history: History = field(default_factory=History)
    earlier: float = 0.0


class Checkpoint:
    """Keeps the best weights of a run, and writes its files.

    Args:
        run: what is trained; its history is continued here.
        optimizers: their state is part of the checkpoint.
    """

    def __init__(self, run: Run, optimizers: Optimizers):
        self.run, self.optimizers = run, optimizers
        self.best: dict[str, torch.Tensor] | None = None  # until the first validation
        self.begun = False  # whether the checkpoint in the folder is this run's
        # what must agree for a run to continue; the device may change
        self.identity: dict[str, object] = {
            **asdict(run.model.config),
            **asdict(run.config),
            "data": run.split.train.digest() if run.target.output is not None else "",
        }
        for name in ("device", "precision", "compile"):
            del self.identity[name]

    def keep(self, row: dict) -> None:
        """End an epoch: the history, the best weights and the folder agree from here on.

        The model is written first: a crash after it repeats the epoch and finds it again.
        """
        run, history = self.run, self.run.history
        score = row.get(run.config.metric, -math.inf)
        improved = score > history.best_score
        folder = run.target.output if distributed.rank() == 0 else None
        best = _copy(run.model) if improved else self.best
        if improved and folder is not None:
            for name in (RECORD,) if self.begun else (RECORD, CHECKPOINT):
                (folder / name).unlink(missing_ok=True)  # of the model that goes
            run.model.save(folder, run.files, **{"training": asdict(run.config), **run.extra})
        self.best = best
        if improved:
            history.best_epoch, history.best_score = row["epoch"], score
        history.epochs.append(row)
        if folder is not None:
            self._write(folder / CHECKPOINT)
            self.begun = True

    def load_best(self) -> None:
        """Put the best weights into the model, if there are any yet."""
        if self.best is not None:
            self.run.model.load_state_dict(self.best)

    def _write(self, path: Path) -> None:
        """Write everything that is needed to go on exactly, as tensors and JSON, no pickle."""
        model = self.run.model
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in (self.best or {}).items()}
        tensors |= {f"optimizer.{name}": v for name, v in self.optimizers.state().items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if model.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(model.device)
        # cloned: tied weights are one tensor under two names, which the format does not allow
        tensors = {name: value.detach().cpu().clone() for name, value in tensors.items()}
        about = {"config": {"run": self.identity}, "history": asdict(self.run.history)}
        write_tensors(path, tensors, {"run": json.dumps(about)})

    def restore(self) -> None:
        """Go on from the folder's checkpoint, if there is one.

        Raises:
            InputError: it is damaged, or of another configuration.
        """
        folder, model = self.run.target.output, self.run.model
        if folder is None or not (folder / CHECKPOINT).exists():
            return
        path = folder / CHECKPOINT
        tensors, texts = read_tensors(path)
        try:
            about = json.loads(texts["run"])
            told = about["history"]
            if "best_ndcg" in told:  # as the first version called it
                told["best_score"] = told.pop("best_ndcg")
            history = History(**told)
            # by topic in files of the first version; a setting that it did not have is the default
            kinds = fields(ModelConfig) + fields(TrainingConfig)
            written = {f.name: f.default for f in kinds}
            for group in about["config"].values():
                written |= group
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"{path} is no checkpoint of a training run: {error!r}") from error
        different = [name for name, value in self.identity.items() if written.get(name) != value]
        if different:
            of_data = " (the log, how it is read, or validation_users)" * ("data" in different)
            raise InputError(
                f"{path} was written with another {', '.join(sorted(different))}{of_data}. Train "
                "with the same configuration to resume, or choose another folder."
            )

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}

        try:
            model.load_state_dict(part("model."))
            self.best = {name: v.to(model.device) for name, v in part("best.").items()} or None
            self.optimizers.load_state(part("optimizer."))
            torch.set_rng_state(tensors["random.cpu"])
            if "random.cuda" in tensors and model.device.type == "cuda":
                torch.cuda.set_rng_state(tensors["random.cuda"], model.device)
        except (RuntimeError, LookupError, ValueError, TypeError) as error:
            raise InputError(f"{path} does not fit the model: {error}") from error
        vars(self.run.history).update(vars(history))
        self.run.earlier = history.seconds
        self.begun = True


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
