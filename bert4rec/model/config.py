"""The shape of a model."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError, check_types
from ..registry import Registry

# A sublayer is built from a ModelConfig and called as those of sublayers.py are.
ATTENTIONS: Registry[type] = Registry("attention")
FEED_FORWARDS: Registry[type] = Registry("feed_forward")


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
    attention: str = "multi-head"
    """The sublayer that mixes positions, one of ATTENTIONS."""
    feed_forward: str = "position-wise"
    """The sublayer that works on each position alone, one of FEED_FORWARDS."""

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
        ATTENTIONS.check(self.attention)
        FEED_FORWARDS.check(self.feed_forward)

    @property
    def num_tokens(self) -> int:
        """Rows of the token table: [PAD], the items, [MASK]."""
        return self.num_items + 2

    @property
    def mask_token(self) -> int:
        return self.num_items + 1
