"""The sublayers and BERT, from the bottom up, and the configuration of a model.

Sources: Vaswani et al. 2017 (attention), Devlin et al. 2018 (BERT), Sun et al. 2019 (BERT4Rec).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .errors import InputError, check_types
from .vocabulary import PAD


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model; the defaults are the reference structure.

    A value out of range raises InputError.
    """

    num_items: int
    """Items in the catalogue; the tables also hold [PAD] and [MASK]."""
    hidden_size: int = 256
    """Width of the vectors that flow through the model."""
    num_layers: int = 2
    """Transformer encoders on top of each other."""
    num_heads: int = 4
    """Attention heads in each; they share hidden_size between them."""
    max_len: int = 100
    """Longest sequence, the [MASK] that asks for the next item included."""
    feed_forward_size: int | None = None
    """Inner width of the feed-forward sublayer; 4 × hidden_size if not given."""
    dropout: float = 0.1
    """Share of values dropped while training: embeddings, feed-forward, sublayer outputs."""
    attention_dropout: float | None = None
    """The same for attention weights; like `dropout` if not given. 0 allows a fused kernel on a
    CPU, which is much faster."""
    norm_first: bool = False
    """Normalise before each sublayer and once at the end, instead of after each (the paper)."""
    tie_weights: bool = False
    """Use the item embeddings as output weights (the paper), instead of a table of their own."""
    num_segments: int = 3
    """Rows of the segment table, row 0 being padding; 0 leaves the table out."""
    causal: bool = False
    """Let a position see only itself and what came before it, and train it to name the next item:
    SASRec (Kang and McAuley 2018) instead of BERT4Rec."""

    def __post_init__(self):
        check_types(self)
        for name in ("num_items", "hidden_size", "num_layers", "num_heads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}.")
        if self.max_len < 2:
            raise InputError(
                f"max_len must be at least 2 (an item and the [MASK] after it), not {self.max_len}."
            )
        if self.hidden_size % self.num_heads:
            raise InputError(
                f"hidden_size {self.hidden_size} cannot be shared by num_heads {self.num_heads}; "
                "use a divisor."
            )
        if self.feed_forward_size is not None and self.feed_forward_size < 1:
            raise InputError(f"feed_forward_size must be at least 1, not {self.feed_forward_size}.")
        for name in ("dropout", "attention_dropout"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise InputError(f"{name} must lie in [0, 1), not {getattr(self, name)}.")
        if self.num_segments < 0 or self.num_segments == 1:
            raise InputError(f"num_segments must be 0 or at least 2, not {self.num_segments}.")

    @property
    def num_tokens(self) -> int:
        """Rows of the token table: [PAD], the items, [MASK]."""
        return self.num_items + 2

    @property
    def mask_token(self) -> int:
        return self.num_items + 1


class Dropout(nn.Dropout):
    """Zero a share p of the values while training, and scale up the rest (Srivastava et al. 2014).

    On a CPU torch draws a number of 24 bits per value, which took a quarter of a training step.
    Here it is one random byte: p is rounded to the nearest 1/256, and the scale is exact for that.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Any shape to the same shape."""
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        dropped = round(256 * self.p)  # of the 256 values of a byte
        if not 0 < dropped < 256:
            return super().forward(x)
        words = torch.empty(x.numel() // 8 + 1, dtype=torch.int64).random_(-(2**63), None)
        draws = words.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * (draws >= dropped).to(x.dtype).mul_(256 / (256 - dropped))


class BERTEmbeddings(nn.Module):
    """Sum of token, position and (optional) segment embeddings (Sun et al. 2019, section 3.4).

    Position 0 is the newest place of a sequence and numbers grow towards the past, so the same
    history gives the same vectors whatever padding stands in front of it.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        size = config.hidden_size
        self.token_embeddings = nn.Embedding(config.num_tokens, size, padding_idx=PAD)
        self.position_embeddings = nn.Embedding(config.max_len, size)
        if config.num_segments:
            self.segment_embeddings = nn.Embedding(config.num_segments, size, padding_idx=PAD)
        self.layer_norm = nn.LayerNorm(size, eps=1e-6)
        self.dropout = Dropout(config.dropout)

    def forward(self, tokens: torch.Tensor, segments: torch.Tensor | None = None) -> torch.Tensor:
        """Embed tokens (batch, length), optionally with segments alike: (batch, length, hidden)."""
        positions = torch.arange(tokens.shape[1], device=tokens.device).flip(0)
        x = self.token_embeddings(tokens) + self.position_embeddings(positions)
        if segments is not None:
            x = x + self.segment_embeddings(segments)
        return self.dropout(self.layer_norm(x))


class MultiHeadedAttention(nn.Module):
    """Each position gathers from all visible ones, in several heads (Vaswani et al. 2017, 3.2)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        size = config.hidden_size
        self.num_heads = config.num_heads
        self.query_linear = nn.Linear(size, size)
        self.key_linear = nn.Linear(size, size)
        self.value_linear = nn.Linear(size, size)
        share = config.attention_dropout
        self.dropout = Dropout(config.dropout if share is None else share)
        self.output_linear = nn.Linear(size, size)

    def forward(
        self,
        x: torch.Tensor,
        visible: torch.Tensor,
        collect: list | None = None,
        at: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: (batch, length, hidden).
            visible: (batch, 1, 1 or length, length) bool, by query and key: False at keys that
                nobody, or that query, may look at.
            collect: a list that gets the attention weights, (batch, heads, length, length).
                They are computed beside the result, which is the same with or without.
            at: (batch, count) the positions that attend; default all.

        Returns:
            (batch, length, hidden), or (batch, count, hidden) with `at`.
        """
        # (batch, heads, length or count, hidden / heads)
        query = self._split(self.query_linear(pick(x, at)))
        key = self._split(self.key_linear(x))
        value = self._split(self.value_linear(x))
        if collect is not None:
            scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
            collect.append(scores.masked_fill(~visible, -torch.inf).softmax(dim=-1).detach())
        x = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout.p * self.training
        )
        # The heads lie in dimension 1: they move beside their features before they are merged.
        x = x.transpose(1, 2).flatten(start_dim=2)  # (batch, length, hidden)
        return self.output_linear(x)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


class PositionwiseFeedForward(nn.Module):
    """Two linear layers with a GELU between, alike at every position (Sun et al. 2019, 3.3)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        inner = config.feed_forward_size or 4 * config.hidden_size
        self.feed_forward_1 = nn.Linear(config.hidden_size, inner)
        self.feed_forward_2 = nn.Linear(inner, config.hidden_size)
        self.dropout = Dropout(config.dropout)
        self.activation = nn.GELU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, hidden) to the same shape."""
        return self.feed_forward_2(self.dropout(self.activation(self.feed_forward_1(x))))


class SublayerConnection(nn.Module):
    """A residual connection around a sublayer, with dropout and layer norm (Sun et al. 2019, 3.3).

    Norm last, as in the paper: norm(x + dropout(sublayer(x))). Norm first trains more calmly:
    x + dropout(sublayer(norm(x))) (Xiong et al. 2020).
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.norm_first = config.norm_first
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: torch.Tensor,
        sublayer: Callable[[torch.Tensor], torch.Tensor],
        at: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply `sublayer` to x (batch, length, hidden); the result has the same shape.

        A sublayer that answers only at some positions says which by `at`.
        """
        if self.norm_first:
            return pick(x, at) + self.dropout(sublayer(self.layer_norm(x)))
        return self.layer_norm(pick(x, at) + self.dropout(sublayer(x)))


class TransformerEncoder(nn.Module):
    """Attention, then feed-forward, each inside a SublayerConnection (Sun et al. 2019, 3.3)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.attention = MultiHeadedAttention(config)
        self.input_sublayer = SublayerConnection(config)
        self.feed_forward = PositionwiseFeedForward(config)
        self.output_sublayer = SublayerConnection(config)

    def forward(
        self,
        x: torch.Tensor,
        visible: torch.Tensor,
        collect: list | None = None,
        at: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(batch, length, hidden) to the same shape; see MultiHeadedAttention for the rest."""
        x = self.input_sublayer(x, lambda y: self.attention(y, visible, collect, at), at)
        return self.output_sublayer(x, self.feed_forward)


class BERT(nn.Module):
    """Embeddings and a stack of encoders: tokens in, one vector per position out."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.causal = config.causal
        self.embedding = BERTEmbeddings(config)
        self.transformer_encoders = nn.ModuleList(
            TransformerEncoder(config) for _ in range(config.num_layers)
        )
        if config.norm_first:
            # without it the sum of all sublayers would leave the stack unnormalised
            self.layer_norm = nn.LayerNorm(config.hidden_size, eps=1e-6)

    def forward(
        self,
        tokens: torch.Tensor,
        segments: torch.Tensor | None = None,
        collect: list | None = None,
        at: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode tokens (batch, length), [PAD] in front: (batch, length, hidden).

        With `at`, (batch, count), only those positions come out: (batch, count, hidden). The last
        encoder then computes no others, as nobody looks at them any more.
        """
        visible = tokens != PAD
        # A row of padding alone would divide zero by zero in the softmax: let it see its last
        # place, which is the same however much padding there is.
        last_place = torch.arange(tokens.shape[1], 0, -1, device=tokens.device) == 1
        visible = visible | (last_place & ~visible.any(dim=1, keepdim=True))
        visible = visible[:, None, None, :]  # (batch, 1, 1, length): the same for heads and queries
        visible_at = visible
        if self.causal:
            place = torch.arange(tokens.shape[1], device=tokens.device)
            past, itself = place[:, None] >= place, place[:, None] == place
            visible_at = visible = visible & past | itself  # (batch, 1, length, length)
            if at is not None:
                visible_at = pick(visible[:, 0], at)[:, None]  # (batch, 1, count, length)
        x = self.embedding(tokens, segments)
        *lower, last = self.transformer_encoders
        for encoder in lower:
            x = encoder(x, visible, collect)
        x = last(x, visible_at, collect, at)
        return self.layer_norm(x) if hasattr(self, "layer_norm") else x


def pick(x: torch.Tensor, at: torch.Tensor | None) -> torch.Tensor:
    """Take some positions of x (batch, length, hidden): (batch, count, hidden); None takes all."""
    return x if at is None else x.gather(1, at[:, :, None].expand(-1, -1, x.shape[2]))


def initialise(module: nn.Module) -> None:
    # BERT's initialiser: normal with standard deviation 0.02, cut off at two of them.
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
