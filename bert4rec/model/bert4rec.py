"""BERT4Rec: BERT over a user's items with a score for every item, its loss, its files.

The module tree and its names are shown by `print(BERT4Rec(ModelConfig(num_items=3706)))`.

Source: Sun et al. 2019.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from ..data import IGNORE, PAD
from ..devices import pick_device, send
from ..errors import InputError
from ..files import (
    CONFIG,
    WEIGHTS,
    model_folder,
    pack,
    read_config,
    read_tensors,
    stored,
    write_together,
)
from .config import ModelConfig
from .losses import cross_entropy
from .sublayers import BERT, initialise


class BERT4Rec(nn.Module):
    """BERT over a user's items, with a score for every item at every position (Sun et al. 2019)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.model = BERT(config)
        self.out = nn.Linear(config.hidden_size, config.num_tokens)
        self.apply(initialise)
        if config.tie_weights:
            self.out.weight = self.model.embedding.token_embeddings.weight

    @property
    def name(self) -> str:
        return "SASRec" if self.config.causal else "BERT4Rec"

    @property
    def device(self) -> torch.device:
        return self.out.bias.device

    @property
    def history_length(self) -> int:
        """The newest items of a history that `score` looks at; [MASK] takes the last place."""
        return self.config.max_len - (not self.config.causal)

    def forward(self, tokens: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """Score every token at every position.

        Args:
            tokens: (batch, length) int64, [PAD] in front, length at most max_len.
            segments: (batch, length) int64 or None.

        Returns:
            (batch, length, num_items + 2) logits, a column per token.

        Raises:
            InputError: a token is outside the vocabulary, or the sequence is too long.
        """
        self._check(tokens)
        return self.out(self.model(tokens, segments))

    def loss(
        self,
        tokens: torch.Tensor,
        labels: torch.Tensor,
        segments: torch.Tensor | None = None,
        loss: Callable[..., torch.Tensor] = cross_entropy,
    ) -> torch.Tensor:
        """Mean cross-entropy at the masked positions (Sun et al. 2019, equation 8).

        Only those positions are computed in the last encoder and in the output: logits are
        (masked, num_items + 2) instead of (batch, length, num_items + 2).

        Args:
            tokens, labels: (batch, length), as `cloze.hide` makes them. Labels that lie on the CPU
                spare a GPU from being waited for.
            loss: another of `losses`, from hidden vectors, output weights, bias and labels.

        Returns:
            A scalar, in nats per masked item.
        """
        positions, rows, targets = (send(part, self.device) for part in answers(labels))
        tokens = send(tokens, self.device)
        return self.answer_loss(tokens, positions, rows, targets, segments, loss)

    def answer_loss(
        self,
        tokens: torch.Tensor,
        positions: torch.Tensor,
        rows: torch.Tensor,
        targets: torch.Tensor,
        segments: torch.Tensor | None = None,
        loss: Callable[..., torch.Tensor] = cross_entropy,
    ) -> torch.Tensor:
        """The part of `loss` that computes, on the model's device, which nobody must wait for.

        Args:
            tokens: (batch, length).
            positions, rows, targets: what `answers` says of the labels.
        """
        hidden = self.model(tokens, segments, positions=positions)  # (batch, count, hidden)
        hidden = hidden.flatten(0, 1).index_select(0, rows)  # (answers, hidden)
        return loss(hidden, self.out.weight, self.out.bias, targets)

    @torch.no_grad()
    def score(self, histories: torch.Tensor) -> torch.Tensor:
        """Score all items as the next one of each history: append [MASK], read its position.

        Args:
            histories: (batch, length) item tokens, newest last, [PAD] in front, on any device.
                The newest max_len - 1 are used; a history may be empty (padding alone).

        Returns:
            (batch, num_items + 2) float32 on the model's device; -inf for [PAD] and [MASK].
            Computed without dropout, whatever mode the model is in.

        Raises:
            InputError: a token is not an item.
        """
        histories = histories[:, -self.history_length :].to(self.device)
        with _evaluating(self):
            self._check(histories, highest=self.config.num_items)
            return self.next_scores(histories)

    def next_scores(self, histories: torch.Tensor) -> torch.Tensor:
        """The part of `score` that computes: no checks, no switch of dropout, gradients if wanted.

        Args:
            histories: (batch, length) int64 item tokens on the model's device, length below
                max_len.
        """
        tokens = self.question(histories)
        newest = tokens.new_full((tokens.shape[0], 1), tokens.shape[1] - 1)
        hidden = self.model(tokens, positions=newest)
        with torch.autocast(self.device.type, enabled=False):  # 8 bits would tie many items
            scores = self.out(hidden[:, 0].float())
        scores[:, [PAD, self.config.mask_token]] = -torch.inf
        return scores

    def question(self, histories: torch.Tensor) -> torch.Tensor:
        """The sequence whose last position answers what comes next: (batch, length + 1), [MASK]
        after the history; of a causal model the history itself.
        """
        end = PAD if self.config.causal else self.config.mask_token
        if self.config.causal and histories.shape[1]:
            return histories
        return torch.cat([histories, histories.new_full((histories.shape[0], 1), end)], dim=1)

    @torch.no_grad()
    def attention(self, tokens: torch.Tensor) -> list[torch.Tensor]:
        """Return each layer's attention weights, (batch, heads, length, length), rows sum to 1."""
        weights: list[torch.Tensor] = []
        with _evaluating(self):
            self._check(tokens)
            self.model(tokens.to(self.device), collect=weights)
        return weights

    def start_at_popularity(self, counts: np.ndarray) -> None:
        """Set the output bias to the log of each item's share, so that training starts there.

        Otherwise the first epochs are spent on learning which items are popular.

        Args:
            counts: (num_items + 2,) occurrences of each token, as `Sequences.item_counts`.
        """
        with torch.no_grad():
            self.out.bias.copy_(log_shares(counts))

    def start_at_neighbours(self, vectors: torch.Tensor) -> None:
        """Start the item embeddings at vectors that tell which items stand near each other.

        Args:
            vectors: (num_items + 2, size), as `neighbours.neighbour_vectors` gives them. They are
                scaled to a root mean square of 0.1, which trained best. A catalogue with fewer
                items than hidden_size gives shorter ones: the rest stays random.
        """
        size = vectors.shape[1]
        with torch.no_grad():
            self.model.embedding.token_embeddings.weight[1:-1, :size] = 0.1 * vectors[1:-1]

    def save(
        self, folder: str | Path, files: Mapping[str, bytes] | None = None, **extra: object
    ) -> None:
        """Write model.safetensors and config.json into a folder.

        A crash at any moment leaves the model that was there before, whole.

        Args:
            folder: is made if it is not there.
            files: further files of the model by name, that change together with it.
            extra: further entries of config.json.

        Raises:
            InputError: the folder cannot be written to.
        """
        config = {"format": 1, "model": asdict(self.config), **extra}
        weights = {name: value.detach().cpu() for name, value in self.state_dict().items()}
        if self.config.tie_weights:
            del weights["out.weight"]  # the same tensor as the token embeddings
        # the weights know their config too: with another one they would fit, and mean nothing
        texts = {"model": json.dumps(asdict(self.config), sort_keys=True)}
        contents = {CONFIG: json.dumps(config, indent=2).encode(), WEIGHTS: pack(weights, texts)}
        write_together(Path(folder), {**(files or {}), **contents})

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> BERT4Rec:
        """Read a model that `save` wrote, on any device. No code in the files is run.

        Args:
            folder: where it was saved, or "ml-1m": the weights that travel with the package.
            device: where it shall compute; "auto" takes a GPU if there is one.

        Raises:
            InputError: the folder lacks a file, a file is damaged or of another model, or the
                device is not there.
        """
        folder = model_folder(folder)
        config = read_config(folder)["model"]
        path = stored(folder, WEIGHTS)
        weights, texts = read_tensors(path)
        unknown = set(config) - {f.name for f in fields(ModelConfig)}
        if unknown:
            raise InputError(
                f"{folder}/{CONFIG} has settings that this version does not know: "
                f"{', '.join(sorted(unknown))}. A newer version of bert4rec may read it."
            )
        try:
            shape = ModelConfig(**config)
            if "model" in texts and ModelConfig(**json.loads(texts["model"])) != shape:
                raise ValueError(f"the weights were written with {texts['model']}")
            if shape.tie_weights:
                weights["out.weight"] = weights["model.embedding.token_embeddings.weight"]
            if shape.num_layers > len(weights):
                raise ValueError(f"num_layers is {shape.num_layers:,}, the weights are fewer")
            with torch.device("meta"), _WithoutDraws():
                model = cls(shape)  # a config may name any sizes: no memory before they agree
            for name, value in model.state_dict().items():
                if name in weights and weights[name].shape != value.shape:
                    raise ValueError(
                        f"{name} is {tuple(weights[name].shape)}, by the config it would be "
                        f"{tuple(value.shape)}"
                    )
            weights = {name: value.float() for name, value in weights.items()}
            model.load_state_dict(weights, assign=True)
            if shape.tie_weights:
                model.out.weight = model.model.embedding.token_embeddings.weight
        except (RuntimeError, ValueError, TypeError, LookupError, OverflowError) as error:
            raise InputError(f"{path} does not fit its {CONFIG}: {error}") from error
        for name, value in weights.items():
            if not value.isfinite().all():
                raise InputError(f"{path} is damaged: {name} holds values that are not numbers.")
        return model.to(pick_device(device)).eval()

    def _check(self, tokens: torch.Tensor, highest: int | None = None) -> None:
        highest = self.config.mask_token if highest is None else highest
        if tokens.shape[1] > self.config.max_len:
            raise InputError(
                f"the sequence is {tokens.shape[1]} long, max_len is {self.config.max_len}; pass "
                f"the newest items: tokens[:, -{self.config.max_len}:]."
            )
        if not tokens.numel():
            return
        low, high = (int(value) for value in tokens.aminmax())
        if low < 0 or high > highest:
            wrong = low if low < 0 else high
            raise InputError(
                f"token {wrong} is not in the vocabulary: 0 is [PAD], 1 … {self.config.num_items} "
                f"are items, {self.config.mask_token} is [MASK]"
                + (" and may not stand in a history." if highest < self.config.mask_token else ".")
            )


def log_shares(counts: np.ndarray) -> torch.Tensor:
    """The log of each token's share of all occurrences, float32."""
    share = (counts + 0.5) / (counts + 0.5).sum()  # an item never seen must not be impossible
    return torch.from_numpy(np.log(share)).float()


class _WithoutDraws(TorchFunctionMode):
    """Leaves weights that have shapes alone as they are: to draw them would import a compiler."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func.__name__ in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Switch dropout off, and back to what it was."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def answers(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Say where the labels are that count, in indices whose number is known.

    Args:
        labels: (batch, length), on the CPU: the numbers are read, and a GPU would be waited for.

    Returns:
        positions: (batch, count) the masked positions of each row, first ones first; a row that
            has fewer is filled with others.
        rows: (answers,) which of the batch × count positions are masked.
        targets: (answers,) their labels.
    """
    masked = labels != IGNORE
    count = int(masked.sum(dim=1).max())
    positions = masked.int().argsort(dim=1, descending=True, stable=True)[:, :count]
    targets = labels.gather(1, positions)
    rows = (targets != IGNORE).flatten().nonzero()[:, 0]
    return positions, rows, targets.flatten()[rows]
