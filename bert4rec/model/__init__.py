"""Notebook 3: BERT from its sublayers.

The shape of a model (`config`), attention and the other `sublayers`, the `losses`, and BERT4Rec,
the whole of it, with a score for every item (`bert4rec`).
"""

from .bert4rec import BERT4Rec
from .config import ATTENTIONS, FEED_FORWARDS, ModelConfig
from .losses import LOSSES, cross_entropy, gbce, sampled_softmax
from .sublayers import (
    BERT,
    BERTEmbeddings,
    MultiHeadedAttention,
    PositionwiseFeedForward,
    SublayerConnection,
    TransformerEncoder,
)
