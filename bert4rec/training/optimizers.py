"""What moves the weights: AdamW, Muon, their learning rates, and the clipping of gradients.

Source of Muon: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the
scale of the update is from Liu et al. 2025, "Muon is scalable for LLM training", section 2.2.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from .. import distributed
from ..data import IGNORE, Sequences
from ..model import BERT4Rec, cross_entropy
from ..model.losses import Loss, make_loss
from .settings import SCHEDULES, TrainingConfig


class Muon(torch.optim.Optimizer):
    """Gradient descent with momentum, whose update is made orthogonal for each matrix.

    Adam scales every weight by itself. Muon sees a matrix as a whole: it gives all directions of
    the update the same length, the weak ones too, and so learns them sooner. The update has the
    size that AdamW's would have at the same learning rate; it bears a higher one.

    The same as `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")`, except that matrices of one
    shape are computed together, and in float32: bf16 takes as long as the rest of a training step
    on a CPU that lacks it.

    Args:
        parameters: two-dimensional.
        lr: the learning rate.
        weight_decay: each step first shrinks the weights by lr × weight_decay.
        momentum: of the running mean of gradients (Nesterov's).
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
    ):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step from the gradients."""
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                gradients = [parameter.grad for parameter in parameters]
                means = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if not state:
                        state["momentum"] = torch.zeros_like(parameter)
                    means.append(state["momentum"])
                torch._foreach_lerp_(means, gradients, 1 - group["momentum"])
                ahead = torch._foreach_lerp(gradients, means, group["momentum"])
                updates = orthogonal(torch.stack(ahead))
                scale = 0.2 * max(shape) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(updates), alpha=-group["lr"] * scale)


def orthogonal(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Bring all singular values of each matrix near 1 (0.7 to 1.2), keeping its directions.

    A polynomial of odd degree, applied to a matrix in this way, is applied to its singular values.
    This one (Jordan et al. 2024) drives them towards 1 in few steps.

    Args:
        matrices: (count, rows, columns).

    Returns:
        The same shape.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.float()
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # largest singular value at most 1
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def sparse_tables(model: BERT4Rec, loss: Loss) -> list[torch.Tensor]:
    """The tables of items whose gradients shall name the rows they touch, as the loss can do.

    Several processes can share such a gradient of an embedding, but not of a Linear, and NCCL none.
    """
    several = distributed.count() > 1
    if not getattr(loss, "sparse", False) or (several and model.device.type == "cuda"):
        return []
    embedding, output = model.model.embedding.token_embeddings.weight, model.out.weight
    return [embedding] if output is embedding or several else [embedding, output]


class Optimizers:
    """AdamW for a model, Muon for its hidden matrices and SparseAdam for some tables beside it.

    A module says what its parameters are: `hidden_matrices = True` that Muon may train the
    matrices in it, `undecayed` which of its children have no weight decay. Vectors (biases, norms)
    have none anywhere.

    Args:
        model: is on its device.
        config: rates, their schedule, weight decay.
        steps: how many there will be.
        rows: the parameters whose gradients name the rows they touch: only those are updated.
    """

    def __init__(
        self, model: nn.Module, config: TrainingConfig, steps: int, rows: list[torch.Tensor]
    ):
        self.config, self.steps = config, steps
        hidden, undecayed = set(), {id(p) for p in model.parameters() if p.ndim == 1}
        for module in model.modules():
            if getattr(module, "hidden_matrices", False):
                hidden |= {id(p) for p in module.parameters()} - undecayed
            for child in getattr(module, "undecayed", ()):
                undecayed |= {id(p) for p in module.get_submodule(child).parameters()}
        apart = {id(p) for p in rows}
        muon: list[nn.Parameter] = []
        decayed: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for parameter in model.parameters():
            if id(parameter) in undecayed:
                plain.append(parameter)
            elif id(parameter) in hidden and config.muon_learning_rate > 0:
                muon.append(parameter)
            elif id(parameter) not in apart:
                decayed.append(parameter)
        # the order in which a checkpoint counts them: tables first
        decayed.sort(key=lambda parameter: id(parameter) in hidden)
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                groups,
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                fused=plain[0].device.type in ("cpu", "cuda"),
            )
        ]
        if muon:
            self.all.append(Muon(muon, config.muon_learning_rate, config.weight_decay))
        if rows:
            self.all.append(torch.optim.SparseAdam(rows, lr=config.learning_rate))

    def share(self, step: int) -> float:
        """The share of their peaks that the learning rates have in a step, counted from 1."""
        warmup = round(self.config.warmup_share * self.steps)
        if step <= warmup:
            return step / warmup
        # the step after the warm-up has the peak, and the last one still learns
        progress = (step - 1 - warmup) / max(1, self.steps - warmup)
        return SCHEDULES[self.config.schedule](progress)

    def set_rate(self, step: int) -> float:
        """Set the learning rates of a step; returns AdamW's."""
        share = self.share(step)
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * share
        return self.config.learning_rate * share

    def step(self) -> None:
        """Move the weights by their gradients."""
        for optimizer in self.all:
            optimizer.step()

    def state(self) -> dict[str, torch.Tensor]:
        """What a checkpoint must hold, by name."""
        return {
            f"{which}.{number}.{name}": torch.as_tensor(value)
            for which, optimizer in enumerate(self.all)
            for number, state in optimizer.state_dict()["state"].items()
            for name, value in state.items()
        }

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            ValueError: it was the state of other optimisers.
        """
        if {int(name.split(".")[0]) for name in tensors} != set(range(len(self.all))):
            raise ValueError(
                "a sampled loss needs the same `compile`, kind of device and one or several "
                "processes to go on, for they decide how its tables are trained."
            )
        states: list[dict[int, dict[str, torch.Tensor | int]]] = [{} for _ in self.all]
        for name, value in tensors.items():
            which, number, key = name.split(".")
            # SparseAdam counts its steps in a plain number
            plain = key == "step" and isinstance(self.all[int(which)], torch.optim.SparseAdam)
            state = states[int(which)].setdefault(int(number), {})
            state[key] = int(value) if plain else value
        for optimizer, numbered in zip(self.all, states, strict=True):
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": numbered, "param_groups": groups})


def loss_and_optimizers(
    model: BERT4Rec, train: Sequences, config: TrainingConfig, steps: int
) -> tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], Optimizers]:
    """Return what a step needs: the loss of inputs and labels on the CPU, and what moves weights.

    Args:
        model: is on the device to train on.
        train: the histories, from which sampled losses draw.
        config: names the loss, the rates, and whether to compile.
        steps: how many there will be.
    """
    loss: Any = make_loss(config.loss, train, config)
    # what is compiled gives no sparse gradients in every version of torch
    tables = [] if config.compile else sparse_tables(model, loss)
    embedding = model.model.embedding.token_embeddings
    embedding.sparse = any(table is embedding.weight for table in tables)
    if getattr(loss, "sparse", False):
        loss.sparse = any(table is model.out.weight for table in tables)
    if config.compile:  # only what computes: the other part of `loss` reads numbers
        vars(model)["answer_loss"] = torch.compile(model.answer_loss, dynamic=True)
        if hasattr(loss, "sparse"):  # it draws on the CPU and sends, which cannot be traced
            loss = torch.compiler.disable(loss.__call__)
    loss_of: Any = functools.partial(model.loss, loss=loss)
    if loss is cross_entropy:  # the default: a model may have a loss of its own
        loss_of = model.loss
    shared = distributed.shared_loss(model, loss_of, IGNORE)
    return shared, Optimizers(model, config, steps, tables)


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
