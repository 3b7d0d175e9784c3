"""The sublayers and BERT, from the bottom up.

Sources: Vaswani et al. 2017 (attention), Devlin et al. 2018 (BERT), Sun et al. 2019 (BERT4Rec).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ..data import PAD
from .config import ATTENTIONS, FEED_FORWARDS, ModelConfig


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
    history gives the same vectors, up to rounding, whatever padding stands in front of it.
    """

    undecayed = ("position_embeddings",)  # no weight decay: see training/optimizers.py

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


@ATTENTIONS.register("multi-head")
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
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attend.

        Args:
            x: (batch, length, hidden).
            visible: (batch, 1, 1 or length, length) bool, by query and key: False at keys that
                nobody, or that query, may look at.
            collect: a list that gets the attention weights, (batch, heads, length, length).
                They are computed beside the result, which is the same with or without.
            positions: (batch, count) the positions that attend; default all.

        Returns:
            (batch, length, hidden), or (batch, count, hidden) with `positions`.
        """
        # length is that of the keys; the queries are `count` of them where positions are given
        query = self._split(self.query_linear(gather_positions(x, positions)))
        key = self._split(self.key_linear(x))  # each (batch, heads, length, hidden / heads)
        value = self._split(self.value_linear(x))
        if collect is not None:
            scores = query @ key.mT / query.shape[-1] ** 0.5  # (batch, heads, length, length)
            collect.append(scores.masked_fill(~visible, -torch.inf).softmax(dim=-1).detach())
        x = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout.p * self.training
        )  # (batch, heads, length, hidden / heads)
        # the heads move beside their features before they are merged
        x = x.transpose(1, 2)  # (batch, length, heads, hidden / heads)
        return self.output_linear(x.flatten(start_dim=2))  # (batch, length, hidden)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, length, hidden) to (batch, heads, length, hidden / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


@FEED_FORWARDS.register("position-wise")
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
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply `sublayer` to x (batch, length, hidden); the result has the same shape.

        A sublayer that answers only at some positions says which by `positions`.
        """
        if self.norm_first:
            return gather_positions(x, positions) + self.dropout(sublayer(self.layer_norm(x)))
        return self.layer_norm(gather_positions(x, positions) + self.dropout(sublayer(x)))


class TransformerEncoder(nn.Module):
    """Attention, then feed-forward, each inside a SublayerConnection (Sun et al. 2019, 3.3)."""

    hidden_matrices = True  # that Muon may train: see training/optimizers.py

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.attention = ATTENTIONS[config.attention](config)
        self.input_sublayer = SublayerConnection(config)
        self.feed_forward = FEED_FORWARDS[config.feed_forward](config)
        self.output_sublayer = SublayerConnection(config)

    def forward(
        self,
        x: torch.Tensor,
        visible: torch.Tensor,
        collect: list | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """(batch, length, hidden) to the same shape; see MultiHeadedAttention for the rest."""

        def attend(y: torch.Tensor) -> torch.Tensor:
            return self.attention(y, visible, collect, positions)

        x = self.input_sublayer(x, attend, positions)
        return self.output_sublayer(x, self.feed_forward)


class BERT(nn.Module):
    """Embeddings and a stack of encoders: tokens in, one vector per position out."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
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
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Encode tokens (batch, length), [PAD] in front: (batch, length, hidden).

        With `positions`, (batch, count), only those come out: (batch, count, hidden). The last
        encoder then computes no others, as nobody looks at them any more.
        """
        visible = tokens != PAD  # (batch, length)
        # A row of padding alone would divide zero by zero in the softmax: let it see its last
        # place, which is the same however much padding there is.
        places = torch.arange(tokens.shape[1], device=tokens.device)
        last_place = places == tokens.shape[1] - 1
        visible = visible | (last_place & ~visible.any(dim=1, keepdim=True))
        visible = visible[:, None, None, :]  # (batch, 1, 1, length): the same for heads and queries
        visible_last = visible
        if self.config.causal:
            past, itself = places[:, None] >= places, places[:, None] == places
            visible_last = visible = visible & past | itself  # (batch, 1, length, length)
            if positions is not None:  # (batch, 1, count, length)
                visible_last = gather_positions(visible[:, 0], positions)[:, None]
        x = self.embedding(tokens, segments)  # (batch, length, hidden)
        *lower, last = self.transformer_encoders
        for encoder in lower:
            x = encoder(x, visible, collect)
        x = last(x, visible_last, collect, positions)  # (batch, length or count, hidden)
        return self.layer_norm(x) if self.config.norm_first else x


def gather_positions(x: torch.Tensor, positions: torch.Tensor | None) -> torch.Tensor:
    """Take some positions of x (batch, length, hidden): (batch, count, hidden); None takes all."""
    return x if positions is None else x.gather(1, positions[:, :, None].expand(-1, -1, x.shape[2]))


def initialise(module: nn.Module) -> None:
    # BERT's initialiser: normal with standard deviation 0.02, cut off at two of them.
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
